//! Timing by the host's clock, as `predsim bench --wall` does it.

use std::time::Instant;

use burn::tensor::Device;

/// Fewest timed runs.
const FEWEST_RUNS: usize = 5;
/// Most timed runs.
const MOST_RUNS: usize = 100;
/// Most runs that warming up may take.
const MOST_WARM_UPS: usize = 10;
/// A run that takes more than this share of the one before has nothing left to warm up.
const SETTLED: f64 = 0.9;

/// What a case came to.
pub struct Times {
    /// Median time of a run in seconds.
    pub median: f64,
    /// Timed runs.
    pub runs: usize,
    /// Seconds of the runs before them, in which burn chooses among its kernels by timing them, and compiles them.
    pub warm_up: f64,
}

/// Times `run`, whose result is kept until the device has done its work, so that nothing can be left out.
pub fn time<T>(device: &Device, seconds: f64, mut run: impl FnMut() -> T) -> Times {
    time_after(device, seconds, || (), |()| run())
}

/// Times `run` on what `prepare`, which is not timed, has made and finished for it.
pub fn time_after<P, T>(
    device: &Device,
    seconds: f64,
    mut prepare: impl FnMut() -> P,
    mut run: impl FnMut(P) -> T,
) -> Times {
    let mut once = || {
        let prepared = prepare();
        let start = Instant::now();
        let result = run(prepared);
        device.sync().expect("the device does its work");
        let elapsed = start.elapsed().as_secs_f64();
        drop(result);
        elapsed
    };
    let warming = Instant::now();
    let mut before = once();
    for _ in 1..MOST_WARM_UPS {
        let now = once();
        if now > SETTLED * before {
            break;
        }
        before = now;
    }
    let warm_up = warming.elapsed().as_secs_f64();
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < FEWEST_RUNS || (start.elapsed().as_secs_f64() < seconds && times.len() < MOST_RUNS) {
        times.push(once());
    }
    times.sort_by(f64::total_cmp);
    Times { median: times[times.len() / 2], runs: times.len(), warm_up }
}
