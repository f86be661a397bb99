//! The order of the samples in an epoch, and how it is cut into batches.
//!
//! The order is a pure function of (seed, epoch): nothing is carried from one epoch to the next, so a resumed
//! run sees the batches of an unbroken one. Each sample draws a random key and the samples are sorted by it; the keys have
//! 64 bits, so that two equal ones (ordered by sample) are too rare to favour any order.

use std::num::NonZeroU32;
use std::ops::Range;

use super::dataset::Split;
use crate::rng::{Purpose, bits};

/// The numbers `0..n` in the random order of an epoch.
pub fn epoch_order(seed: u64, epoch: u64, n: u32) -> Vec<u32> {
    let mut keyed: Vec<(u64, u32)> =
        (0..n).map(|sample| (bits(seed, Purpose::Shuffle, epoch, u64::from(sample)), sample)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, sample)| sample).collect()
}

/// Cuts `0..n` into ranges of the batch size, in order; the last is smaller where it does not divide `n`.
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Range<usize>,
    size: usize,
}

impl Batches {
    /// The batches of an epoch of `n` samples.
    pub fn new(n: u32, size: NonZeroU32) -> Self {
        Self { rest: 0..n as usize, size: size.get() as usize }
    }
}

impl Iterator for Batches {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let start = self.rest.start;
        self.rest.start += self.rest.len().min(self.size);
        (self.rest.start > start).then_some(start..self.rest.start)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.rest.len().div_ceil(self.size);
        (count, Some(count))
    }
}

impl ExactSizeIterator for Batches {}

/// Copies the pictures of `indices` to the start of `pixels`, `[B, H, W, C]`, and their labels to the start of
/// `labels`, `[B]`. What lies behind them is left as it is.
///
/// # Panics
/// If a sample does not exist, or a slice is too short.
pub fn gather(split: &Split, indices: &[u32], pixels: &mut [u8], labels: &mut [u32]) {
    let len = split.image_len();
    let (pixels, labels) = (&mut pixels[..indices.len() * len], &mut labels[..indices.len()]);
    for ((&index, picture), label) in indices.iter().zip(pixels.chunks_exact_mut(len)).zip(labels) {
        picture.copy_from_slice(split.image(index));
        *label = split.labels[index as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batches(n: u32, size: u32) -> Batches {
        Batches::new(n, NonZeroU32::new(size).unwrap())
    }

    proptest! {
        #[test]
        fn an_order_holds_every_sample_once(seed: u64, epoch: u64, n in 0u32..2000) {
            let mut order = epoch_order(seed, epoch, n);
            order.sort_unstable();
            prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
        }

        #[test]
        fn an_order_is_the_same_again_and_another_in_another_epoch(seed: u64, epoch in 0u64..1000) {
            let order = epoch_order(seed, epoch, 500);
            prop_assert_eq!(&order, &epoch_order(seed, epoch, 500));
            prop_assert_ne!(&order, &epoch_order(seed, epoch + 1, 500));
            prop_assert_ne!(&order, &epoch_order(seed.wrapping_add(1), epoch, 500));
        }

        #[test]
        fn batches_follow_each_other_to_the_end(n in 0u32..1000, size in 1u32..300) {
            let ranges: Vec<_> = batches(n, size).collect();
            prop_assert_eq!(ranges.len(), batches(n, size).len());
            prop_assert_eq!(ranges.iter().cloned().flatten().collect::<Vec<_>>(), (0..n as usize).collect::<Vec<_>>());
            let short = ranges.iter().filter(|range| range.len() != size as usize).count();
            prop_assert_eq!(short, usize::from(n % size != 0));
        }
    }

    /// Every sample comes to every place equally often: 40,000 draws of 20 cells each, 6 deviations allowed.
    #[test]
    fn no_place_is_favoured() {
        const N: usize = 20;
        const EPOCHS: u64 = 40_000;
        let mut count = [[0u32; N]; N];
        for epoch in 0..EPOCHS {
            for (place, sample) in epoch_order(3, epoch, N as u32).into_iter().enumerate() {
                count[place][sample as usize] += 1;
            }
        }
        let (n, p) = (EPOCHS as f64, 1.0 / N as f64);
        let allowed = 6.0 * (n * p * (1.0 - p)).sqrt();
        for &cell in count.iter().flatten() {
            assert!((f64::from(cell) - n * p).abs() < allowed, "{cell} of {}", n * p);
        }
    }

    #[test]
    fn the_last_batch_is_the_rest() {
        assert_eq!(batches(7, 3).collect::<Vec<_>>(), [0..3, 3..6, 6..7]);
        assert!(batches(2, u32::MAX).eq(std::iter::once(0..2)));
        let mut done = batches(1, 1);
        assert_eq!((done.next(), done.next(), done.next()), (Some(0..1), None, None));
    }

    #[test]
    fn gather_copies_pictures_and_labels_and_nothing_else() {
        let split = Split { images: (0..12).collect(), labels: vec![7, 8, 9], n: 3, height: 1, width: 2, channels: 2 };
        let (mut pixels, mut labels) = ([99; 14], [55; 4]);
        gather(&split, &[2, 0, 2], &mut pixels, &mut labels);
        assert_eq!(pixels, [8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11, 99, 99]);
        assert_eq!(labels, [9, 7, 9, 55]);
    }
}
