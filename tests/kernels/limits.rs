//! The yardsticks do the work that they are timed for.

use predsim::gpu::{Lab, block_on};
use predsim::kernels::limits::{MOST_ROUNDS, copy, multiply_add, multiply_add_bytes};

use crate::support::{gpu, random, wait};

#[test]
fn multiply_adds_are_all_done() {
    // x -> 15/16 x + 1/8 has the fixed point 2: after n steps x is 2 + (x0 - 2) (15/16)^n.
    let mut lab = Lab::new(gpu());
    for (workgroups, rounds) in [(1, 0), (3, 1), (2, 2)] {
        let results = lab.poisoned(multiply_add_bytes(workgroups)).unwrap();
        lab.run(vec![multiply_add(workgroups, rounds, [0.9375, 0.125], results)]).unwrap();
        let got: Vec<f32> = wait(lab.read(results));
        for (index, &value) in got.iter().enumerate() {
            let start = (index / 4 % 8) as f64;
            let after = |x: f64| 2.0 + (x - 2.0) * 0.9375f64.powi(32 * rounds as i32);
            let want = [0.0, 8.0, 16.0].map(|offset| after(start + offset)).iter().sum::<f64>();
            assert!((f64::from(value) - want).abs() < 1e-5, "{index}: {value}, want {want}");
        }
    }
}

#[test]
fn the_most_rounds_are_all_done() {
    let mut lab = Lab::new(gpu());
    let results = lab.poisoned(multiply_add_bytes(1)).unwrap();
    lab.run(vec![multiply_add(1, MOST_ROUNDS, [1.0, 1.0], results)]).unwrap();
    let got: Vec<f32> = wait(lab.read(results));
    // Each of the three values has grown by one in each of 32 steps a round; they began at 0, 8 and 16.
    assert_eq!(got[0], (3 * 32 * MOST_ROUNDS + 24) as f32);
}

#[test]
fn copies_are_whole() {
    let mut lab = Lab::new(gpu());
    for len in [4, 260, 4 * 1031, 4 * 64 * 4096 + 8] {
        let values = random(7, len);
        let (source, copied) = (lab.tensor(&values).unwrap(), lab.poisoned(4 * len as u64).unwrap());
        lab.run(vec![copy(len as u32, source, copied)]).unwrap();
        assert!(wait(lab.read::<f32>(copied)) == values, "{len}");
    }
}

/// A query set holds 4096 timestamps; a step cut into many parts has more dispatches than that.
#[test]
fn more_dispatches_are_profiled_than_a_query_set_holds() {
    if !gpu().features.contains(wgpu::Features::TIMESTAMP_QUERY) {
        eprintln!("SKIPPED: {} has no timestamps", gpu().info.name);
        return;
    }
    let mut lab = Lab::new(gpu());
    let results = lab.poisoned(multiply_add_bytes(1)).unwrap();
    let dispatches = vec![multiply_add(1, 1000, [0.5, 1.0], results); 2100];
    let runs = block_on(gpu(), lab.profile(dispatches, 1)).unwrap();
    assert_eq!(runs[0].len(), 2100);
    assert!(runs[0].iter().all(|time| time.nanoseconds > 0.0), "a timestamp was not taken");
}
