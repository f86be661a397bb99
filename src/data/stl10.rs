//! STL-10 (Coates, Lee and Ng 2011), larger pictures of ten classes: what is known of it, and how its files are read.
//!
//! `train_X.bin` holds nothing but pictures, each three planes of 96x96 pixels, column after column; `train_y.bin` one byte
//! a picture, the label, from 1. The 100,000 pictures without labels are not used.
//!
//! Normalisation is that of the published program (anokland/local-loss, `train.py`), which neither crops nor mirrors here.

use super::dataset::{ClassNames, Dataset, DatasetSpec, Fit, Split};
use super::error::DataError;
use super::planes::{PlaneOrder, interleave};
use super::stream::Stream;

/// STL-10: 5,000 training and 8,000 test pictures.
pub const STL10: DatasetSpec = DatasetSpec {
    name: "stl10",
    num_classes: 10,
    class_names: ClassNames::Known(&[
        "airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck",
    ]),
    height: 96,
    width: 96,
    channels: 3,
    mean: &[0.447, 0.440, 0.407],
    std: &[0.260, 0.257, 0.271],
    fit: Fit::Exact,
    crop_pad: 0,
    flip: false,
};

/// The files: training pictures and labels, test pictures and labels.
pub const FILES: [&str; 4] = ["train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin"];

/// Reads and checks the data set, its files in the order of [`FILES`].
///
/// # Errors
/// A damaged file, one that is empty or ends in the middle of a picture, a label out of range, another number of labels
/// than of pictures.
pub fn parse([train_x, train_y, test_x, test_y]: [Stream<'_>; 4]) -> Result<Dataset, DataError> {
    let (train, test) = (split(train_x, train_y)?, split(test_x, test_y)?);
    Ok(Dataset { spec: STL10, train: train.into(), test: test.into() })
}

fn split(images: Stream<'_>, labels: Stream<'_>) -> Result<Split, DataError> {
    let (images_path, labels_path) = (images.path().to_owned(), labels.path().to_owned());
    let DatasetSpec { height, width, channels, .. } = STL10;
    let mut split = Split { images: read_images(images)?, labels: read_labels(labels)?, n: 0, height, width, channels };
    let n = split.images.len() / split.image_len();
    if n != split.labels.len() {
        let (images, labels) = (n as u32, split.labels.len() as u32);
        return Err(DataError::CountMismatch { images_path, images, labels_path, labels });
    }
    split.n = n as u32;
    Ok(split)
}

fn read_images(mut file: Stream<'_>) -> Result<Vec<u8>, DataError> {
    let shape = [STL10.height, STL10.width, STL10.channels].map(|extent| extent as usize);
    let mut planes = vec![0; shape.iter().product()];
    let mut images = Vec::new();
    for index in 0.. {
        let start = file.position();
        match file.fill(&mut planes)? {
            0 if index == 0 => return Err(DataError::Empty { path: file.path().into(), content: "images" }),
            0 => break,
            _ => file.expect(start + planes.len() as u64, &format!("image {index}"))?,
        }
        interleave(&planes, shape, PlaneOrder::Columns, &mut images);
    }
    file.finish("its images")?;
    Ok(images)
}

fn read_labels(mut file: Stream<'_>) -> Result<Vec<u32>, DataError> {
    let path = file.path().to_owned();
    // A label needs 27,648 bytes of picture beside it, so a file of labels is small; a larger one is another file.
    let labels = file.up_to(u64::from(u16::MAX))?;
    file.finish("as many labels as STL-10 can have")?;
    match labels.iter().position(|label| !(1..=10).contains(label)) {
        Some(index) => Err(DataError::LabelOutOfRange { path, index, label: labels[index].into(), labels: 1..11 }),
        None if labels.is_empty() => Err(DataError::Empty { path, content: "labels" }),
        None => Ok(labels.iter().map(|&label| u32::from(label) - 1).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_fixture, fixture};
    use super::*;

    fn message(images: &[u8], labels: &[u8]) -> String {
        split(Stream::from_bytes("X", images), Stream::from_bytes("y", labels)).unwrap_err().to_string()
    }

    #[test]
    fn columns_become_rows_and_labels_begin_at_zero() {
        let stream = |name: &str| Stream::open(&fixture(name)).unwrap();
        let data = parse(["stl10_X.bin.gz", "stl10_y.bin", "stl10_X.bin.gz", "stl10_y.bin"].map(stream)).unwrap();
        assert_fixture(data.train.in_memory().unwrap(), &[9, 2]);
        assert_fixture(data.test.in_memory().unwrap(), &[9, 2]);
    }

    #[test]
    fn damage_is_placed() {
        let one = [0; 27_648];
        assert_eq!(message(&one, &[1, 2]), "y: holds 2 labels, but X holds 1 images; the two counts should be equal");
        assert_eq!(message(&one, &[0]), "y: label 0 at index 0 is out of range; labels go from 1 to 10");
        assert_eq!(message(&one, &[]), "y: holds no labels; at least one is needed");
        assert_eq!(message(&[], &[1]), "X: holds no images; at least one is needed");
        let cut = "X: ends after 10 bytes (unpacked), but 27648 are needed for image 0; get the complete file again";
        assert_eq!(message(&one[..10], &[1]), cut);
    }
}
