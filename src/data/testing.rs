//! Small idx files for the tests of this room.

use std::io::Write;

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
