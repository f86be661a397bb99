//! Pictures of any size brought to the size of a data set: which part of a picture is taken, and its resizing.
//!
//! A part is chosen first and then resized, with a triangle filter as wide as the reduction asks for (torchvision's
//! antialiased bilinear one). To resize the whole and cut then, as torchvision does in evaluation, comes to the same.

use image::RgbImage;
use image::imageops::{self, FilterType};

use super::dataset::Fit;
use super::size::ImageSize;
use super::walk::Draw;
use crate::rng::{Purpose, below, bits, uniform01};

/// The part of its picture that ImageNet's evaluation shows: 224 of 256 pixels.
const SHOWN: [u64; 2] = [7, 8];

/// Smallest and largest share of a picture's area that a random part has, and its ratios of width to height.
const AREA: [f64; 2] = [0.08, 1.0];
const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// Tries at a part that fits before the middle is taken.
const TRIES: u64 = 10;

/// A part of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Part {
    /// What evaluation sees of a picture that is `whole`: the largest middle part of the form of `size`, and with
    /// [`Fit::ResizedCrop`] 7/8 of its height and width.
    pub fn middle(whole: ImageSize, size: ImageSize, fit: Fit) -> Self {
        let [height, width] = [whole.height, whole.width].map(u64::from);
        let [rows, columns] = [size.height, size.width].map(u64::from);
        let wider = width * rows >= height * columns;
        let largest =
            if wider { [height, rounded(height * columns, rows)] } else { [rounded(width * rows, columns), width] };
        let [height, width] = largest.map(|side| match fit {
            Fit::ResizedCrop => rounded(side * SHOWN[0], SHOWN[1]).max(1) as u32,
            Fit::Cover | Fit::Exact => side.max(1) as u32,
        });
        Self { x: (whole.width - width) / 2, y: (whole.height - height) / 2, width, height }
    }

    /// A part of random place, size and shape, as torchvision's `RandomResizedCrop` draws it (with the published program's
    /// defaults): 8 to 100 % of the area, width to height from 3/4 to 4/3. A function of seed, epoch and sample.
    pub fn random(whole: ImageSize, draw: Draw, index: u32) -> Self {
        let [height, width] = [whole.height, whole.width].map(f64::from);
        let number = |place| bits(draw.seed, Purpose::ResizedCrop, draw.epoch, (u64::from(index) << 32) | place);
        let between = |place, [low, high]: [f64; 2]| low + (high - low) * uniform01(number(place));
        for first in (0..TRIES).map(|attempt| 4 * attempt) {
            let area = height * width * between(first, AREA);
            let ratio = between(first + 1, RATIO.map(f64::ln)).exp();
            let (columns, rows) = ((area * ratio).sqrt().round() as u32, (area / ratio).sqrt().round() as u32);
            if (1..=whole.width).contains(&columns) && (1..=whole.height).contains(&rows) {
                let place = |at, room: u32| below(number(at), u64::from(room) + 1) as u32;
                let (x, y) = (place(first + 2, whole.width - columns), place(first + 3, whole.height - rows));
                return Self { x, y, width: columns, height: rows };
            }
        }
        // The picture is too long or too high for any: its middle, as long or as high as may be.
        let ratio = (width / height).clamp(RATIO[0], RATIO[1]);
        let columns = ((height * ratio).round() as u32).clamp(1, whole.width);
        let rows = ((width / ratio).round() as u32).clamp(1, whole.height);
        Self { x: (whole.width - columns) / 2, y: (whole.height - rows) / 2, width: columns, height: rows }
    }

    /// This part of `picture` in another size, `[H, W, 3]`. A part that has the size already keeps its pixels.
    pub fn resized(&self, picture: &RgbImage, size: ImageSize) -> Vec<u8> {
        let part = imageops::crop_imm(picture, self.x, self.y, self.width, self.height);
        if (self.height, self.width) == (size.height, size.width) {
            return part.to_image().into_raw();
        }
        imageops::resize(&*part, size.width, size.height, FilterType::Triangle).into_raw()
    }
}

