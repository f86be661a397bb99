//! Every kernel against a plain `f64` reference, over random and awkward shapes: one, odd, prime, not a multiple of a
//! tile. Needs an adapter; a software one will do.

mod batchnorm;
mod batchnorm_backward;
mod dropout;
mod limits;
mod pool;
mod reduce;
mod support;
