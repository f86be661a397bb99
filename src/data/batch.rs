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

/// The numbers `0..labels.len()` in the order of an epoch most of whose batches of `batch` samples hold `classes` different
/// classes (`--classes-per-batch`): the similarity losses of data sets with many classes need pairs of a class in a batch.
///
/// This is the published program's `NClassRandomSampler` (anokland/local-loss, `train.py`). Of what is left in the
/// random order of [`epoch_order`], a batch takes the first `classes` samples; then, until it has that many classes,
/// those of new classes, passing over up to ten times as many; then samples of its classes; and where these run out,
/// any. The published code stops looking for new classes at 10, whatever number it was given; its comment says that
/// number, and so is it here.
pub fn class_order(seed: u64, epoch: u64, labels: &[u32], classes: usize, batch: NonZeroU32) -> Vec<u32> {
    let mut left = Left::new(epoch_order(seed, epoch, labels.len() as u32), labels);
    let mut order = Vec::with_capacity(labels.len());
    while order.len() < labels.len() {
        let end = labels.len().min(order.len() + batch.get() as usize);
        fill_batch(&mut left, classes, end, &mut order);
    }
    order
}

/// Appends one batch to `order`, up to `end`.
fn fill_batch(left: &mut Left<'_>, classes: usize, end: usize, order: &mut Vec<u32>) {
    let mut present: Vec<u32> = Vec::with_capacity(classes);
    let first = end.min(order.len() + classes);
    while order.len() < first
        && let Some(place) = left.next_from(0)
    {
        order.push(left.take(place, &mut present));
    }
    let (mut from, mut passed) = (0, 0);
    while order.len() < end
        && present.len() < classes
        && passed < 10 * classes
        && let Some(place) = left.next_from(from)
    {
        if present.contains(&left.label(place)) {
            passed += 1;
        } else {
            order.push(left.take(place, &mut present));
        }
        from = place + 1;
    }
    while order.len() < end
        && let Some(place) = left.next_of(&present)
    {
        order.push(left.take(place, &mut present));
    }
    while order.len() < end
        && let Some(place) = left.next_from(0)
    {
        order.push(left.take(place, &mut present));
    }
}

/// Samples in a random order, some of which are taken away.
struct Left<'l> {
    order: Vec<u32>,
    labels: &'l [u32],
    taken: Vec<bool>,
    /// Everything before this place is taken.
    head: usize,
    /// Places of each class, the last of them first, without most of those that are taken.
    places: Vec<Vec<usize>>,
}

impl<'l> Left<'l> {
    fn new(order: Vec<u32>, labels: &'l [u32]) -> Self {
        let classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
        let mut places = vec![Vec::new(); classes];
        for (place, &sample) in order.iter().enumerate().rev() {
            places[labels[sample as usize] as usize].push(place);
        }
        Self { taken: vec![false; order.len()], order, labels, head: 0, places }
    }

    fn label(&self, place: usize) -> u32 {
        self.labels[self.order[place] as usize]
    }

    /// The first place from `from` on that is not taken.
    fn next_from(&mut self, from: usize) -> Option<usize> {
        while self.taken.get(self.head) == Some(&true) {
            self.head += 1;
        }
        (from.max(self.head)..self.order.len()).find(|&place| !self.taken[place])
    }

    /// The first place of one of `classes` that is not taken.
    fn next_of(&mut self, classes: &[u32]) -> Option<usize> {
        let Self { places, taken, .. } = self;
        let first = |&class: &u32| {
            let places = &mut places[class as usize];
            while places.last().is_some_and(|&place| taken[place]) {
                places.pop();
            }
            places.last().copied()
        };
        classes.iter().filter_map(first).min()
    }

    /// Takes the sample at `place` away and notes its class.
    fn take(&mut self, place: usize, present: &mut Vec<u32>) -> u32 {
        self.taken[place] = true;
        let label = self.label(place);
        if !present.contains(&label) {
            present.push(label);
        }
        self.order[place]
    }
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

    /// The same, as the published sampler does it: samples are popped off a list.
    fn class_order_by_lists(seed: u64, epoch: u64, labels: &[u32], classes: usize, batch: usize) -> Vec<u32> {
        let mut list = epoch_order(seed, epoch, labels.len() as u32);
        let mut order = Vec::new();
        while !list.is_empty() {
            let mut chosen: Vec<u32> = list.drain(..classes.min(batch).min(list.len())).collect();
            let has = |chosen: &[u32], sample: u32| {
                chosen.iter().any(|&other| labels[other as usize] == labels[sample as usize])
            };
            let count = |chosen: &[u32]| {
                let classes: std::collections::HashSet<u32> = chosen.iter().map(|&s| labels[s as usize]).collect();
                classes.len()
            };
            let mut k = 0;
            while chosen.len() < batch && count(&chosen) < classes && k < 10 * classes && k < list.len() {
                if has(&chosen, list[k]) { k += 1 } else { chosen.push(list.remove(k)) }
            }
            let mut j = 0;
            while j < list.len() && chosen.len() < batch {
                if has(&chosen, list[j]) { chosen.push(list.remove(j)) } else { j += 1 }
            }
            let needed = (batch - chosen.len()).min(list.len());
            chosen.extend(list.drain(..needed));
            order.extend(chosen);
        }
        order
    }

    proptest! {
        #[test]
        fn class_orders_are_those_of_the_published_sampler(
            labels in proptest::collection::vec(0u32..12, 0..400),
            (seed, epoch, classes, batch) in (0u64..100, 0u64..100, 1usize..15, 1usize..50),
        ) {
            let size = NonZeroU32::new(batch as u32).unwrap();
            let order = class_order(seed, epoch, &labels, classes, size);
            prop_assert_eq!(&order, &class_order_by_lists(seed, epoch, &labels, classes, batch));
            let mut sorted = order;
            sorted.sort_unstable();
            prop_assert!(sorted.into_iter().eq(0..labels.len() as u32));
        }
    }

    /// 100 classes of 50 samples: but for the epoch's end every batch has exactly the classes that were asked for.
    #[test]
    fn batches_hold_the_classes_that_were_asked_for() {
        let labels: Vec<u32> = (0..5000).map(|sample| sample % 100).collect();
        let order = class_order(1, 1, &labels, 20, NonZeroU32::new(128).unwrap());
        let count = |batch: &[u32]| {
            let classes: std::collections::HashSet<u32> = batch.iter().map(|&s| labels[s as usize]).collect();
            classes.len()
        };
        let counts: Vec<usize> = order.chunks(128).map(count).collect();
        assert!(counts[..30].iter().all(|&count| count == 20), "{counts:?}");
        assert_ne!(order, class_order(1, 2, &labels, 20, NonZeroU32::new(128).unwrap()));
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
