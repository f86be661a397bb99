//! What a data set is once it is in memory: its pictures and labels, and what is known about them beforehand.

/// What is known of a data set without its files.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetSpec {
    /// The name that `--dataset` takes.
    pub name: &'static str,
    /// Number of classes; labels are `0..num_classes`.
    pub num_classes: u32,
    /// What each class is called, in the order of the labels.
    pub class_names: &'static [&'static str],
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
    /// Training pictures are padded with this many pixels on each side and cropped at random to their size.
    pub crop_pad: u32,
    /// Whether training pictures are mirrored, left to right, with probability 1/2.
    pub flip: bool,
}

/// A data set in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The name that `--dataset` takes, as in `spec`.
    pub name: &'static str,
    /// What is known of it without its files.
    pub spec: DatasetSpec,
    /// What is learned from.
    pub train: Split,
    /// What the error is measured on.
    pub test: Split,
}

/// Pictures with their labels; as many of the one as of the other.
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
