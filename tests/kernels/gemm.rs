//! Matrix products: every layout, with and without bias, by every way that the adapter has to compute them.

use predsim::gpu::{Mirroring, Slice, Stage, TensorId, schedule};
use predsim::kernels::gemm::{Gemm, Gradient, Op};
use predsim::kernels::precision::Precision;
use predsim::kernels::tuning::Tuning;
use proptest::prelude::*;

use crate::support::{FencedLab, Sum, TINY, assert_sums, random, round_to_f16, tunings, tunings_in};

/// The matrices of one product, as they lie in memory.
struct Product {
    op: Op,
    m: usize,
    n: usize,
    k: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    bias: Option<Vec<f32>>,
    gradient: Option<Gradient>,
}

impl Product {
    /// Contiguous dimensions are rounded up to multiples of four.
    fn random(op: Op, [m, n, k]: [usize; 3], bias: bool, seed: u64) -> Self {
        let m = if op == Op::Tn { m.next_multiple_of(4) } else { m };
        let k = if op == Op::Tn { k } else { k.next_multiple_of(4) };
        let n = n.next_multiple_of(4);
        let (a, b) = (random(seed, m * k), random(seed ^ 1, k * n));
        Self { op, m, n, k, a, b, bias: bias.then(|| random(seed ^ 2, n)), gradient: None }
    }

    /// The same with operands that `f16` holds exactly: a gradient once it is scaled, and else not at all.
    fn in_f16(mut self, gradient: Option<Gradient>) -> Self {
        [&mut self.a, &mut self.b].into_iter().for_each(|values| round_to_f16(values));
        match gradient {
            None => {}
            Some(Gradient::A) => self.a.iter_mut().for_each(|v| *v *= TINY),
            Some(Gradient::B) => self.b.iter_mut().for_each(|v| *v *= TINY),
        }
        Self { gradient, ..self }
    }

    fn gemm(&self, tuning: Tuning) -> Gemm {
        Gemm { m: self.m as u32, n: self.n as u32, k: self.k as u32, op: self.op, gradient: self.gradient, tuning }
    }

    fn reference(&self) -> Vec<Sum> {
        let (m, n, k) = (self.m, self.n, self.k);
        let a = |row: usize, p: usize| self.a[if self.op == Op::Tn { p * m + row } else { row * k + p }];
        let b = |p: usize, column: usize| self.b[if self.op == Op::Nt { column * k + p } else { p * n + column }];
        let mut c = vec![Sum::default(); m * n];
        for (index, sum) in c.iter_mut().enumerate() {
            let (row, column) = (index / n, index % n);
            for p in 0..k {
                sum.add(f64::from(a(row, p)) * f64::from(b(p, column)));
            }
            if let Some(bias) = &self.bias {
                sum.add(f64::from(bias[column]));
            }
        }
        c
    }

    fn run(&self, gemm: Gemm) -> Vec<f32> {
        let mut lab = FencedLab::new();
        let operands = [lab.tensor(&self.a), lab.tensor(&self.b)];
        let bias = self.bias.as_ref().map(|bias| lab.tensor(bias));
        let c = lab.poisoned(4 * (self.m * self.n) as u64);
        let workspace = (gemm.workspace_bytes() > 0).then(|| lab.poisoned(gemm.workspace_bytes()));
        lab.run(gemm.dispatches("gemm", operands, bias, c, workspace));
        lab.read(c)
    }

    fn check(&self, tolerance: f64) {
        self.check_by(tunings(), tolerance);
    }

