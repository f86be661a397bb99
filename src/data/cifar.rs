//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009) in their binary version: what is known of them, and how their files are read.
//!
//! A file is nothing but records: the label in one byte (CIFAR-100: the coarse label, then the fine one, which counts),
//! then 3,072 bytes, the red, green and blue plane of 32x32 pixels, row after row.
//!
//! Normalisation, crop and flip are those of the published program (anokland/local-loss, `train.py`); its means and
//! deviations are not the customary ones.

use super::dataset::{ClassNames, Dataset, DatasetSpec, Fit, Split};
use super::error::DataError;
use super::planes::{PlaneOrder, interleave};
use super::stream::Stream;

/// CIFAR-10: 50,000 training and 10,000 test pictures.
pub const CIFAR10: DatasetSpec = DatasetSpec {
    name: "cifar10",
    num_classes: 10,
    class_names: ClassNames::Known(&[
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ]),
    height: 32,
    width: 32,
    channels: 3,
    mean: &[0.424, 0.415, 0.384],
    std: &[0.283, 0.278, 0.284],
    fit: Fit::Exact,
    crop_pad: 4,
    flip: true,
};

/// CIFAR-100, its 100 fine classes: as many pictures.
pub const CIFAR100: DatasetSpec = DatasetSpec {
    name: "cifar100",
    num_classes: 100,
    class_names: ClassNames::Known(&FINE_NAMES),
    mean: &[0.438, 0.418, 0.377],
    std: &[0.300, 0.287, 0.294],
    ..CIFAR10
};

/// The lines of `fine_label_names.txt`.
#[rustfmt::skip]
const FINE_NAMES: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

/// The files of CIFAR-10's training set, in order.
pub const CIFAR10_TRAIN: [&str; 5] =
    ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
/// The file of CIFAR-10's test set.
pub const CIFAR10_TEST: [&str; 1] = ["test_batch.bin"];
/// The file of CIFAR-100's training set.
pub const CIFAR100_TRAIN: [&str; 1] = ["train.bin"];
/// The file of CIFAR-100's test set.
pub const CIFAR100_TEST: [&str; 1] = ["test.bin"];

/// Reads and checks either data set from its files.
///
/// # Errors
/// A damaged file, one that is empty or ends in the middle of a record, a label out of range.
pub fn parse<'a>(
    spec: &DatasetSpec,
    train: impl IntoIterator<Item = Result<Stream<'a>, DataError>>,
    test: impl IntoIterator<Item = Result<Stream<'a>, DataError>>,
) -> Result<Dataset, DataError> {
    let (train, test) = (split(spec, train)?, split(spec, test)?);
    Ok(Dataset { spec: spec.clone(), train: train.into(), test: test.into() })
}

fn split<'a>(
    spec: &DatasetSpec,
    files: impl IntoIterator<Item = Result<Stream<'a>, DataError>>,
) -> Result<Split, DataError> {
    let DatasetSpec { height, width, channels, .. } = *spec;
    let mut split = Split { images: Vec::new(), labels: Vec::new(), n: 0, height, width, channels };
    for file in files {
        append(spec, file?, &mut split)?;
    }
    split.n = split.labels.len() as u32;
    Ok(split)
}

/// Reads the records of one file.
fn append(spec: &DatasetSpec, mut file: Stream<'_>, split: &mut Split) -> Result<(), DataError> {
    // CIFAR-100 puts the label of a group of classes before that of the class.
    let label_bytes = if spec.num_classes > CIFAR10.num_classes { 2 } else { 1 };
    let shape = [spec.height, spec.width, spec.channels].map(|extent| extent as usize);
    let mut record = vec![0; label_bytes + shape.iter().product::<usize>()];
    for index in 0.. {
        let start = file.position();
        match file.fill(&mut record)? {
            0 if index == 0 => return Err(DataError::Empty { path: file.path().into(), content: "images" }),
            0 => break,
            _ => file.expect(start + record.len() as u64, &format!("the record of image {index}"))?,
        }
        let (labels, planes) = record.split_at(label_bytes);
        let label = u32::from(labels[label_bytes - 1]);
        if label >= spec.num_classes {
            let path = file.path().into();
            return Err(DataError::LabelOutOfRange { path, index, label, labels: 0..spec.num_classes });
        }
        split.labels.push(label);
        interleave(planes, shape, PlaneOrder::Rows, &mut split.images);
    }
    file.finish("its records")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_fixture, fixture, gzip};
    use super::*;

    /// A record whose pixel (y, x) has the values 3x, 2y and `blue`.
    fn record(labels: &[u8], blue: u8) -> Vec<u8> {
        let plane = |value: fn(u8, u8) -> u8| (0..32).flat_map(move |y| (0..32).map(move |x| value(y, x)));
        let red_green = plane(|_, x| 3 * x).chain(plane(|y, _| 2 * y));
        labels.iter().copied().chain(red_green).chain(std::iter::repeat_n(blue, 1024)).collect()
    }

    fn message(spec: &DatasetSpec, bytes: &[u8]) -> String {
        split(spec, [Ok(Stream::from_bytes("x.bin", bytes))]).unwrap_err().to_string()
    }

    #[test]
    fn records_become_pictures_gzipped_or_not() {
        let first = [record(&[7], 1), record(&[2], 2)].concat();
        let second = gzip(&record(&[9], 3));
        let files = [Ok(Stream::from_bytes("1", &first)), Ok(Stream::from_bytes("2", &second))];
        let split = split(&CIFAR10, files).unwrap();
        assert_eq!((split.n, &split.labels[..]), (3, &[7, 2, 9][..]));
        for index in 0..3 {
            let picture = split.image(index);
            assert_eq!(picture.len(), 3072);
            for (pixel, values) in picture.chunks(3).enumerate() {
                let (y, x) = ((pixel / 32) as u8, (pixel % 32) as u8);
                assert_eq!(values, [3 * x, 2 * y, index as u8 + 1], "picture {index} at {y}, {x}");
            }
        }
    }

    #[test]
    fn the_fine_label_counts() {
        let split = split(&CIFAR100, [Stream::open(&fixture("cifar100.bin"))]).unwrap();
        assert_fixture(&split, &[99, 4, 98]);
        assert!(FINE_NAMES.is_sorted() && FINE_NAMES[99] == "worm");
    }

    #[test]
    fn damage_is_placed() {
        let bytes = record(&[3], 0);
        let two = [&bytes[..], &bytes[..100]].concat();
        assert_eq!(
            message(&CIFAR10, &two),
            "x.bin: ends after 3173 bytes (unpacked), but 6146 are needed for the record of image 1; \
             get the complete file again"
        );
        assert_eq!(message(&CIFAR10, &[]), "x.bin: holds no images; at least one is needed");
        let wrong = [bytes, record(&[10], 0)].concat();
        assert_eq!(message(&CIFAR10, &wrong), "x.bin: label 10 at index 1 is out of range; labels go from 0 to 9");
        // The files of CIFAR-10 do not fit the records of CIFAR-100.
        assert!(message(&CIFAR100, &wrong).contains("are needed for the record of image 1"));
    }
}
