//! Convolutions by minimal filtering, against the reference of the direct ones.

use predsim::kernels::conv2d::Conv2d;
use predsim::kernels::tuning::{Filtering, Tuning};
use predsim::kernels::winograd::Winograd;
use proptest::prelude::*;

use crate::conv2d::Case;
use crate::support::{FencedLab, Sum, assert_sums, tunings};

/// Sizes of tiles, and their error as a part of the largest sum: a tile's outputs share their rounding errors.
const FILTERINGS: [(Filtering, f64); 2] = [(Filtering::Winograd2, 1e-6), (Filtering::Winograd4, 1e-5)];

fn conv(batch: u32, [height, width]: [u32; 2], [cin, cout]: [u32; 2]) -> Conv2d {
    Conv2d { batch, height, width, cin, cout, kernel: 3, stride: 1, pad: 1, part_of: None, tuning: Tuning::portable() }
}

fn alike(sums: &[Sum]) -> Vec<Sum> {
    let size = sums.iter().fold(0.0, |most: f64, sum| most.max(sum.size));
    sums.iter().map(|sum| Sum { size, ..*sum }).collect()
}

fn check(case: &Case) {
    for (filtering, tolerance) in FILTERINGS {
        for tuning in tunings() {
            let conv = Conv2d { tuning: Tuning { filtering, ..tuning }, ..case.conv };
            let winograd = Winograd::of(&conv).expect("it is computed so");
            let mut lab = FencedLab::new();
            let [x, w, dy] = [&case.x, &case.w, &case.dy].map(|values| lab.tensor(values));
            let [y, dx, dw] = [&case.y, &case.dx, &case.dw].map(|values| lab.poisoned(4 * values.len() as u64));
            let bias = case.bias.as_ref().map(|bias| lab.tensor(bias));
            let forward = winograd.forward("forward", x, w, bias, y, |_, bytes| lab.poisoned(bytes));
            let backward = winograd.backward_input("gradient of input", dy, w, dx, |_, bytes| lab.poisoned(bytes));
            let weights = winograd.backward_weight("gradient of weights", [x, dy], dw, |_, bytes| lab.poisoned(bytes));
            lab.run(forward);
            lab.run(backward);
            lab.run(weights);
            for (what, got, want) in [("y", y, &case.y), ("dx", dx, &case.dx), ("dw", dw, &case.dw)] {
                assert_sums(&format!("{what} of {conv:?}"), &lab.read::<f32>(got), &alike(want), tolerance);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn filtered_convolutions_match(
        batch in 1u32..4, height in 4u32..14, width in 4u32..14, cin in 2u32..6, cout in 2u32..6, bias in any::<bool>(),
        seed in any::<u64>(),
    ) {
        check(&Case::random(conv(batch, [height, width], [4 * cin, 4 * cout]), bias, seed));
    }
}

/// More samples than one run takes, the last run shorter than the others.
#[test]
fn runs_of_samples_match() {
    check(&Case::random(conv(13, [17, 32], [8, 216]), true, 4));
}

#[test]
fn only_what_can_be_filtered_is() {
    let tuning = Tuning { filtering: Filtering::Winograd4, ..Tuning::portable() };
    let plain = Conv2d { tuning, ..conv(2, [8, 8], [16, 16]) };
    assert!(Winograd::of(&plain).is_some());
    assert!(Winograd::of_weights(&plain).is_some());
    assert!(Winograd::of_weights(&Conv2d { width: 7, ..plain }).is_none(), "taps that touch few pixels");
    let others = [
        Conv2d { stride: 2, ..plain },
        Conv2d { pad: 0, ..plain },
        Conv2d { kernel: 1, pad: 0, ..plain },
        Conv2d { height: 3, ..plain },
        Conv2d { cin: 4, ..plain },
        // Of 144 MiB of transformed weights, or of as much of one picture, no adapter need be able to bind all.
        Conv2d { cin: 1024, cout: 1024, ..plain },
        Conv2d { height: 1024, width: 1024, ..plain },
        Conv2d { tuning: Tuning::portable(), ..plain },
    ];
    for other in others {
        assert!(Winograd::of(&other).is_none(), "{other:?}");
    }
    let balanced = |batch, side, channels| {
        let tuning = Tuning { filtering: Filtering::Balanced, ..Tuning::portable() };
        Winograd::of(&Conv2d { tuning, ..conv(batch, [side, side], channels) }).is_some()
    };
    assert!(balanced(32, 28, [64, 64]) && balanced(32, 14, [128, 128]));
    assert!(!balanced(32, 28, [32, 64]) && !balanced(32, 5, [64, 64]), "few channels, or tiles that stick out");
    assert!(!balanced(1, 14, [512, 512]), "weights to transform for a single picture");
}
