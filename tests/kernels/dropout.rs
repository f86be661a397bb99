//! Dropout's masks: exactly those of the reference, the right share of them, the same backward, others elsewhere.

use predsim::kernels::StepParams;
use predsim::kernels::dropout::Dropout;
use proptest::prelude::*;

use crate::support::{FencedLab, random};

fn scramble(mut h: u32) -> u32 {
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

fn absorb(state: u32, word: u32) -> u32 {
    scramble(state.wrapping_mul(5).wrapping_add(word).wrapping_add(0x9e37_79b9))
}

/// What each element is multiplied with.
fn mask(dropout: &Dropout, step: &StepParams) -> Vec<f32> {
    let (spatial, c) = (dropout.spatial, dropout.channels);
    let words = [step.seed_low, step.seed_high, step.number, dropout.stream];
    let key_a = words.into_iter().fold(0, absorb);
    let key_b = absorb(key_a, dropout.stream);
    (0..dropout.batch * spatial * c)
        .map(|i| {
            let number = if dropout.whole_maps { i / (spatial * c) * c + i % c } else { i };
            let bits = scramble(scramble(number ^ key_a).wrapping_add(key_b));
            let kept = f64::from(bits >> 8) < (1.0 - f64::from(dropout.rate)) * 16_777_216.0;
            if kept { 1.0 / (1.0 - dropout.rate) } else { 0.0 }
        })
        .collect()
}

fn run(dropout: &Dropout, step: &StepParams, x: &[f32]) -> Vec<f32> {
    let mut lab = FencedLab::new();
    let (step, x) = (lab.tensor(&[*step]), lab.tensor(x));
    lab.run(vec![dropout.forward(step, x)]);
    lab.read(x)
}

fn ones(dropout: &Dropout) -> Vec<f32> {
    vec![1.0; (dropout.batch * dropout.spatial * dropout.channels) as usize]
}

const STEP: StepParams =
    StepParams { adam_size: 0.0, adam_scale: 0.0, lr: 0.0, number: 7, seed_low: 1, seed_high: 0, spare: [0; 2] };
const BIG: Dropout = Dropout { batch: 64, spatial: 16, channels: 64, rate: 0.3, stream: 2, whole_maps: false };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn forward_is_the_reference(
        (batch, spatial, groups) in (1u32..8, 1u32..40, 1u32..20),
        rate in prop_oneof![Just(0.0f32), Just(0.125), Just(0.5), Just(1.0)],
        whole_maps in any::<bool>(),
        (seed_low, seed_high, number, stream) in any::<(u32, u32, u32, u32)>(),
    ) {
        let dropout = Dropout { batch, spatial, channels: 4 * groups, rate, stream, whole_maps };
        let step = StepParams { number, seed_low, seed_high, ..STEP };
        let x = random(u64::from(seed_low), ones(&dropout).len());
        let want: Vec<f32> = x.iter().zip(mask(&dropout, &step)).map(|(x, m)| if m == 0.0 { 0.0 } else { x * m }).collect();
        prop_assert_eq!(run(&dropout, &step, &x), want);
    }
}

#[test]
fn the_kept_share_and_the_mean_are_right() {
    for whole_maps in [false, true] {
        for rate in [0.1, 0.3, 0.75] {
            let dropout = Dropout { batch: 256, rate, whole_maps, ..BIG };
            let kept = run(&dropout, &STEP, &ones(&dropout));
            let scale = 1.0 / (1.0 - rate);
            assert!(kept.iter().all(|&v| v == 0.0 || v == scale));
            let share = kept.iter().filter(|&&v| v != 0.0).count() as f64 / kept.len() as f64;
            // Five standard deviations of the number of independent decisions.
            let decisions = kept.len() as f64 / if whole_maps { f64::from(dropout.spatial) } else { 1.0 };
            let deviation = (f64::from(rate) * f64::from(1.0 - rate) / decisions).sqrt();
            assert!((share - f64::from(1.0 - rate)).abs() < 5.0 * deviation, "rate {rate}: kept {share}");
        }
    }
}

#[test]
fn backward_has_the_mask_of_forward() {
    let (x, gradient) = (random(1, ones(&BIG).len()), random(2, ones(&BIG).len()));
    let (forward, backward) = (run(&BIG, &STEP, &x), run(&BIG, &STEP, &gradient));
    for i in 0..x.len() {
        if x[i] != 0.0 && gradient[i] != 0.0 {
            assert_eq!(forward[i] == 0.0, backward[i] == 0.0, "element {i}");
        }
    }
}

#[test]
fn every_step_stream_and_seed_has_a_mask_of_its_own() {
    let base = run(&BIG, &STEP, &ones(&BIG));
    let others = [
        (BIG, StepParams { number: 8, ..STEP }),
        (BIG, StepParams { seed_low: 2, ..STEP }),
        (BIG, StepParams { seed_high: 1, ..STEP }),
        (Dropout { stream: 3, ..BIG }, STEP),
    ];
    for (dropout, step) in others {
        let other = run(&dropout, &step, &ones(&dropout));
        let same = base.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / base.len() as f64;
        // Independent masks agree on keeping or dropping in 0.7² + 0.3² of all elements.
        assert!((same - 0.58).abs() < 0.01, "{dropout:?} {step:?}: {same}");
    }
}

#[test]
fn neighbours_are_independent() {
    let mask = run(&BIG, &STEP, &ones(&BIG));
    for distance in [1, 2, 4, 64, 1024] {
        let pairs = mask.len() - distance;
        let same = (0..pairs).filter(|&i| mask[i] == mask[i + distance]).count() as f64 / pairs as f64;
        assert!((same - 0.58).abs() < 0.01, "distance {distance}: {same}");
    }
}

#[test]
fn pad_lanes_stay_zero() {
    let mut x = ones(&BIG);
    x.iter_mut().skip(3).step_by(4).for_each(|v| *v = 0.0);
    assert!(run(&BIG, &STEP, &x).iter().skip(3).step_by(4).all(|&v| v == 0.0));
}
