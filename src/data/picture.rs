//! Picture files in any format of the `image` crate, into the bytes that a model takes.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};

use super::dataset::{DatasetSpec, Fit};
use super::error::DataError;
use super::fit::Part;
use super::size::ImageSize;

/// Reads the picture at `path` as evaluation on the data set `spec` would see it, `[H, W, C]`, values from 0 to 255.
/// Its format is recognised by its content. One channel is the luminance of a coloured picture; transparency is
/// ignored.
///
/// # Errors
/// A file that cannot be read or is not a picture; with [`Fit::Exact`] another size than the data set's (found before
/// anything is decoded); a number of channels other than 1 and 3.
pub fn load_picture(path: &Path, spec: &DatasetSpec) -> Result<Vec<u8>, DataError> {
    if spec.fit != Fit::Exact {
        let picture = decode_rgb(path)?;
        let whole = ImageSize { height: picture.height(), width: picture.width() };
        return Ok(Part::middle(whole, spec.size(), spec.fit).resized(&picture, spec.size()));
    }
    let DatasetSpec { height, width, channels, .. } = *spec;
    let decoder = decoder(path)?;
    let (found_width, found_height) = decoder.dimensions();
    if (found_height, found_width) != (height, width) {
        let path = path.display().to_string();
        return Err(DataError::WrongImageSize { path, found_height, found_width, height, width });
    }
    let picture = DynamicImage::from_decoder(decoder).map_err(|error| DataError::not_a_picture(path, &error))?;
    match channels {
        1 => Ok(picture.into_luma8().into_raw()),
        3 => Ok(picture.into_rgb8().into_raw()),
        _ => Err(DataError::PictureChannels { path: path.display().to_string(), channels }),
    }
}

/// Reads the picture at `path`, of whatever size, in red, green and blue.
///
/// # Errors
/// A file that cannot be read or is not a picture.
pub fn decode_rgb(path: &Path) -> Result<RgbImage, DataError> {
    let picture = DynamicImage::from_decoder(decoder(path)?);
    Ok(picture.map_err(|error| DataError::not_a_picture(path, &error))?.into_rgb8())
}

fn decoder(path: &Path) -> Result<impl ImageDecoder, DataError> {
    let unreadable = |reason| DataError::Unreadable { path: path.display().to_string(), reason };
    let file = File::open(path).map_err(unreadable)?;
    let reader = ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(unreadable)?;
    reader.into_decoder().map_err(|error| DataError::not_a_picture(path, &error))
}

#[cfg(test)]
mod tests {
    use super::super::imagenet::{IMAGE_FOLDER, sized};
    use super::super::mnist::MNIST;
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

    fn load(path: &Path, height: u32, width: u32, channels: u32) -> Result<Vec<u8>, DataError> {
        load_picture(path, &DatasetSpec { height, width, channels, ..MNIST })
    }

    fn message(path: &Path, height: u32, width: u32, channels: u32) -> String {
        load(path, height, width, channels).unwrap_err().to_string()
    }

    #[test]
    fn grey_pictures_by_content_not_by_name() {
        let dir = folder();
        for (name, format) in [("a.png", ImageFormat::Png), ("b.jpg", ImageFormat::Bmp), ("c", ImageFormat::Png)] {
            let path = grey(dir.path(), name, format);
            assert_eq!(load(&path, 2, 3, 1).unwrap(), [0, 10, 20, 30, 40, 50]);
        }
    }

    #[test]
    fn channels_are_converted() {
        let dir = folder();
        let path = grey(dir.path(), "grey.png", ImageFormat::Png);
        assert_eq!(load(&path, 2, 3, 3).unwrap()[..6], [0, 0, 0, 10, 10, 10]);
        let path = dir.path().join("white.png");
        RgbImage::from_pixel(2, 2, Rgb([255; 3])).save(&path).unwrap();
        assert_eq!(load(&path, 2, 2, 1).unwrap(), [255; 4]);
        let path = dir.path().join("rgba.png");
        RgbaImage::from_pixel(1, 1, Rgba([1, 2, 3, 0])).save(&path).unwrap();
        assert_eq!(load(&path, 1, 1, 3).unwrap(), [1, 2, 3]);
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

    #[test]
    fn pictures_of_a_folder_are_brought_to_size() {
        let dir = folder();
        let path = dir.path().join("wide.png");
        RgbImage::from_fn(8, 2, |x, _| Rgb([if (3..5).contains(&x) { 200 } else { 0 }; 3])).save(&path).unwrap();
        let size = ImageSize { height: 2, width: 2 };
        let spec = sized(&IMAGE_FOLDER, size, IMAGE_FOLDER.class_names, 2);
        assert_eq!(load_picture(&path, &spec).unwrap(), [200; 12]);
    }
}
