//! Crop, flip and normalisation, pixel for pixel against the data module's reference, as maps and as rows.

use predsim::data::DatasetSpec;
use predsim::data::augment::{AugmentParams, reference};
use predsim::kernels::augment::Augment;
use proptest::prelude::*;

use crate::support::{FencedLab, assert_close, random};

const MEAN: [f32; 3] = [0.49, 0.48, 0.45];
const STD: [f32; 3] = [0.25, 0.24, 0.26];

fn spec(height: u32, width: u32, channels: u32) -> DatasetSpec {
    let (mean, std) = (&MEAN[..channels as usize], &STD[..channels as usize]);
    DatasetSpec { height, width, channels, mean, std, ..predsim::data::mnist::MNIST }
}

fn pixels(spec: &DatasetSpec, batch: usize, seed: u64) -> Vec<u8> {
    let count = batch * (spec.height * spec.width * spec.channels) as usize;
    random(seed, count).iter().map(|v| ((v + 1.0) * 128.0) as u8).collect()
}

/// Puts each picture's values where the device has them: pixels of four lanes, or rows.
fn padded(values: &[f64], spec: &DatasetSpec, rows: bool) -> Vec<f64> {
    let (picture, pixel) = ((spec.height * spec.width * spec.channels) as usize, spec.channels as usize);
    let stretch = if rows { picture } else { pixel };
    let zeros = vec![0.0; stretch.next_multiple_of(4) - stretch];
    values.chunks(stretch).flat_map(|lanes| [lanes, &zeros].concat()).collect()
}

fn check(spec: &DatasetSpec, rows: bool, crops: &[AugmentParams], seed: u64) {
    let images = pixels(spec, crops.len(), seed);
    let augment = Augment {
        batch: crops.len() as u32,
        height: spec.height,
        width: spec.width,
        channels: spec.channels,
        rows,
        mean: MEAN,
        std: STD,
    };
    let want = padded(&reference(&images, crops, spec), spec, rows);
    assert_eq!(augment.out_bytes(), 4 * want.len() as u64);
    let mut lab = FencedLab::new();
    let (pixels, params, out) = (lab.tensor(&images), lab.tensor(crops), lab.poisoned(augment.out_bytes()));
    lab.run(vec![augment.dispatch(pixels, params, out)]);
    assert_close(&format!("{augment:?}"), &lab.read::<f32>(out), &want, 1e-6);

    let first = augment.batch / 2;
    let behind = Augment { batch: augment.batch - first, ..augment };
    let part = lab.poisoned(behind.out_bytes());
    lab.run(vec![behind.dispatch_from(first, pixels, params, part)]);
    let want = &want[want.len() - behind.out_bytes() as usize / 4..];
    assert_close(&format!("{behind:?} from {first}"), &lab.read::<f32>(part), want, 1e-6);
}

/// One and three channels as maps, one as rows.
const FORMS: [(u32, bool); 3] = [(1, false), (3, false), (1, true)];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn pictures_match(
        (height, width, form) in (1u32..34, 1u32..34, 0usize..3),
        crops in proptest::collection::vec((-40i32..40, -40i32..40, 0u32..3), 1..30),
        near in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let (channels, rows) = FORMS[form];
        // As far as training shifts, or anywhere.
        let shift = |v: i32| if near { v % 5 } else { v };
        let crops: Vec<AugmentParams> =
            crops.into_iter().map(|(dy, dx, flip)| AugmentParams { dy: shift(dy), dx: shift(dx), flip, pad: 0 }).collect();
        check(&spec(height, width, channels), rows, &crops, seed);
    }
}

#[test]
fn every_shift_and_flip_of_an_odd_picture_matches() {
    let params = |(dy, dx)| [0, 1].map(|flip| AugmentParams { dy, dx, flip, pad: 0 });
    let crops: Vec<AugmentParams> = (-4..=4).flat_map(|dy| (-6..=6).map(move |dx| (dy, dx))).flat_map(params).collect();
    for (channels, rows) in FORMS {
        check(&spec(3, 5, channels), rows, &crops, 1);
    }
}

/// `i32::MIN` and `i32::MAX` among them: the place in the picture must not wrap around into it.
#[test]
fn shifts_out_of_every_picture_give_black() {
    let far = [i32::MIN, i32::MIN + 1, -1 << 20, 1 << 20, i32::MAX - 1, i32::MAX];
    let crops: Vec<AugmentParams> = far
        .iter()
        .flat_map(|&v| [(v, 0), (0, v), (v, v)])
        .map(|(dy, dx)| AugmentParams { dy, dx, flip: 1, pad: 0 })
        .collect();
    for (channels, rows) in FORMS {
        check(&spec(7, 3, channels), rows, &crops, 2);
    }
}

#[test]
fn a_single_pixel_matches() {
    for (channels, rows) in FORMS {
        check(&spec(1, 1, channels), rows, &[AugmentParams::IDENTITY], 3);
    }
}