fn rounded(a: u64, b: u64) -> u64 {
    (a + b / 2) / b
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn size(height: u32, width: u32) -> ImageSize {
        ImageSize { height, width }
    }

    #[test]
    fn the_middle_has_the_form_of_the_size() {
        let middle = |whole, to, fit| {
            let Part { x, y, width, height } = Part::middle(whole, to, fit);
            [x, y, width, height]
        };
        assert_eq!(middle(size(32, 32), size(32, 32), Fit::Cover), [0, 0, 32, 32]);
        assert_eq!(middle(size(100, 300), size(32, 32), Fit::Cover), [100, 0, 100, 100]);
        assert_eq!(middle(size(300, 100), size(32, 64), Fit::Cover), [0, 125, 100, 50]);
        assert_eq!(middle(size(256, 341), size(224, 224), Fit::ResizedCrop), [58, 16, 224, 224]);
        assert_eq!(middle(size(1, 1), size(224, 224), Fit::ResizedCrop), [0, 0, 1, 1]);
        assert_eq!(middle(size(1, 4000), size(1, 4096), Fit::Cover), [0, 0, 4000, 1]);
        assert_eq!(middle(size(4000, 1), size(1, 4096), Fit::Cover), [0, 1999, 1, 1]);
    }

    #[test]
    fn random_parts_lie_in_the_picture_and_are_of_the_published_kind() {
        let whole = size(400, 400);
        let (mut areas, mut ratios) = (Vec::new(), Vec::new());
        for index in 0..4000 {
            let part = Part::random(whole, Draw { seed: 1, epoch: 2 }, index);
            assert!(part.x + part.width <= 400 && part.y + part.height <= 400, "{part:?}");
            areas.push(f64::from(part.width * part.height) / 160_000.0);
            ratios.push(f64::from(part.width) / f64::from(part.height));
        }
        let in_range = |values: &[f64], low: f64, high: f64| values.iter().all(|v| (low..=high).contains(v));
        // Rounding to whole pixels goes a little beyond the ranges.
        assert!(in_range(&areas, 0.079, 1.0) && in_range(&ratios, 0.73, 1.36));
        let below = |values: &[f64], limit| values.iter().filter(|&&v| v < limit).count() as f64 / values.len() as f64;
        // In a square, the logarithm of the ratio is symmetric, so half of the parts are higher than wide. Parts of
        // more than 3/4 of the area fit with some ratios only: 58.3 % of those that fit are smaller than 0.54.
        assert!((0.46..0.54).contains(&below(&ratios, 1.0)), "{}", below(&ratios, 1.0));
        assert!((0.55..0.62).contains(&below(&areas, 0.54)), "{}", below(&areas, 0.54));
    }

    #[test]
    fn random_parts_are_a_function_of_seed_epoch_and_sample() {
        let part = |seed, epoch, index| Part::random(size(300, 400), Draw { seed, epoch }, index);
        assert_eq!(part(1, 2, 3), part(1, 2, 3));
        assert!([part(2, 2, 3), part(1, 3, 3), part(1, 2, 4)].iter().all(|&other| other != part(1, 2, 3)));
    }

    #[test]
    fn a_strip_gives_its_middle() {
        let part = Part::random(size(10, 1000), Draw { seed: 1, epoch: 1 }, 0);
        assert_eq!(part, Part { x: 493, y: 0, width: 13, height: 10 });
        let part = Part::random(size(1, 1), Draw { seed: 1, epoch: 1 }, 0);
        assert_eq!(part, Part { x: 0, y: 0, width: 1, height: 1 });
    }

    #[test]
    fn a_part_of_the_right_size_keeps_its_pixels_and_others_are_averaged() {
        let picture = RgbImage::from_fn(4, 2, |x, y| Rgb([x as u8, y as u8, (10 * x) as u8]));
        let right = Part { x: 2, y: 0, width: 2, height: 2 };
        assert_eq!(right.resized(&picture, size(2, 2)), [2, 0, 20, 3, 0, 30, 2, 1, 20, 3, 1, 30]);
        let flat = RgbImage::from_pixel(40, 20, Rgb([5, 6, 7]));
        let all = Part { x: 0, y: 0, width: 40, height: 20 };
        assert_eq!(all.resized(&flat, size(3, 5)), [5, 6, 7].repeat(15));
        let halves = RgbImage::from_fn(40, 20, |x, _| Rgb([if x < 20 { 0 } else { 200 }; 3]));
        let small = all.resized(&halves, size(1, 4));
        assert!(small[0] < 5 && small[11] > 195, "{small:?}");
    }
}
