//! Small files for the tests of this room, made here or by tests/data/make.py.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::dataset::Split;
use super::idx::{MAGIC_IMAGES, MAGIC_LABELS};

/// An idx file of `n` images with changing grey values.
pub fn images_file(n: u32, height: u32, width: u32) -> Vec<u8> {
    let mut file: Vec<u8> = [MAGIC_IMAGES, n, height, width].iter().flat_map(|word| word.to_be_bytes()).collect();
    file.extend((0..n * height * width).map(|i| (i * 37 % 256) as u8));
    file
}

/// An idx file of labels.
pub fn labels_file(labels: &[u8]) -> Vec<u8> {
    let mut file: Vec<u8> = [MAGIC_LABELS, labels.len() as u32].iter().flat_map(|word| word.to_be_bytes()).collect();
    file.extend_from_slice(labels);
    file
}

/// `bytes`, gzipped.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file that tests/data/make.py wrote.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Panics unless `split` has these labels and the pictures of tests/data/make.py.
pub fn assert_fixture(split: &Split, labels: &[u32]) {
    assert_eq!((split.n, &split.labels[..]), (labels.len() as u32, labels));
    let side = split.width as usize;
    for n in 0..split.n {
        for (place, &value) in split.image(n).iter().enumerate() {
            let (y, x, c) = (place / (3 * side), place / 3 % side, place % 3);
            assert_eq!(usize::from(value), (7 * y + 3 * x + 80 * c + 11 * n as usize) % 256, "{n}: {y} {x} {c}");
        }
    }
}
