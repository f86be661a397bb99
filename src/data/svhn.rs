//! SVHN (Netzer et al. 2011), house numbers cut out around one digit: what is known of it, and how its files are read.
//!
//! A file holds `X`, bytes `[32, 32, 3, N]` in column-major order, so that each picture is three planes, column after
//! column; and `y`, bytes `[N, 1]`: the digit, with 10 for 0.
//!
//! The published program (anokland/local-loss, `train.py`) trains on the 73,257 pictures of `train_32x32.mat` and the
//! 531,131 easier ones of `extra_32x32.mat`, without crop or flip. Here the extra pictures are used where their file is.

use super::dataset::{Dataset, DatasetSpec, Fit, Split};
use super::error::DataError;
use super::mat::{self, Array};
use super::mnist::MNIST;
use super::planes::{PlaneOrder, interleave};
use super::stream::Stream;

/// SVHN's cropped digits.
pub const SVHN: DatasetSpec = DatasetSpec {
    name: "svhn",
    num_classes: 10,
    class_names: MNIST.class_names,
    height: 32,
    width: 32,
    channels: 3,
    mean: &[0.431, 0.430, 0.446],
    std: &[0.197, 0.198, 0.199],
    fit: Fit::Exact,
    crop_pad: 0,
    flip: false,
};

/// The file of the training set.
pub const TRAIN: &str = "train_32x32.mat";
/// The file of more, easier training pictures.
pub const EXTRA: &str = "extra_32x32.mat";
/// The file of the test set.
pub const TEST: &str = "test_32x32.mat";

/// Reads and checks the data set; without `extra` the training set is that of `train` alone.
///
/// # Errors
/// A damaged file, one without `X` and `y` of the right shape, a label out of range.
pub fn parse(train: Stream<'_>, extra: Option<Stream<'_>>, test: Stream<'_>) -> Result<Dataset, DataError> {
    let train = split(std::iter::once(train).chain(extra))?;
    let test = split(std::iter::once(test))?;
    Ok(Dataset { spec: SVHN, train: train.into(), test: test.into() })
}

fn split<'a>(files: impl Iterator<Item = Stream<'a>>) -> Result<Split, DataError> {
    let DatasetSpec { height, width, channels, .. } = SVHN;
    let mut split = Split { images: Vec::new(), labels: Vec::new(), n: 0, height, width, channels };
    for file in files {
        append(file, &mut split)?;
    }
    split.images.shrink_to_fit();
    split.n = split.labels.len() as u32;
    Ok(split)
}

/// Adds the pictures and labels of one file.
fn append(file: Stream<'_>, split: &mut Split) -> Result<(), DataError> {
    let path = file.path().to_owned();
    let wrong = |problem: String| DataError::Mat { path: path.clone(), problem };
    let (mut images, mut labels) = (0, 0);
    mat::read(file, |array| {
        let dims = array.dims.clone();
        match (array.name.as_str(), dims.as_slice()) {
            ("X", [32, 32, 3, n]) => {
                images += n;
                read_images(array, *n, &mut split.images)
            }
            ("y", [n, 1]) => {
                labels += n;
                read_labels(array, *n, &path, &mut split.labels)
            }
            ("X" | "y", _) => Err(wrong(format!("has a variable {} of shape {dims:?}", array.name))),
            _ => Ok(()),
        }
    })?;
    match (images, labels) {
        (0, _) | (_, 0) => Err(wrong("lacks X or y, of bytes".into())),
        _ if images != labels => Err(wrong(format!("holds {labels} labels, but {images} images"))),
        _ => Ok(()),
    }
}

fn read_images(mut array: Array<'_>, n: u64, images: &mut Vec<u8>) -> Result<(), DataError> {
    let shape = [SVHN.height, SVHN.width, SVHN.channels].map(|extent| extent as usize);
    let mut planes = vec![0; shape.iter().product()];
    for _ in 0..n {
        array.fill(&mut planes)?;
        interleave(&planes, shape, PlaneOrder::Columns, images);
    }
    Ok(())
}

fn read_labels(mut array: Array<'_>, n: u64, path: &str, labels: &mut Vec<u32>) -> Result<(), DataError> {
    for index in 0..n {
        let mut label = [0];
        array.fill(&mut label)?;
        match label[0] {
            digit @ 1..=9 => labels.push(digit.into()),
            10 => labels.push(0),
            other => {
                let index = index as usize;
                return Err(DataError::LabelOutOfRange {
                    path: path.into(),
                    index,
                    label: other.into(),
                    labels: 1..11,
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_fixture, fixture};
    use super::*;

    fn stream(name: &str) -> Stream<'static> {
        Stream::open(&fixture(name)).unwrap()
    }

    #[test]
    fn files_of_scipy_are_read_compressed_or_not() {
        let data = parse(stream("svhn_train.mat"), None, stream("svhn_plain.mat")).unwrap();
        assert_fixture(data.train.in_memory().unwrap(), &[1, 9, 0, 5]);
        assert_fixture(data.test.in_memory().unwrap(), &[1, 9, 0, 5]);
    }

    #[test]
    fn extra_pictures_come_behind_the_others() {
        let (train, test) = (stream("svhn_train.mat"), stream("svhn_train.mat"));
        let data = parse(train, Some(stream("svhn_plain.mat")), test).unwrap();
        assert_eq!(data.train.labels(), [1, 9, 0, 5, 1, 9, 0, 5]);
        let train = data.train.in_memory().unwrap();
        assert_eq!(train.image(6), train.image(2));
    }

    fn message(bytes: &[u8]) -> String {
        split(std::iter::once(Stream::from_bytes("x.mat", bytes))).unwrap_err().to_string()
    }

    #[test]
    fn files_cut_off_or_damaged_anywhere_are_refused_in_one_line() {
        for name in ["svhn_train.mat", "svhn_plain.mat"] {
            let bytes = std::fs::read(fixture(name)).unwrap();
            for end in (0..bytes.len()).step_by(7) {
                let text = message(&bytes[..end]);
                assert!(text.starts_with("x.mat: ") && !text.contains('\n'), "{name} cut at {end}: {text}");
            }
        }
        let mut bytes = std::fs::read(fixture("svhn_train.mat")).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        assert!(message(&bytes).contains("x.mat: is damaged ("), "{}", message(&bytes));
    }

    #[test]
    fn other_files_and_contents_are_told_apart() {
        assert!(message(&[b'x'; 200]).starts_with("x.mat: is no MATLAB file;"));
        let mut bytes = std::fs::read(fixture("svhn_plain.mat")).unwrap();
        bytes[125] = 2;
        assert!(message(&bytes).starts_with("x.mat: is of MATLAB's version 7.3;"));
        assert!(
            message(&std::fs::read(fixture("svhn_shape.mat")).unwrap())
                .starts_with("x.mat: has a variable X of shape [32, 32, 3];")
        );
        assert_eq!(
            message(&std::fs::read(fixture("svhn_label.mat")).unwrap()),
            "x.mat: label 11 at index 1 is out of range; labels go from 1 to 10"
        );
    }
}
