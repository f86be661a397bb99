//! What happens to each training picture: a random crop after zero padding, a random mirroring, and cutout.
//!
//! The host draws the parameters of a batch and uploads them with the pixels; a kernel applies them and normalises.
//! They are a pure function of (seed, epoch, sample), so neither the batch size nor an interruption changes them.
//! The order is torchvision's `RandomCrop(padding)` followed by `RandomHorizontalFlip`: the cropped picture is mirrored.
//! Cutout comes behind normalisation, as in the published program (anokland/local-loss, `train.py`, `Cutout`): a hole
//! is 0, the mean, not black.

use bytemuck::{Pod, Zeroable};

use super::dataset::DatasetSpec;
pub use crate::kernels::augment::Hole;
use crate::rng::{Purpose, below, bits};

/// What happens to one picture. The value of output pixel (y, x) is that of source pixel
/// (y + `dy`, x' + `dx`), where x' = W − 1 − x if `flip` else x; outside of the picture it is black, 0 before normalisation.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct AugmentParams {
    /// Rows that the crop lies below the picture's top; torchvision's offset into the padded picture is `dy` + padding.
    pub dy: i32,
    /// Columns that the crop lies right of the picture's left side.
    pub dx: i32,
    /// 1 if the crop is mirrored, left to right, else 0.
    pub flip: u32,
    /// Zero; fills the struct to the 16 bytes that the GPU wants.
    pub pad: u32,
}

impl AugmentParams {
    /// Leaves a picture as it is.
    pub const IDENTITY: Self = Self { dy: 0, dx: 0, flip: 0, pad: 0 };
}

/// Numbers set aside for one sample and epoch; more draws may come to be needed, and must not move the others.
const DRAWS: u64 = 16;

/// What happens to sample `index` of the training set in `epoch`: offsets uniform in ±`crop_pad`, and a mirroring
/// with probability 1/2 where the data set has it. Nothing unless `train`.
pub fn augment_params(spec: &DatasetSpec, seed: u64, epoch: u64, index: u32, train: bool) -> AugmentParams {
    if !train {
        return AugmentParams::IDENTITY;
    }
    let draw = |draw, n| below(bits(seed, Purpose::Augment, epoch, u64::from(index) * DRAWS + draw), n) as u32;
    let places = 2 * u64::from(spec.crop_pad) + 1;
    let offset = |which| draw(which, places).wrapping_sub(spec.crop_pad) as i32;
    let flip = if spec.flip { draw(2, 2) } else { 0 };
    AugmentParams { dy: offset(0), dx: offset(1), flip, pad: 0 }
}

/// Holes in training pictures (`--cutout`), after DeVries & Taylor 2017.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutout {
    /// Holes of each picture (`--n_holes`).
    pub holes: u32,
    /// Side of a hole in pixels (`--length`). As in the published program it reaches `length / 2`, rounded down, from its
    /// centre to either side, so that an odd one is a pixel smaller; and it ends at the picture's border.
    pub length: u32,
}

impl Cutout {
    /// Pixels that a hole reaches from its centre up and left; down and right it is one fewer.
    pub fn half(&self) -> u32 {
        self.length / 2
    }

    /// The holes of sample `index` of the training set in `epoch`, uniform over the `height` x `width` pixels.
    pub fn centres(
        &self,
        [height, width]: [u32; 2],
        seed: u64,
        epoch: u64,
        index: u32,
    ) -> impl Iterator<Item = Hole> + use<> {
        let first = u64::from(index) << 32;
        let draw = move |draw: u64, n: u32| below(bits(seed, Purpose::Cutout, epoch, first | draw), n.into()) as i32;
        (0..u64::from(self.holes)).map(move |hole| Hole { y: draw(2 * hole, height), x: draw(2 * hole + 1, width) })
    }

    /// Clears holes in normalised pictures `[N, H, W, C]` pixel by pixel: what the kernel is held against. `holes` are
    /// those of the first picture, then of the second and so on.
    ///
    /// # Panics
    /// If `pictures` is shorter than `holes` and the shape say.
    pub fn reference(&self, pictures: &mut [f64], holes: &[Hole], [height, width, channels]: [u32; 3]) {
        let half = i64::from(self.half());
        for (hole, n) in holes.iter().zip((0..).flat_map(|n| std::iter::repeat_n(n, self.holes as usize))) {
            let clipped = |centre: i32, extent: u32| {
                let side = |end: i64| end.clamp(0, extent.into()) as usize;
                side(i64::from(centre) - half)..side(i64::from(centre) + half)
            };
            for y in clipped(hole.y, height) {
                for x in clipped(hole.x, width) {
                    let [rows, columns, channels] = [height, width, channels].map(|extent| extent as usize);
                    let at = ((n * rows + y) * columns + x) * channels;
                    pictures[at..at + channels].fill(0.0);
                }
            }
        }
    }
}

