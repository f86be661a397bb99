//! Reader of idx files, the format of MNIST and its relatives.
//!
//! An idx file is a big-endian header (a magic number that gives the type of the items and the number of
//! dimensions, then the size of each dimension as `u32`) followed by the items. The two kinds that data sets of
//! pictures use are read here: images `[N, H, W]` of bytes (magic 0x00000803) and labels `[N]` of bytes (0x00000801).

use super::error::DataError;
use super::stream::Stream;

/// First four bytes of an idx file of images: bytes, three dimensions.
pub const MAGIC_IMAGES: u32 = 0x0000_0803;
/// First four bytes of an idx file of labels: bytes, one dimension.
pub const MAGIC_LABELS: u32 = 0x0000_0801;

/// Pictures of an idx file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Grey values, `[N, H, W]`.
    pub pixels: Vec<u8>,
    /// N, at least 1.
    pub n: u32,
}

/// Reads images of `height` rows and `width` columns.
///
/// # Errors
/// Damaged or cut-off gzip, another magic number, pictures of another size, none at all, a file that is shorter
/// or longer than its header says.
pub fn read_images(mut file: Stream<'_>, height: u32, width: u32) -> Result<Images, DataError> {
    let [n, found_height, found_width] = header(&mut file, MAGIC_IMAGES, "images")?;
    if (found_height, found_width) != (height, width) {
        let path = file.path().into();
        return Err(DataError::WrongImageSize { path, found_height, found_width, height, width });
    }
    // Two u32 make at most 64 bits; the third may go beyond, and then no file is long enough.
    let size = (u64::from(height) * u64::from(width)).saturating_mul(u64::from(n));
    let what = format!("the {n} images of {height}x{width} that its header promises");
    let pixels = file.need(size, &what)?;
    file.finish(&what)?;
    Ok(Images { pixels, n })
}

/// Reads labels and checks that each is below `num_classes`.
///
/// # Errors
/// As [`read_images`], and a label out of range.
pub fn read_labels(mut file: Stream<'_>, num_classes: u32) -> Result<Vec<u32>, DataError> {
    let [n] = header(&mut file, MAGIC_LABELS, "labels")?;
    let what = format!("the {n} labels that its header promises");
    let labels = file.need(u64::from(n), &what)?;
    let path = file.path().to_owned();
    file.finish(&what)?;
    match labels.iter().position(|&label| u32::from(label) >= num_classes) {
        Some(index) => {
            Err(DataError::LabelOutOfRange { path, index, label: labels[index].into(), labels: 0..num_classes })
        }
        None => Ok(labels.into_iter().map(u32::from).collect()),
    }
}

