//! MNIST and the data sets in its format: what is known of them, and how their four files become a [`Dataset`].
//!
//! `mnist-mini` is the first 6,000 training and 1,000 test pictures of MNIST, compiled into the program so that the
//! first training run needs nothing else (assets/mnist-mini/LICENSE.md has its origin and licence).
//!
//! Normalisation, crop and flip are those of the published program (anokland/local-loss, `train.py`, the `*_transform`s).
//! It mirrors Fashion-MNIST but no digits or characters, and does not move Kuzushiji-MNIST at all.

use super::dataset::{ClassNames, Dataset, DatasetSpec, Fit, Split};
use super::error::DataError;
use super::idx;
use super::stream::Stream;

/// The whole MNIST: 60,000 training and 10,000 test pictures.
pub const MNIST: DatasetSpec = DatasetSpec {
    name: "mnist",
    num_classes: 10,
    class_names: ClassNames::Known(&["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
    height: 28,
    width: 28,
    channels: 1,
    mean: &[0.1307],
    std: &[0.3081],
    fit: Fit::Exact,
    crop_pad: 2,
    flip: false,
};

/// The embedded part. It is normalised like the whole, so that a model of the one can be tried on the other.
pub const MNIST_MINI: DatasetSpec = DatasetSpec { name: "mnist-mini", ..MNIST };

/// Fashion-MNIST (Xiao, Rasul and Vollgraf 2017): clothes, as many and as large as MNIST's digits.
pub const FASHION_MNIST: DatasetSpec = DatasetSpec {
    name: "fashion-mnist",
    class_names: ClassNames::Known(&[
        "T-shirt/top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ]),
    mean: &[0.286],
    std: &[0.353],
    flip: true,
    ..MNIST
};

/// Kuzushiji-MNIST (Clanuwat et al. 2018): cursive Japanese characters, as many and as large as MNIST's digits.
pub const KMNIST: DatasetSpec = DatasetSpec {
    name: "kmnist",
    class_names: ClassNames::Known(&["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]),
    mean: &[0.1904],
    std: &[0.3475],
    crop_pad: 0,
    ..MNIST
};

/// The official names of the files: training images and labels, test images and labels.
pub const FILES: [&str; 4] =
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// Reads and checks a data set in MNIST's format, its four files in the order of [`FILES`].
///
/// # Errors
/// Whatever is wrong with a file ([`idx`]), or a number of labels that is not the number of images.
pub fn parse(
    spec: &DatasetSpec,
    [train_images, train_labels, test_images, test_labels]: [Stream<'_>; 4],
) -> Result<Dataset, DataError> {
    let train = split(spec, train_images, train_labels)?;
    let test = split(spec, test_images, test_labels)?;
    Ok(Dataset { spec: spec.clone(), train: train.into(), test: test.into() })
}

fn split(spec: &DatasetSpec, images: Stream<'_>, labels: Stream<'_>) -> Result<Split, DataError> {
    let (images_path, labels_path) = (images.path().to_owned(), labels.path().to_owned());
    let idx::Images { pixels, n } = idx::read_images(images, spec.height, spec.width)?;
    let classes = idx::read_labels(labels, spec.num_classes)?;
    if classes.len() != n as usize {
        return Err(DataError::CountMismatch { images_path, images: n, labels_path, labels: classes.len() as u32 });
    }
    let DatasetSpec { height, width, channels, .. } = *spec;
    Ok(Split { images: pixels, labels: classes, n, height, width, channels })
}

/// `mnist-mini`, from the program itself.
///
/// # Errors
/// None, unless the embedded files were replaced by bad ones when the program was built.
pub fn embedded() -> Result<Dataset, DataError> {
    let stream = |file: &str, bytes: &'static [u8]| Stream::from_bytes(format!("{}/{file}.gz", MNIST_MINI.name), bytes);
    parse(
        &MNIST_MINI,
        [
            stream(FILES[0], include_bytes!("../../assets/mnist-mini/train-images-idx3-ubyte.gz")),
            stream(FILES[1], include_bytes!("../../assets/mnist-mini/train-labels-idx1-ubyte.gz")),
            stream(FILES[2], include_bytes!("../../assets/mnist-mini/t10k-images-idx3-ubyte.gz")),
            stream(FILES[3], include_bytes!("../../assets/mnist-mini/t10k-labels-idx1-ubyte.gz")),
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
        let Dataset { spec, train, test } = embedded().unwrap();
        assert_eq!(spec, MNIST_MINI);
        let (train, test) = (train.in_memory().unwrap(), test.in_memory().unwrap());
        assert_eq!((train.n, test.n), (6000, 1000));
        assert_eq!((train.images.len(), test.images.len()), (6000 * 784, 1000 * 784));
        assert_eq!(train.labels[..10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
        assert_eq!(test.labels[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
        assert_eq!(histogram(&train.labels), [592, 671, 581, 608, 623, 514, 608, 651, 551, 601]);
        assert_eq!(histogram(&test.labels), [85, 126, 116, 107, 110, 87, 87, 99, 89, 94]);
        assert_eq!((sum(train), sum(test)), (157_703_741, 24_443_134));
    }

    fn streams(train_labels: usize, test_labels: usize) -> [Stream<'static>; 4] {
        [
            Stream::from_bytes("a", images_file(3, 28, 28)),
            Stream::from_bytes("b", labels_file(&vec![1; train_labels])),
            Stream::from_bytes("c", images_file(2, 28, 28)),
            Stream::from_bytes("d", labels_file(&vec![9; test_labels])),
        ]
    }

    #[test]
    fn files_become_their_splits() {
        let data = parse(&MNIST, streams(3, 2)).unwrap();
        assert_eq!((data.train.n(), data.train.labels()), (3, &[1; 3][..]));
        assert_eq!((data.test.n(), data.test.labels()), (2, &[9; 2][..]));
    }

    #[test]
    fn as_many_labels_as_images() {
        let error = parse(&MNIST, streams(2, 2)).unwrap_err().to_string();
        assert_eq!(error, "b: holds 2 labels, but a holds 3 images; the two counts should be equal");
        let error = parse(&MNIST, streams(3, 5)).unwrap_err().to_string();
        assert_eq!(error, "d: holds 5 labels, but c holds 2 images; the two counts should be equal");
    }
}