/// Crops, mirrors and normalises in `f64`, pixel by pixel: what the kernel is held against. `images` is
/// `[N, H, W, C]`, N the number of `params`; so is the result, (value / 255 − mean) / std per channel, without
/// the device's padding of channels.
///
/// # Panics
/// If `images` is shorter than `params` and `spec` say.
pub fn reference(images: &[u8], params: &[AugmentParams], spec: &DatasetSpec) -> Vec<f64> {
    let [height, width, channels] = [spec.height, spec.width, spec.channels].map(i64::from);
    let mut out = Vec::new();
    for (n, p) in (0..).zip(params) {
        for y in 0..height {
            for x in 0..width {
                let row = y + i64::from(p.dy);
                let column = if p.flip != 0 { width - 1 - x } else { x } + i64::from(p.dx);
                let inside = (0..height).contains(&row) && (0..width).contains(&column);
                for c in 0..channels {
                    let at = ((n * height + row) * width + column) * channels + c;
                    let value = if inside { f64::from(images[at as usize]) / 255.0 } else { 0.0 };
                    out.push((value - f64::from(spec.mean[c as usize])) / f64::from(spec.std[c as usize]));
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::mnist::MNIST;
    use super::*;
    use proptest::prelude::*;

    const FLIPPED: DatasetSpec = DatasetSpec { flip: true, crop_pad: 4, ..MNIST };

    #[test]
    fn test_pictures_stay_as_they_are() {
        for index in 0..100 {
            assert_eq!(augment_params(&FLIPPED, 1, 2, index, false), AugmentParams::IDENTITY);
        }
    }

    #[test]
    fn without_padding_and_mirroring_nothing_happens() {
        let plain = DatasetSpec { crop_pad: 0, ..MNIST };
        assert!((0..100).all(|index| augment_params(&plain, 1, 2, index, true) == AugmentParams::IDENTITY));
    }

    /// 64,800 draws into 9 x 9 x 2 equal cells: 400 expected in each, 6 deviations allowed. As they are cells of all
    /// three draws together, the draws are independent.
    #[test]
    fn offsets_and_mirroring_are_uniform_and_independent() {
        let mut count = [[[0u32; 2]; 9]; 9];
        for i in 0..64_800 {
            let p = augment_params(&FLIPPED, 5, u64::from(i % 8), i / 8, true);
            assert_eq!(p.pad, 0);
            count[(p.dy + 4) as usize][(p.dx + 4) as usize][p.flip as usize] += 1;
        }
        for &cell in count.iter().flatten().flatten() {
            assert!((280..520).contains(&cell), "{cell}");
        }
    }

    #[test]
    fn mnist_is_never_mirrored() {
        assert!((0..200).all(|index| augment_params(&MNIST, 1, 2, index, true).flip == 0));
    }

    proptest! {
        #[test]
        fn the_same_sample_draws_the_same_again(seed: u64, epoch: u64, index: u32) {
            let p = augment_params(&FLIPPED, seed, epoch, index, true);
            prop_assert_eq!(p, augment_params(&FLIPPED, seed, epoch, index, true));
            prop_assert!(p.dy.abs() <= 4 && p.dx.abs() <= 4 && p.flip <= 1);
        }
    }

    #[test]
    fn seed_epoch_and_sample_each_matter() {
        let all = |seed, epoch, from: u32| -> Vec<_> {
            (from..from + 100).map(|index| augment_params(&FLIPPED, seed, epoch, index, true)).collect()
        };
        assert_ne!(all(1, 1, 0), all(2, 1, 0));
        assert_ne!(all(1, 1, 0), all(1, 2, 0));
        assert_ne!(all(1, 1, 0), all(1, 1, 100));
    }

    /// Pictures of 2 x 3 and one channel, whose normalised values are those of the pixels over 255.
    const SMALL: DatasetSpec = DatasetSpec { height: 2, width: 3, mean: &[0.0], std: &[1.0], ..MNIST };

    fn pixels(params: AugmentParams) -> Vec<f64> {
        reference(&[1, 2, 3, 4, 5, 6], &[params], &SMALL).into_iter().map(|value| (value * 255.0).round()).collect()
    }

    #[test]
    fn the_reference_crops_and_then_mirrors() {
        let identity = AugmentParams::IDENTITY;
        assert_eq!(pixels(identity), [1., 2., 3., 4., 5., 6.]);
        assert_eq!(pixels(AugmentParams { dy: 1, ..identity }), [4., 5., 6., 0., 0., 0.]);
        assert_eq!(pixels(AugmentParams { dy: -1, ..identity }), [0., 0., 0., 1., 2., 3.]);
        assert_eq!(pixels(AugmentParams { dx: 1, ..identity }), [2., 3., 0., 5., 6., 0.]);
        assert_eq!(pixels(AugmentParams { flip: 1, ..identity }), [3., 2., 1., 6., 5., 4.]);
        // The crop is [2, 3, 0] and [5, 6, 0]; mirroring first would give [2, 1, 0] and [5, 4, 0].
        assert_eq!(pixels(AugmentParams { dx: 1, flip: 1, ..identity }), [0., 3., 2., 0., 6., 5.]);
        assert_eq!(pixels(AugmentParams { dy: 9, dx: -9, ..identity }), [0.; 6]);
    }

    #[test]
    fn the_reference_normalises_each_channel_of_each_picture() {
        let spec =
            DatasetSpec { height: 1, width: 1, channels: 3, mean: &[0.5, 0.25, 0.0], std: &[0.5, 2.0, 4.0], ..MNIST };
        let black = AugmentParams { dy: 1, ..AugmentParams::IDENTITY };
        let out = reference(&[255, 0, 51, 0, 255, 102, 9, 9, 9], &[AugmentParams::IDENTITY; 2], &spec);
        for (value, expected) in out.iter().zip([1.0, -0.125, 0.05, -1.0, 0.375, 0.1]) {
            assert!((value - expected).abs() < 1e-15, "{value} {expected}");
        }
        assert_eq!(out.len(), 6);
        assert_eq!(reference(&[255; 3], &[black], &spec), [-1.0, -0.125, 0.0]);
    }

    const CUTOUT: Cutout = Cutout { holes: 3, length: 5 };

    /// 48,000 centres in 4 x 6 cells of equal size: 2,000 expected in each, 6 deviations allowed.
    #[test]
    fn centres_are_uniform_over_the_picture() {
        let mut count = [[0u32; 6]; 4];
        for index in 0..16_000 {
            for hole in CUTOUT.centres([4, 6], 1, 2, index) {
                count[hole.y as usize][hole.x as usize] += 1;
            }
        }
        for &cell in count.iter().flatten() {
            assert!((1735..2265).contains(&cell), "{cell}");
        }
    }

    #[test]
    fn holes_are_a_function_of_seed_epoch_and_sample() {
        let holes = |seed, epoch, index| CUTOUT.centres([96, 96], seed, epoch, index).collect::<Vec<_>>();
        assert_eq!(holes(1, 2, 3), holes(1, 2, 3));
        assert_eq!(holes(1, 2, 3).len(), 3);
        for other in [holes(2, 2, 3), holes(1, 3, 3), holes(1, 2, 4)] {
            assert_ne!(holes(1, 2, 3), other);
        }
        let fewer = Cutout { holes: 1, ..CUTOUT };
        assert_eq!(fewer.centres([96, 96], 1, 2, 3).next(), holes(1, 2, 3).first().copied());
    }

    /// Two pictures of 3 x 4 and two channels, all ones; which pixels of them the reference leaves.
    fn left(cutout: Cutout, holes: &[(i32, i32)]) -> Vec<String> {
        let mut pictures = vec![1.0; 2 * 3 * 4 * 2];
        let holes: Vec<Hole> = holes.iter().map(|&(y, x)| Hole { y, x }).collect();
        cutout.reference(&mut pictures, &holes, [3, 4, 2]);
        assert!(pictures.chunks(2).all(|pixel| pixel[0] == pixel[1]));
        let sign = |pixel: &[f64]| if pixel[0] == 0.0 { '.' } else { '#' };
        pictures.chunks(8).map(|row| row.chunks(2).map(sign).collect()).collect()
    }

    #[test]
    fn holes_reach_half_their_length_and_end_at_the_border() {
        let whole = "####";
        let one = |length| Cutout { holes: 1, length };
        let corner = ["..##", "..##", whole, "##..", whole, whole];
        assert_eq!(left(one(2), &[(1, 1), (0, 3)]), corner);
        // An odd length is rounded down to an even one, and 1 to nothing.
        assert_eq!(left(one(3), &[(1, 1), (0, 3)]), corner);
        assert_eq!(left(one(1), &[(1, 1), (0, 3)]), [whole; 6]);
        assert_eq!(left(one(u32::MAX), &[(1, 1), (0, 3)]), ["...."; 6]);
        let two = Cutout { holes: 2, length: 2 };
        assert_eq!(left(two, &[(1, 1), (1, 2), (3, 0), (1, 4)]), ["...#", "...#", whole, "###.", "###.", ".###"]);
    }
}
