//! Every kernel against a plain `f64` reference, over random and awkward shapes: one, odd, prime, not a multiple of a
//! tile. Needs an adapter; a software one will do.

mod augment;
mod batchnorm;
mod batchnorm_backward;
mod conv2d;
mod dropout;
mod gemm;
mod optimizer;
mod pool;
mod pred;
mod reduce;
mod similarity;
mod similarity_reference;
mod support;
