pub mod nn;
pub mod rng;
