//! Deviations by kind, and the bounds of golden/README.md, "Tolerances".

use std::collections::BTreeMap;

use super::case::Case;

/// Null gradients may be off by this much, absolutely.
const NULL_GRADIENT: f64 = 1e-5;

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
    moved: f64,
    missed: f64,
}

/// `max(floor, 10 x float32_deviation)`.
fn bound(case: &Case, bucket: &str, column: usize, floor: f64) -> f64 {
    case.float32_deviation.get(bucket).map_or(floor, |deviation| floor.max(10.0 * deviation[column]))
}

impl Findings {
    /// Notes a deviation of `kind`.
    fn note(&mut self, kind: &'static str, at: &str, deviation: f64, bound: f64) {
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
        let square = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
        };
        let (missed, moved) = (square(got, want), square(want, start));
        self.missed += missed;
        self.moved += moved;
        if moved > 1e-18 {
            self.note("update worst", at, (missed / moved).sqrt(), bound(case, "update", 0, 1e-3));
        }
    }

    /// Closes the sum over all updates.
    pub fn close_updates(&mut self, case: &Case) {
        let all = (self.missed / (self.moved + 1e-30)).sqrt();
        self.note("update all", "all tensors", all, bound(case, "update", 1, 1e-4));
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
