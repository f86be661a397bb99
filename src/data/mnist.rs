//! MNIST, whole or its embedded part: what is known of it, and how its four files become a [`Dataset`].
//!
//! `mnist-mini` is the first 6,000 training and 1,000 test pictures, compiled into the program so that the
//! first training run needs nothing else (assets/mnist-mini/LICENSE.md has its origin and licence).

use std::borrow::Cow;

use super::dataset::{Dataset, DatasetSpec, Split};
use super::error::DataError;
use super::idx;

/// The whole MNIST: 60,000 training and 10,000 test pictures.
pub const MNIST: DatasetSpec = DatasetSpec {
    name: "mnist",
    num_classes: 10,
    class_names: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    height: 28,
    width: 28,
    channels: 1,
    mean: &[0.1307],
    std: &[0.3081],
    crop_pad: 2,
    flip: false,
};

/// The embedded part. It is normalised like the whole, so that a model of the one can be tried on the other.
pub const MNIST_MINI: DatasetSpec = DatasetSpec { name: "mnist-mini", ..MNIST };

/// The official names of the files: training images and labels, test images and labels.
pub const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// The bytes of one file, gzipped or not, and what it is called in errors.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    /// The file as the user would name it.
    pub path: String,
    /// All of its bytes.
    pub bytes: Cow<'a, [u8]>,
}

/// Reads and checks a data set in MNIST's format, its four files in the order of [`FILES`].
///
/// # Errors
/// Whatever is wrong with a file ([`idx`]), or a number of labels that is not the number of images.
pub fn parse(
    spec: DatasetSpec,
    [train_images, train_labels, test_images, test_labels]: [Source<'_>; 4],
) -> Result<Dataset, DataError> {
    let train = split(&spec, train_images, train_labels)?;
    let test = split(&spec, test_images, test_labels)?;
    Ok(Dataset { name: spec.name, spec, train, test })
}

fn split(spec: &DatasetSpec, images: Source<'_>, labels: Source<'_>) -> Result<Split, DataError> {
    let idx::Images { pixels, n } = idx::read_images(&images.path, &images.bytes, spec.height, spec.width)?;
    let classes = idx::read_labels(&labels.path, &labels.bytes, spec.num_classes)?;
    if classes.len() != n as usize {
        return Err(DataError::CountMismatch {
            images_path: images.path,
            images: n,
            labels_path: labels.path,
            labels: classes.len() as u32,
        });
    }
    let DatasetSpec { height, width, channels, .. } = *spec;
    Ok(Split { images: pixels, labels: classes, n, height, width, channels })
}

/// `mnist-mini`, from the program itself.
///
/// # Errors
/// None, unless the embedded files were replaced by bad ones when the program was built.
pub fn embedded() -> Result<Dataset, DataError> {
    let source = |file: &str, bytes: &'static [u8]| Source {
        path: format!("{}/{file}.gz", MNIST_MINI.name),
        bytes: Cow::Borrowed(bytes),
    };
    parse(
        MNIST_MINI,
        [
            source(FILES[0], include_bytes!("../../assets/mnist-mini/train-images-idx3-ubyte.gz")),
            source(FILES[1], include_bytes!("../../assets/mnist-mini/train-labels-idx1-ubyte.gz")),
            source(FILES[2], include_bytes!("../../assets/mnist-mini/t10k-images-idx3-ubyte.gz")),
            source(FILES[3], include_bytes!("../../assets/mnist-mini/t10k-labels-idx1-ubyte.gz")),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{images_file, labels_file};
    use super::*;

    fn histogram(labels: &[u32]) -> [u32; 10] {
        let mut count = [0; 10];
        labels.iter().for_each(|&label| count[label as usize] += 1);
        count
    }

    fn sum(split: &Split) -> u64 {
        split.images.iter().map(|&pixel| u64::from(pixel)).sum()
    }

    /// Histograms and sums of pixels were counted in the official files, by a program in Python.
    #[test]
    fn the_embedded_part_is_the_beginning_of_mnist() {
        let Dataset { name, spec, train, test } = embedded().unwrap();
        assert_eq!((name, spec.name), ("mnist-mini", "mnist-mini"));
        assert_eq!((train.n, test.n), (6000, 1000));
        assert_eq!((train.images.len(), test.images.len()), (6000 * 784, 1000 * 784));
        assert_eq!(train.labels[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
        assert_eq!(test.labels[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
        assert_eq!(histogram(&train.labels), [592, 671, 581, 608, 623, 514, 608, 651, 551, 601]);
        assert_eq!(histogram(&test.labels), [85, 126, 116, 107, 110, 87, 87, 99, 89, 94]);
        assert_eq!((sum(&train), sum(&test)), (157_703_741, 24_443_134));
    }

    fn sources(train_labels: usize, test_labels: usize) -> [Source<'static>; 4] {
        let source = |path: &str, bytes| Source { path: path.into(), bytes: Cow::Owned(bytes) };
        [
            source("a", images_file(3, 28, 28)),
            source("b", labels_file(&vec![1; train_labels])),
            source("c", images_file(2, 28, 28)),
            source("d", labels_file(&vec![9; test_labels])),
        ]
    }

    #[test]
    fn files_become_their_splits() {
        let data = parse(MNIST, sources(3, 2)).unwrap();
        assert_eq!((data.train.n, data.train.labels), (3, vec![1; 3]));
        assert_eq!((data.test.n, data.test.labels), (2, vec![9; 2]));
    }

    #[test]
    fn as_many_labels_as_images() {
        let error = parse(MNIST, sources(2, 2)).unwrap_err().to_string();
        assert_eq!(error, "b: holds 2 labels, but a holds 3 images; the two counts should be equal");
        let error = parse(MNIST, sources(3, 5)).unwrap_err().to_string();
        assert_eq!(error, "d: holds 5 labels, but c holds 2 images; the two counts should be equal");
    }
}
