//! A sheet of pictures in rows, each row under its caption.

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use super::super::letters::write;

/// Pixels between pictures.
const GAP: u32 = 4;
/// Small pictures are enlarged to about so many rows.
const ROWS: u32 = 84;
/// Rows of a caption's letters: 8 doubled.
const LETTER: u32 = 16;
const PAPER: Rgb<u8> = Rgb([255; 3]);

/// Pictures that belong together.
#[derive(Debug, Clone)]
pub struct Row {
    /// What is written above them.
    pub caption: String,
    /// Pictures, all of one size.
    pub pictures: Vec<RgbImage>,
}

/// Draws the rows below each other.
pub fn draw(rows: &[Row]) -> RgbImage {
    let Some(first) = rows.first().and_then(|row| row.pictures.first()) else { return RgbImage::new(1, 1) };
    let scale = (ROWS / first.height()).max(1);
    let (width, height) = (first.width() * scale, first.height() * scale);
    let across = rows.iter().map(|row| row.pictures.len() as u32).max().unwrap_or(0);
    let down = LETTER + height + 3 * GAP;
    let mut sheet = RgbImage::from_pixel(GAP + across * (width + GAP), rows.len() as u32 * down + GAP, PAPER);
    for (top, row) in (GAP..).step_by(down as usize).zip(rows) {
        write(&mut sheet, &row.caption, [GAP, top], LETTER / 8);
        for (left, picture) in (GAP..).step_by((width + GAP) as usize).zip(&row.pictures) {
            let large = imageops::resize(picture, width, height, FilterType::Nearest);
            imageops::replace(&mut sheet, &large, left.into(), (top + LETTER + GAP).into());
        }
    }
    sheet
}

#[cfg(test)]
mod tests {
    use super::super::super::letters::INK;
    use super::*;

    #[test]
    fn pictures_stand_in_rows_under_their_captions() {
        let [red, blue] = [[200, 0, 0], [0, 0, 200]].map(|colour| RgbImage::from_pixel(42, 42, Rgb(colour)));
        let row = |caption: &str, pictures: &[&RgbImage]| Row {
            caption: caption.into(),
            pictures: pictures.iter().map(|&picture| picture.clone()).collect(),
        };
        let sheet = draw(&[row("I", &[&red, &blue]), row("\u{4e00}", &[&blue])]);
        assert_eq!(sheet.dimensions(), (4 + 2 * 88, 2 * (16 + 84 + 12) + 4));
        let at = |x, y| sheet.get_pixel(x, y).0;
        assert_eq!((at(4, 24), at(87, 107)), ([200, 0, 0], [200, 0, 0]));
        assert_eq!((at(92, 24), at(4, 136)), ([0, 0, 200], [0, 0, 200]));
        assert_eq!((at(88, 24), at(4, 108), at(92, 136)), ([255; 3], [255; 3], [255; 3]));
        let ink = |top: u32| (top..top + 16).any(|y| (4..20).any(|x| at(x, y) == INK.0));
        assert!(ink(4) && ink(116), "both captions are written");
    }
}
