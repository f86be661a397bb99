//! ImageNet and other folders of pictures: what is known of them without looking, and once size and classes are known.

use super::dataset::{ClassNames, DatasetSpec, Fit};
use super::size::ImageSize;

/// ImageNet (Deng et al. 2009; ILSVRC 2012): normalisation, random resized crops and mirroring of the published program
/// (anokland/local-loss, `train.py`).
pub const IMAGENET: DatasetSpec = DatasetSpec {
    name: "imagenet",
    num_classes: 1000,
    class_names: ClassNames::Known(&[]),
    height: 224,
    width: 224,
    channels: 3,
    mean: &[0.485, 0.456, 0.406],
    std: &[0.229, 0.224, 0.225],
    fit: Fit::ResizedCrop,
    crop_pad: 0,
    flip: true,
};

/// Any folder of pictures. Classes and size are not known before it has been looked at; training pictures are moved by up
/// to an eighth of their shorter side, as those of CIFAR-10 are, and mirrored.
pub const IMAGE_FOLDER: DatasetSpec =
    DatasetSpec { name: "image-folder", num_classes: 0, height: 0, width: 0, fit: Fit::Cover, ..IMAGENET };

/// Share of the shorter side that training pictures of [`IMAGE_FOLDER`] are padded with.
const PAD: u32 = 8;

/// The spec of a folder's pictures once size and classes are known.
pub fn sized(base: &DatasetSpec, size: ImageSize, class_names: ClassNames, num_classes: u32) -> DatasetSpec {
    let ImageSize { height, width } = size;
    let crop_pad = if base.fit == Fit::Cover { height.min(width) / PAD } else { base.crop_pad };
    DatasetSpec { height, width, class_names, num_classes, crop_pad, ..base.clone() }
}