    fn check_by(&self, tunings: Vec<Tuning>, tolerance: f64) {
        let want = self.reference();
        for tuning in tunings {
            let gemm = self.gemm(tuning);
            assert_sums(&format!("{gemm:?}"), &self.run(gemm), &want, tolerance);
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![Just(Op::Nn), Just(Op::Nt), Just(Op::Tn)]
}

/// Lengths around the tiles' sides, and any others.
fn side() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..140, proptest::sample::select(vec![1, 2, 3, 5, 31, 32, 33, 63, 64, 65, 67, 127, 128, 129])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn products_match(op in op(), m in side(), n in side(), k in side(), bias in any::<bool>(), seed in any::<u64>()) {
        Product::random(op, [m, n, k], bias, seed).check(1e-6);
    }

    #[test]
    fn split_sums_match(
        op in op(), m in 1usize..40, n in 1usize..80, k in 512usize..2000, bias in any::<bool>(), seed in any::<u64>(),
    ) {
        let product = Product::random(op, [m, n, k], bias, seed);
        let split = tunings().iter().filter(|&&tuning| product.gemm(tuning).workspace_bytes() > 0).count();
        prop_assert_eq!(2 * split, tunings().len());
        product.check(1e-6);
    }
}

/// Right operands so large that their mirrors lie in panels: of whole panels, and with half a one behind them.
#[test]
fn products_from_panels_match() {
    for (op, n, k) in [(Op::Nn, 192, 260), (Op::Tn, 256, 258)] {
        let product = Product::random(op, [20, n, k], true, 8);
        let [a, b, c] = [0, 1, 2].map(|id| Slice { tensor: TensorId(id), offset: 0, bytes: 4 * (n * k) as u64 });
        let gemm = Gemm { tuning: Tuning::subgroup8(), ..product.gemm(Tuning::portable()) };
        let mut stages = [Stage::new("gemm", gemm.dispatches("gemm", [a, b], None, c, Some(c)))];
        schedule(&mut stages, Mirroring::All);
        assert_eq!(stages[0].dispatches[0].pipeline.panels, [2]);
        product.check(1e-6);
    }
}

/// Where rounding changes nothing, products in `f16` are as good as any: their sums are in `f32`.
#[test]
fn products_of_halves_match() {
    let gradients = [None, Some(Gradient::A), Some(Gradient::B)];
    for (index, gradient) in gradients.into_iter().enumerate() {
        for op in [Op::Nn, Op::Nt, Op::Tn] {
            for shape in [[1, 4, 1], [67, 36, 50], [130, 132, 20], [5, 20, 600]] {
                let product = Product::random(op, shape, gradient.is_none(), index as u64);
                product.in_f16(gradient).check_by(tunings_in(Precision::F16), 1e-6);
            }
        }
    }
}

/// What is beyond f16 counts as its largest number.
#[test]
fn halves_do_not_overflow() {
    for tuning in tunings_in(Precision::F16) {
        let mut product = Product::random(Op::Nn, [1, 4, 4], false, 6);
        product.a = vec![1e9, -1e9, 1e30, 0.5];
        product.b = [[1.0; 4], [0.0; 4], [-1.0, -1.0, 0.0, 0.0], [2.0; 4]].concat();
        assert_eq!(product.run(product.gemm(tuning)), [1.0, 1.0, 65_505.0, 65_505.0]);
    }
}

#[test]
fn one_row_one_column_one_term() {
    for op in [Op::Nn, Op::Nt, Op::Tn] {
        for shape in [[1, 4, 1], [1, 4, 300], [1, 200, 1], [200, 4, 1], [3, 4, 5]] {
            for bias in [false, true] {
                Product::random(op, shape, bias, 3).check(1e-6);
            }
        }
    }
}

/// Sums of 20,011 numbers that are all positive, where rounding errors have the most to add up to.
#[test]
fn long_sums_are_split_and_stay_accurate() {
    for op in [Op::Nn, Op::Nt, Op::Tn] {
        let mut product = Product::random(op, [5, 20, 20_011], true, 4);
        product.a.iter_mut().chain(&mut product.b).for_each(|v| *v += 1.0);
        assert!(tunings().into_iter().all(|tuning| product.gemm(tuning).workspace_bytes() > 0));
        product.check(5e-6);
    }
}

#[test]
fn equal_tunings_give_equal_bits() {
    let product = Product::random(Op::Nt, [129, 72, 1300], true, 5);
    for tuning in tunings() {
        let bits = || product.run(product.gemm(tuning)).into_iter().map(f32::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(), bits(), "{tuning:?}");
    }
}
