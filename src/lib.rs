//! Training neural networks with local error signals, on hand-written WebGPU compute shaders.
#[cfg(not(target_arch = "wasm32"))]
pub mod bench;
pub mod checkpoint;
#[cfg(not(target_arch = "wasm32"))]
pub mod cli;
pub mod data;
pub mod gpu;
pub mod kernels;
pub mod names;
pub mod nn;
pub mod rng;
pub mod run;
mod text;
pub mod train;
#[cfg(target_arch = "wasm32")]
pub mod web;
