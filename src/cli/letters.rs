//! Letters on pictures, from a bitmap font of 8 by 8 pixels that is compiled in, so that none has to be found on the
//! machine.

use font8x8::legacy::BASIC_LEGACY;
use image::{Rgb, RgbImage};

/// The colour of text.
pub const INK: Rgb<u8> = Rgb([40, 40, 40]);

/// Writes a line of text whose upper left corner is at (`left`, `top`), each letter `8 * scale` pixels wide and high.
/// What the font does not have becomes a question mark, what does not fit is left out.
pub fn write(picture: &mut RgbImage, text: &str, [left, top]: [u32; 2], scale: u32) {
    let side = 8 * scale;
    let glyph = |letter: char| BASIC_LEGACY.get(letter as usize).unwrap_or(&BASIC_LEGACY[usize::from(b'?')]);
    for (letter, x) in text.chars().zip((left..picture.width()).step_by(side as usize)) {
        let glyph = glyph(letter);
        for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
            let set = glyph[(row / scale) as usize] >> (column / scale) & 1 == 1;
            if let (true, Some(pixel)) = (set, picture.get_pixel_mut_checked(x + column, top + row)) {
                *pixel = INK;
            }
        }
    }
}
