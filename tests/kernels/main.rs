//! Every kernel against a plain `f64` reference, over random and awkward shapes: one, odd, prime, not a multiple of a
//! tile. Needs an adapter; a software one will do.

mod augment;
mod augment_cutout;
mod batchnorm;
mod batchnorm_backward;
mod batchnorm_few;
mod batchnorm_pool;
mod batchnorm_weight;
mod conv2d;
mod conv2d_moments;
mod conv2d_transposed;
mod dropout;
mod elementwise;
mod gemm;
mod heads;
mod limits;
mod optimizer;
mod pool;
mod pred;
mod projection;
mod reconstruction;
mod reduce;
mod similarity;
mod similarity_blend;
mod similarity_reference;
mod support;
mod winograd;
