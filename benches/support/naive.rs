//! The yardsticks: products with one thread an output, and the line that says how many times faster ours are.
//!
//! They run as unchecked as the kernels they are compared with, so that what is measured is the way of computing alone.

use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};
use criterion::{Criterion, Throughput};
use predsim::gpu::{Dispatch, Gpu, Lab, Pipeline, Shader, Slice, block_on, grid};
use predsim::kernels::conv2d::Conv2d;
use predsim::kernels::gemm::{Gemm, Op};

use crate::support::{gpu_time, median, quick};

/// The naive twin of `gemm`, without bias.
pub fn naive_gemm(gemm: &Gemm, [a, b]: [Slice; 2], c: Slice) -> Dispatch {
    const SHADER: Shader = Shader::new("naive_gemm", &[include_str!("naive_gemm.wgsl")]);
    let Gemm { m, n, k, .. } = *gemm;
    let [a_row, a_term] = if gemm.op == Op::Tn { [1, m] } else { [k, 1] };
    let [b_term, b_column] = if gemm.op == Op::Nt { [1, k] } else { [n, 1] };
    let params = [m, n, k, a_row, a_term, b_term, b_column, 0];
    let workgroups = [n.div_ceil(8), m.div_ceil(8), 1];
    Dispatch::new("naive", pipeline(SHADER, "multiply"), &params, workgroups).reads(a).reads(b).writes(c)
}

/// The naive twin of a convolution of stride 1, without bias: "forward", "backward_input" or "backward_weight".
pub fn naive_conv2d(conv: &Conv2d, entry: &'static str, [a, b]: [Slice; 2], result: Slice) -> Dispatch {
    const SHADER: Shader = Shader::new("naive_conv2d", &[include_str!("naive_conv2d.wgsl")]);
    #[repr(C)]
    #[derive(Clone, Copy, Pod, Zeroable)]
    struct Params {
        words: [u32; 9],
        spare: [u32; 3],
    }
    let (out_height, out_width) = (conv.out_height(), conv.out_width());
    let Conv2d { batch, height, width, cin, cout, kernel, pad, .. } = *conv;
    let words = [batch, height, width, cin, cout, kernel, pad, out_height, out_width];
    let elements = (result.bytes / 4) as u32;
    let params = Params { words, spare: [0; 3] };
    Dispatch::new("naive", pipeline(SHADER, entry), &params, grid(elements.div_ceil(64)))
        .reads(a)
        .reads(b)
        .writes(result)
}

fn pipeline(shader: Shader, entry: &'static str) -> Pipeline {
    Pipeline::new(shader, entry, Vec::new())
}

/// Turns that rivals take at most, and the time after which none begins: a naive convolution takes seconds.
const MOST_ROUNDS: usize = 5;
const LONGEST: Duration = Duration::from_secs(25);

/// A product and its naive twin, each with the tensor it writes.
pub struct Rivals {
    pub name: String,
    pub ours: (Vec<Dispatch>, Slice),
    pub naive: (Dispatch, Slice),
}

impl Rivals {
    /// Measures ours, then prints the ratio of both's medians. The two take turns, because the machine may be busy.
    ///
    /// # Panics
    /// If the two give different results.
    pub fn compare(&self, criterion: &mut Criterion, gpu: &Gpu, lab: &Lab<'_>) {
        let ours = &self.ours.0;
        let naive = [self.naive.0.clone()];
        let flops: u64 = ours.iter().map(|dispatch| dispatch.flops).sum();
        let mut group = quick(criterion, &self.name);
        group.throughput(Throughput::Elements(flops));
        group.bench_function("gpu time", |bencher| {
            bencher.iter_custom(|iterations| gpu_time(gpu, lab, ours, iterations));
        });
        group.finish();
        let mut times = [Vec::new(), Vec::new()];
        let start = Instant::now();
        while times[0].len() < MOST_ROUNDS && start.elapsed() < LONGEST {
            times[0].push(gpu_time(gpu, lab, ours, 1).as_secs_f64());
            times[1].push(gpu_time(gpu, lab, &naive, 1).as_secs_f64());
        }
        self.agree(gpu, lab);
        let [own, other] = times.map(median);
        let rate = flops as f64 / own / 1e9;
        println!("{}: {:.1} ms, {rate:.1} GFLOP/s, {:.1} x naive\n", self.name, 1e3 * own, other / own);
    }

    fn agree(&self, gpu: &Gpu, lab: &Lab<'_>) {
        let read = |slice| block_on(gpu, lab.read::<f32>(slice)).expect("the device works");
        let (ours, naive) = (read(self.ours.1), read(self.naive.1));
        let scale = naive.iter().fold(0.0, |m: f32, v| m.max(v.abs()));
        let off = ours.iter().zip(&naive).fold(0.0, |m: f32, (a, b)| m.max((a - b).abs()));
        assert!(scale > 0.0 && off <= 1e-4 * scale, "{}: naive differs by {off} of {scale}", self.name);
    }
}
