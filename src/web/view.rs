//! What a look at a network shows, for the page to draw.

use wasm_bindgen::prelude::wasm_bindgen;

use crate::train::{Inspection, softmax};

/// Blocks by their index; classifiers likewise, with the output layer behind the blocks.
#[wasm_bindgen]
#[derive(Debug)]
pub struct View(pub(super) Inspection);

#[wasm_bindgen]
impl View {
    /// `[H, W, C]` of a block's activation.
    pub fn shape(&self, block: usize) -> Vec<u32> {
        let shape = self.0.blocks.get(block).map(|view| [view.shape.h, view.shape.w, view.shape.c]);
        shape.into_iter().flatten().map(|extent| extent as u32).collect()
    }

    /// Its mean activation, `[H, W, C]`.
    pub fn activation(&self, block: usize) -> Vec<f32> {
        self.0.blocks.get(block).map(|view| view.activation.clone()).unwrap_or_default()
    }

    /// Its similarity matrix, `[N, N]`.
    pub fn similarity(&self, block: usize) -> Vec<f32> {
        self.0.blocks.get(block).map(|view| view.similarity.clone()).unwrap_or_default()
    }

    /// Probabilities `[N, K]` by a classifier; empty where a block has none.
    pub fn votes(&self, classifier: usize) -> Vec<f32> {
        let rows = self.0.logits.get(classifier).into_iter().flatten();
        rows.flat_map(|logits| softmax(logits)).map(|probability| probability as f32).collect()
    }
}
