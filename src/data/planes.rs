//! Coloured pictures that files store colour by colour, put together pixel by pixel.
//!
//! CIFAR, SVHN and STL-10 all store a picture as three planes, first all red values, then all green, then all blue;
//! they differ in the order inside a plane. The device wants `[H, W, C]`.

/// The order of the values in a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaneOrder {
    /// Row after row (CIFAR).
    Rows,
    /// Column after column (SVHN, STL-10: MATLAB's order).
    Columns,
}

/// Appends to `images` the picture that `planes` holds, `[C, H, W]` or `[C, W, H]` as `order` says, as `[H, W, C]`.
///
/// # Panics
/// If `planes` is not of that size.
pub fn interleave(planes: &[u8], [height, width, channels]: [usize; 3], order: PlaneOrder, images: &mut Vec<u8>) {
    let plane = height * width;
    assert_eq!(planes.len(), plane * channels);
    let start = images.len();
    images.resize(start + planes.len(), 0);
    let picture = &mut images[start..];
    for (channel, values) in planes.chunks_exact(plane).enumerate() {
        for (place, &value) in values.iter().enumerate() {
            let pixel = match order {
                PlaneOrder::Rows => place,
                PlaneOrder::Columns => place % height * width + place / height,
            };
            picture[pixel * channels + channel] = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 2 rows, 3 columns and 2 channels, value 100 c + 10 y + x.
    const PICTURE: [u8; 12] = [0, 100, 1, 101, 2, 102, 10, 110, 11, 111, 12, 112];

    #[test]
    fn rows_and_columns_give_the_same_picture() {
        let rows = [0, 1, 2, 10, 11, 12, 100, 101, 102, 110, 111, 112];
        let columns = [0, 10, 1, 11, 2, 12, 100, 110, 101, 111, 102, 112];
        for (planes, order) in [(rows, PlaneOrder::Rows), (columns, PlaneOrder::Columns)] {
            let mut images = vec![7];
            interleave(&planes, [2, 3, 2], order, &mut images);
            assert_eq!((images[0], &images[1..]), (7, &PICTURE[..]));
        }
    }
}
