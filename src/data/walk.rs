//! A pass over pictures in an order that is known beforehand: what fills the batches of an epoch.

use std::sync::Arc;

use super::batch::gather;
use super::dataset::{Pictures, Split};
use super::error::DataError;
#[cfg(not(target_arch = "wasm32"))]
use super::prefetch::Prefetch;

/// What the random numbers of a training pass depend on, besides the sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// The epoch.
    pub epoch: u64,
}

/// A pass under way.
#[derive(Debug)]
pub struct Walk<'d> {
    order: Arc<[u32]>,
    at: usize,
    feed: Feed<'d>,
}

#[derive(Debug)]
enum Feed<'d> {
    Memory(&'d Split),
    #[cfg(not(target_arch = "wasm32"))]
    Files {
        pictures: Prefetch,
        labels: &'d [u32],
    },
}

impl Pictures {
    /// Begins a pass over the samples that `order` names, at its place `from`. Pictures in files are decoded ahead from now
    /// on; in a training pass `draw` decides which part of each is taken.
    ///
    /// # Panics
    /// If a sample does not exist.
    pub fn walk(&self, order: Arc<[u32]>, from: usize, draw: Option<Draw>) -> Walk<'_> {
        let feed = match self {
            Self::Memory(split) => Feed::Memory(split),
            #[cfg(not(target_arch = "wasm32"))]
            Self::Files(files) => {
                let (pictures, places) = (files.clone(), order.clone());
                let decode = move |place: usize| pictures.decode(places[place], draw);
                let pictures = Prefetch::new(from, order.len(), files.image_len(), decode);
                Feed::Files { pictures, labels: &files.labels }
            }
        };
        // Only pictures in files draw anything here.
        let _ = draw;
        Walk { order, at: from, feed }
    }
}

impl Walk<'_> {
    /// The place in the order that comes next.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Fills `labels` with the labels of the samples that come next, as many as there is room for, and `pixels` with their
    /// pictures, `[N, H, W, C]`.
    ///
    /// # Errors
    /// A picture that cannot be read.
    ///
    /// # Panics
    /// If the order has fewer samples left, or `pixels` is not of the labels' number of pictures.
    pub fn fill(&mut self, pixels: &mut [u8], labels: &mut [u32]) -> Result<(), DataError> {
        let samples = &self.order[self.at..self.at + labels.len()];
        match &mut self.feed {
            Feed::Memory(split) => gather(split, samples, pixels, labels),
            #[cfg(not(target_arch = "wasm32"))]
            Feed::Files { pictures, labels: of_all } => {
                let len = pixels.len() / labels.len().max(1);
                let places = pixels.chunks_exact_mut(len.max(1)).zip(&mut *labels);
                for (&sample, (picture, label)) in samples.iter().zip(places) {
                    picture.copy_from_slice(&pictures.take()?);
                    *label = of_all[sample as usize];
                }
            }
        }
        self.at += labels.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_through_memory_goes_on_from_where_it_was() {
        let split = Split { images: (0..6).collect(), labels: vec![7, 8, 9], n: 3, height: 1, width: 2, channels: 1 };
        let pictures = Pictures::from(split);
        let mut walk = pictures.walk(Arc::new([1, 2, 0, 1]), 1, None);
        let (mut pixels, mut labels) = ([0; 4], [0; 2]);
        walk.fill(&mut pixels, &mut labels).unwrap();
        assert_eq!((pixels, labels, walk.at()), ([4, 5, 0, 1], [9, 7], 3));
        let (mut pixels, mut labels) = ([0; 2], [0; 1]);
        walk.fill(&mut pixels, &mut labels).unwrap();
        assert_eq!((pixels, labels, walk.at()), ([2, 3], [8], 4));
    }
}