/// Checks the magic number and returns the dimensions, the first of which is not zero.
fn header<const RANK: usize>(
    file: &mut Stream<'_>,
    magic: u32,
    content: &'static str,
) -> Result<[u32; RANK], DataError> {
    let size = 4 * (1 + RANK as u64);
    let bytes = file.up_to(size)?;
    let mut words = bytes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    // The wrong kind of file is the likelier cause than a short one, so it is reported first.
    if let Some(found) = words.next().filter(|&found| found != magic) {
        return Err(DataError::WrongMagic { path: file.path().into(), found, expected: magic, content });
    }
    file.expect(size, &format!("the header of an idx file of {content}"))?;
    let dimensions: [u32; RANK] = std::array::from_fn(|_| words.next().unwrap_or(0));
    if dimensions[0] == 0 {
        return Err(DataError::Empty { path: file.path().into(), content });
    }
    Ok(dimensions)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{gzip, images_file, labels_file};
    use super::*;

    fn images(bytes: &[u8]) -> Result<Images, String> {
        read_images(Stream::from_bytes("pics", bytes), 3, 2).map_err(|error| error.to_string())
    }

    fn labels(bytes: &[u8]) -> Result<Vec<u32>, String> {
        read_labels(Stream::from_bytes("tags", bytes), 10).map_err(|error| error.to_string())
    }

    fn with_tail(mut bytes: Vec<u8>, tail: &[u8]) -> Vec<u8> {
        bytes.extend_from_slice(tail);
        bytes
    }

    #[test]
    fn images_gzipped_or_not() {
        let file = images_file(4, 3, 2);
        for bytes in [file.clone(), gzip(&file)] {
            let images = images(&bytes).unwrap();
            assert_eq!((images.n, &images.pixels[..]), (4, &file[16..]));
        }
    }

    #[test]
    fn labels_gzipped_or_not() {
        let file = labels_file(&[0, 9, 5]);
        for bytes in [file.clone(), gzip(&file)] {
            assert_eq!(labels(&bytes).unwrap(), [0, 9, 5]);
        }
    }

    #[test]
    fn gzip_cut_anywhere_is_cut_off() {
        let file = gzip(&images_file(4, 3, 2));
        for end in 2..file.len() {
            let expected = format!(
                "pics: the gzip stream is cut off, the file ends after {end} bytes; get the complete file again"
            );
            assert_eq!(images(&file[..end]).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_plain_file_cut_anywhere_is_too_short() {
        let file = images_file(4, 3, 2);
        for end in 0..file.len() {
            let need = if end < 16 {
                "16 are needed for the header of an idx file of images"
            } else {
                "40 are needed for the 4 images of 3x2 that its header promises"
            };
            let expected = format!("pics: ends after {end} bytes (unpacked), but {need}; get the complete file again");
            assert_eq!(images(&file[..end]).unwrap_err(), expected);
            assert_eq!(images(&gzip(&file[..end])).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_damaged_stream_is_damaged() {
        let mut file = gzip(&images_file(4, 3, 2));
        let checksum = file.len() - 8;
        file[checksum] ^= 1;
        let error = images(&file).unwrap_err();
        assert!(error.starts_with("pics: the gzip stream is damaged (corrupt gzip stream"), "{error}");
        file[10] = 0xff;
        let error = images(&file).unwrap_err();
        assert!(error.starts_with("pics: the gzip stream is damaged (corrupt deflate stream"), "{error}");
    }

    #[test]
    fn another_magic_number_is_wrong() {
        let expected = "pics: begins with 0x00000801, but an idx file of images begins with 0x00000803";
        assert_eq!(images(&labels_file(&[1; 30])).unwrap_err(), expected);
        let expected = "tags: begins with 0x00000803, but an idx file of labels begins with 0x00000801";
        assert_eq!(labels(&gzip(&images_file(1, 3, 2))).unwrap_err(), expected);
        // A web page that was saved in the file's place, even if it is shorter than a header.
        let expected = "pics: begins with 0x3c68746d, but an idx file of images begins with 0x00000803";
        assert_eq!(images(b"<html>").unwrap_err(), expected);
    }

    #[test]
    fn pictures_of_another_size_are_refused() {
        let expected = "pics: the size is 2x3 (height x width), but 3x2 is needed";
        assert_eq!(images(&images_file(4, 2, 3)).unwrap_err(), expected);
    }

    #[test]
    fn no_items_are_too_few() {
        assert_eq!(images(&images_file(0, 3, 2)).unwrap_err(), "pics: holds no images; at least one is needed");
        assert_eq!(labels(&labels_file(&[])).unwrap_err(), "tags: holds no labels; at least one is needed");
    }

    #[test]
    fn trailing_bytes_are_counted() {
        let expected = "pics: has 5 bytes too many after the 4 images of 3x2 that its header promises; \
                        the file should end there";
        let long = with_tail(images_file(4, 3, 2), b"extra");
        assert_eq!(images(&long).unwrap_err(), expected);
        assert_eq!(images(&gzip(&long)).unwrap_err(), expected);
        let expected = "pics: has 4 bytes too many after its gzip stream; the file should end there";
        assert_eq!(images(&with_tail(gzip(&images_file(4, 3, 2)), b"more")).unwrap_err(), expected);
    }

    #[test]
    fn a_label_out_of_range_is_pointed_at() {
        let expected = "tags: label 10 at index 2 is out of range; labels go from 0 to 9";
        assert_eq!(labels(&labels_file(&[0, 9, 10, 255])).unwrap_err(), expected);
    }

    #[test]
    fn a_header_that_promises_too_much_costs_nothing() {
        let mut file = images_file(1, 3, 2);
        file[4..8].fill(0xff);
        for bytes in [file.clone(), gzip(&file)] {
            let error = images(&bytes).unwrap_err();
            assert!(error.contains("but 25769803786 are needed"), "{error}");
        }
        // Even where the size does not fit in 64 bits.
        file[4..16].fill(0xff);
        let error = read_images(Stream::from_bytes("pics", &file[..]), u32::MAX, u32::MAX).unwrap_err();
        assert!(matches!(error, DataError::TooShort { expected: u64::MAX, .. }), "{error}");
    }
}
