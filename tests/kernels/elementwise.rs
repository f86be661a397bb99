//! Sums in place and copies, over lengths that fill no workgroup.

use predsim::kernels::elementwise::Elementwise;
use proptest::prelude::*;

use crate::support::{FencedLab, random};

fn check(vectors: usize, seed: u64) {
    let (x, y) = (random(seed, 4 * vectors), random(seed ^ 1, 4 * vectors + 4));
    let mut lab = FencedLab::new();
    let [source, sum] = [&x, &y].map(|values| lab.tensor(values));
    let copy = lab.poisoned(16 * vectors as u64 + 16);
    let all = Elementwise { len: 4 * vectors as u64 };
    lab.run(vec![all.accumulate(source, sum), all.copy(source, copy)]);
    let want: Vec<f32> = y.iter().enumerate().map(|(i, y)| y + x.get(i).unwrap_or(&0.0)).collect();
    assert_eq!(lab.read::<f32>(sum), want, "{vectors} vectors; the last four floats are not theirs");
    let got = lab.read::<f32>(copy);
    assert_eq!(got[..4 * vectors], x);
    assert!(got[4 * vectors..].iter().all(|v| v.is_nan()), "{vectors} vectors: written past the end");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_element_once(vectors in 1usize..3000, seed in any::<u64>()) {
        check(vectors, seed);
    }
}
