//! Picture files of the user, for `predict`: any format of the `image` crate, into the bytes that a model takes.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader};

use super::error::{DataError, one_line};

/// Reads the picture at `path` as `[H, W, C]`, values from 0 to 255. Its format is recognised by its content. One channel
/// is the luminance of a coloured picture; transparency is ignored.
///
/// # Errors
/// A file that cannot be read or is not a picture, a size other than `height` × `width` (found before anything is decoded),
/// `channels` other than 1 and 3.
pub fn load_picture(path: &Path, height: u32, width: u32, channels: u32) -> Result<Vec<u8>, DataError> {
    let shown = || path.display().to_string();
    let unreadable = |reason| DataError::Unreadable { path: shown(), reason };
    let not_a_picture =
        |error: image::ImageError| DataError::NotAPicture { path: shown(), reason: one_line(&error.to_string()) };

    let file = File::open(path).map_err(unreadable)?;
    let reader = ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(unreadable)?;
    let decoder = reader.into_decoder().map_err(not_a_picture)?;
    let (found_width, found_height) = decoder.dimensions();
    if (found_height, found_width) != (height, width) {
        return Err(DataError::WrongImageSize { path: shown(), found_height, found_width, height, width });
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(not_a_picture)?;
    match channels {
        1 => Ok(picture.into_luma8().into_raw()),
        3 => Ok(picture.into_rgb8().into_raw()),
        _ => Err(DataError::PictureChannels { path: shown(), channels }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
    use std::fs;
    use std::path::PathBuf;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    /// A grey picture of 2 rows and 3 columns, with values 0, 10, ..., 50.
    fn grey(dir: &Path, name: &str, format: ImageFormat) -> PathBuf {
        let path = dir.join(name);
        let picture = GrayImage::from_fn(3, 2, |x, y| Luma([(y * 30 + x * 10) as u8]));
        picture.save_with_format(&path, format).unwrap();
        path
    }

    fn message(path: &Path, height: u32, width: u32, channels: u32) -> String {
        load_picture(path, height, width, channels).unwrap_err().to_string()
    }

    #[test]
    fn grey_pictures_by_content_not_by_name() {
        let dir = folder();
        for (name, format) in [("a.png", ImageFormat::Png), ("b.jpg", ImageFormat::Bmp), ("c", ImageFormat::Png)] {
            let path = grey(dir.path(), name, format);
            assert_eq!(load_picture(&path, 2, 3, 1).unwrap(), [0, 10, 20, 30, 40, 50]);
        }
    }

    #[test]
    fn channels_are_converted() {
        let dir = folder();
        let path = grey(dir.path(), "grey.png", ImageFormat::Png);
        assert_eq!(load_picture(&path, 2, 3, 3).unwrap()[..6], [0, 0, 0, 10, 10, 10]);
        let path = dir.path().join("white.png");
        RgbImage::from_pixel(2, 2, Rgb([255; 3])).save(&path).unwrap();
        assert_eq!(load_picture(&path, 2, 2, 1).unwrap(), [255; 4]);
        let path = dir.path().join("rgba.png");
        RgbaImage::from_pixel(1, 1, Rgba([1, 2, 3, 0])).save(&path).unwrap();
        assert_eq!(load_picture(&path, 1, 1, 3).unwrap(), [1, 2, 3]);
    }

    #[test]
    fn another_size_is_refused() {
        let dir = folder();
        let path = grey(dir.path(), "a.png", ImageFormat::Png);
        let expected = format!("{}: the size is 2x3 (height x width), but 28x28 is needed", path.display());
        assert_eq!(message(&path, 28, 28, 1), expected);
        assert!(message(&path, 3, 2, 1).ends_with("the size is 2x3 (height x width), but 3x2 is needed"));
    }

    #[test]
    fn what_is_no_picture_is_refused_in_one_line() {
        let dir = folder();
        let path = dir.path().join("notes.png");
        fs::write(&path, "no picture\nat all").unwrap();
        let text = message(&path, 2, 3, 1);
        assert!(text.starts_with(&format!("{}: is not a readable picture (", path.display())), "{text}");
        assert!(text.ends_with("); PNG, JPEG, BMP and the other common formats are") && !text.contains('\n'), "{text}");

        let path = grey(dir.path(), "cut.png", ImageFormat::Png);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 20]).unwrap();
        let text = message(&path, 2, 3, 1);
        assert!(text.contains("is not a readable picture (") && !text.contains('\n'), "{text}");
    }

    #[test]
    fn a_missing_file_is_unreadable() {
        let path = folder().path().join("gone.png");
        let text = message(&path, 2, 3, 1);
        assert!(text.starts_with(&format!("{}: cannot be read (", path.display())), "{text}");
    }

    #[test]
    fn two_channels_are_none_of_a_picture() {
        let dir = folder();
        let path = grey(dir.path(), "a.png", ImageFormat::Png);
        assert!(message(&path, 2, 3, 2).ends_with("but the model takes 2"));
    }
}
