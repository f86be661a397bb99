//! Deviations by kind, and their bounds: a floor, or ten times what the cases' own program loses in `f32`, where that is
//! more; for products in `f16`, bounds of our own.

use std::collections::BTreeMap;

use predsim::kernels::precision::Precision;

use super::case::Case;

/// Null gradients may be off by this much, absolutely.
const NULL_GRADIENT: f64 = 1e-5;

/// Bounds for products of operands rounded to `f16`, 8192 times as coarse as `f32`: a few times the largest deviations seen.
/// Kinds that are not here are not judged: single gradients jump where a rectifier or a maximum falls to the other side, and
/// Adam makes as much of the smallest gradient as of the largest.
const HALF_BOUNDS: [(&str, f64); 8] = [
    ("losses", 5e-2),
    ("logits", 3e-1),
    ("eval logits", 2e-3),
    ("stats0", 3e-3),
    ("final var", 1e-2),
    ("grad0 all", 1e-1),
    ("null grad", NULL_GRADIENT),
    ("update all", 3e-1),
];

/// What was found for one kind of quantity.
#[derive(Debug, Clone, Default)]
struct Kind {
    worst: f64,
    bound: f64,
    at: String,
}

/// All deviations of a case.
#[derive(Debug, Default)]
pub struct Findings {
    kinds: BTreeMap<&'static str, Kind>,
    errors: Vec<String>,
    precision: Precision,
    updates: Distance,
    gradients: Distance,
}

/// How far all tensors together are from what they should be.
#[derive(Debug, Default)]
struct Distance {
    missed: f64,
    length: f64,
}

impl Distance {
    /// Adds a tensor; returns how far it is itself, unless it hardly has a length.
    fn add(&mut self, got: &[f32], want: &[f32], start: &[f32]) -> Option<f64> {
        let square = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        let (missed, length) = (square(got, want), square(want, start));
        self.missed += missed;
        self.length += length;
        (length > 1e-18).then(|| (missed / length).sqrt())
    }

    fn share(&self) -> f64 {
        (self.missed / (self.length + 1e-30)).sqrt()
    }
}

/// `max(floor, 10 x float32_deviation)`.
fn bound(case: &Case, bucket: &str, column: usize, floor: f64) -> f64 {
    case.float32_deviation.get(bucket).map_or(floor, |deviation| floor.max(10.0 * deviation[column]))
}

impl Findings {
    /// For products in `precision`.
    pub fn new(precision: Precision) -> Self {
        Self { precision, ..Self::default() }
    }

    /// Notes a deviation of `kind`.
    fn note(&mut self, kind: &'static str, at: &str, deviation: f64, bound: f64) {
        let half = || HALF_BOUNDS.iter().find(|(name, _)| *name == kind).map_or(f64::INFINITY, |(_, bound)| *bound);
        let bound = if self.precision == Precision::F16 { half() } else { bound };
        let entry = self.kinds.entry(kind).or_insert_with(|| Kind { worst: -1.0, ..Kind::default() });
        entry.bound = bound;
        // NaN is worse than anything.
        if deviation.is_nan() || deviation > entry.worst {
            entry.worst = if deviation.is_nan() { f64::INFINITY } else { deviation };
            entry.at = at.to_owned();
        }
    }

    /// Compares a tensor relative to its largest value.
    #[allow(clippy::too_many_arguments, reason = "a row of the table of tolerances and the two tensors")]
    pub fn relative(
        &mut self,
        case: &Case,
        kind: &'static str,
        bucket: &str,
        floor: f64,
        at: &str,
        got: &[f32],
        want: &[f32],
    ) {
        if got.len() != want.len() {
            self.error(format!("{kind} {at}: {} values instead of {}", got.len(), want.len()));
            return;
        }
        let scale = want.iter().fold(1e-30, |m: f64, v| m.max(f64::from(v.abs())));
        self.note(kind, at, largest_difference(got, want) / scale, bound(case, bucket, 1, floor));
    }

    /// Compares a raw gradient that is zero but for rounding.
    pub fn null_gradient(&mut self, at: &str, got: &[f32], want: &[f32]) {
        self.note("null grad", at, largest_difference(got, want), NULL_GRADIENT);
    }

    /// Compares where a tensor ended whose gradient is zero but for rounding: Adam turns that into steps of up to lr.
    pub fn null_final(&mut self, case: &Case, lr: f64, at: &str, got: &[f32], want: &[f32]) {
        let reach = 1.1 * lr * case.count("steps") as f64;
        self.note("null final", at, largest_difference(got, want), reach);
    }

    /// Compares a parameter's way from `start` during the steps.
    pub fn update(&mut self, case: &Case, at: &str, got: &[f32], want: &[f32], start: &[f32]) {
        if let Some(share) = self.updates.add(got, want, start) {
            self.note("update worst", at, share, bound(case, "update", 0, 1e-3));
        }
    }

    /// Compares a gradient: each value, and its share of all gradients' lengths.
    pub fn gradient(&mut self, case: &Case, at: &str, got: &[f32], want: &[f32]) {
        self.relative(case, "grad0", "grad0", 5e-5, at, got, want);
        self.gradients.add(got, want, &vec![0.0; want.len()]);
    }

    /// Closes the sums over all gradients and all updates.
    pub fn close(&mut self, case: &Case) {
        self.note("grad0 all", "all tensors", self.gradients.share(), bound(case, "grad0", 1, 5e-5));
        self.note("update all", "all tensors", self.updates.share(), bound(case, "update", 1, 1e-4));
    }

    /// Something that is plainly wrong.
    pub fn error(&mut self, message: String) {
        self.errors.push(message);
    }

    /// One line: each kind with its largest deviation and its bound.
    pub fn summary(&self) -> String {
        let kinds: Vec<String> =
            self.kinds.iter().map(|(name, kind)| format!("{name} {:.1e}/{:.0e}", kind.worst, kind.bound)).collect();
        kinds.join("  ")
    }

    /// What is over its bound.
    pub fn failures(&self) -> Vec<String> {
        let over = self.kinds.iter().filter(|(_, kind)| kind.worst > kind.bound);
        let lines = over.map(|(name, kind)| {
            format!("{name}: {} is off by {:.3e}, more than {:.1e}", kind.at, kind.worst, kind.bound)
        });
        self.errors.iter().cloned().chain(lines).collect()
    }
}

fn largest_difference(got: &[f32], want: &[f32]) -> f64 {
    let difference = got.iter().zip(want).map(|(g, w)| (f64::from(*g) - f64::from(*w)).abs());
    difference.fold(0.0, |m, d| if d.is_nan() || m.is_nan() { f64::NAN } else { m.max(d) })
}
