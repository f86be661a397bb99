//! What is known of a data set, and what it is once its files have been read or found: pictures and labels.

use std::sync::Arc;

#[cfg(not(target_arch = "wasm32"))]
use super::folder::PictureFiles;
use super::size::ImageSize;

/// What is known of a data set without its pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSpec {
    /// The name that `--dataset` takes.
    pub name: &'static str,
    /// Number of classes; labels are `0..num_classes`.
    pub num_classes: u32,
    /// What each class is called.
    pub class_names: ClassNames,
    /// Rows of a picture.
    pub height: u32,
    /// Columns of a picture.
    pub width: u32,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: u32,
    /// Mean of each channel over the training set, of values from 0 to 1.
    pub mean: &'static [f32],
    /// Standard deviation of each channel over the training set, of values from 0 to 1.
    pub std: &'static [f32],
    /// How pictures of other sizes are brought to this one.
    pub fit: Fit,
    /// Training pictures are padded with this many pixels on each side and cropped at random to their size.
    pub crop_pad: u32,
    /// Whether training pictures are mirrored, left to right, with probability 1/2.
    pub flip: bool,
}

impl DatasetSpec {
    /// `mean` and `std` of three channels, as the device takes them; channels that pictures lack have 0 and 1.
    pub fn normalisation(&self) -> [[f32; 3]; 2] {
        [(self.mean, 0.0), (self.std, 1.0)]
            .map(|(of, missing)| std::array::from_fn(|channel| of.get(channel).copied().unwrap_or(missing)))
    }

    /// Rows and columns of a picture.
    pub fn size(&self) -> ImageSize {
        ImageSize { height: self.height, width: self.width }
    }
}

/// Names of classes, in the order of the labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClassNames {
    /// Those of a data set that the program knows; none where it knows only the number.
    Known(&'static [&'static str]),
    /// Those of a folder's subfolders.
    Found(Arc<[String]>),
}

impl ClassNames {
    /// The name of a class.
    pub fn get(&self, class: usize) -> Option<&str> {
        match self {
            Self::Known(names) => names.get(class).copied(),
            Self::Found(names) => names.get(class).map(String::as_str),
        }
    }

    /// How many classes have a name.
    pub fn len(&self) -> usize {
        match self {
            Self::Known(names) => names.len(),
            Self::Found(names) => names.len(),
        }
    }

    /// Whether no class has a name.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How a picture comes to have the size that a data set's pictures have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It has it; one of another size is an error.
    Exact,
    /// It is resized to cover that size, and what goes beyond it is cut off evenly on both sides.
    Cover,
    /// As ImageNet's: in training a part of random place, size and shape is resized; else the picture is resized to
    /// cover 8/7 of the size (256 for 224), and the middle cut out.
    ResizedCrop,
}

/// A data set that is at hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// What is known of it.
    pub spec: DatasetSpec,
    /// What is learned from.
    pub train: Pictures,
    /// What the error is measured on.
    pub test: Pictures,
}

/// Pictures with their labels, wherever they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pictures {
    /// In memory.
    Memory(Split),
    /// In one file each, decoded as they are needed.
    #[cfg(not(target_arch = "wasm32"))]
    Files(PictureFiles),
}

impl Pictures {
    /// N, the number of pictures.
    pub fn n(&self) -> u32 {
        self.labels().len() as u32
    }

    /// Classes, `[N]`.
    pub fn labels(&self) -> &[u32] {
        match self {
            Self::Memory(split) => &split.labels,
            #[cfg(not(target_arch = "wasm32"))]
            Self::Files(files) => &files.labels,
        }
    }

    /// The split, if it is in memory.
    pub fn in_memory(&self) -> Option<&Split> {
        match self {
            Self::Memory(split) => Some(split),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Files(_) => None,
        }
    }

    /// Keeps the first `n` pictures and labels; all of them if there are no more than that.
    pub fn limit(&mut self, n: u32) {
        match self {
            Self::Memory(split) => split.limit(n),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Files(files) => files.limit(n),
        }
    }

    /// Bytes of one picture: H·W·C.
    pub fn image_len(&self) -> usize {
        match self {
            Self::Memory(split) => split.image_len(),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Files(files) => files.image_len(),
        }
    }
}

impl From<Split> for Pictures {
    fn from(split: Split) -> Self {
        Self::Memory(split)
    }
}

/// Pictures in memory with their labels; as many of the one as of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Values from 0 to 255, `[N, H, W, C]`.
    pub images: Vec<u8>,
    /// Classes, `[N]`.
    pub labels: Vec<u32>,
    /// N, the number of pictures.
    pub n: u32,
    /// H, rows of a picture.
    pub height: u32,
    /// W, columns of a picture.
    pub width: u32,
    /// C, channels of a picture.
    pub channels: u32,
}

impl Split {
    /// Bytes of one picture: H·W·C.
    pub fn image_len(&self) -> usize {
        self.height as usize * self.width as usize * self.channels as usize
    }

    /// Picture `index`, `[H, W, C]`.
    ///
    /// # Panics
    /// If there is no such picture.
    pub fn image(&self, index: u32) -> &[u8] {
        let len = self.image_len();
        &self.images[index as usize * len..][..len]
    }

    /// Keeps the first `n` pictures and labels; all of them if there are no more than that.
    pub fn limit(&mut self, n: u32) {
        self.n = self.n.min(n);
        let len = self.image_len();
        self.images.truncate(self.n as usize * len);
        self.images.shrink_to_fit();
        self.labels.truncate(self.n as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Split {
        Split { images: (0..12).collect(), labels: vec![7, 8, 9], n: 3, height: 2, width: 1, channels: 2 }
    }

    #[test]
    fn a_picture_is_its_slice() {
        assert_eq!(three().image_len(), 4);
        assert_eq!(three().image(1), [4, 5, 6, 7]);
    }

    #[test]
    fn limit_keeps_the_first() {
        let mut split = three();
        split.limit(2);
        assert_eq!((split.n, &split.images[..], &split.labels[..]), (2, &[0, 1, 2, 3, 4, 5, 6, 7][..], &[7, 8][..]));
    }

    #[test]
    fn a_limit_beyond_the_end_changes_nothing() {
        for n in [3, 4, u32::MAX] {
            let mut split = three();
            split.limit(n);
            assert_eq!(split, three());
        }
    }
}
