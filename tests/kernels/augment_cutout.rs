//! Cutout behind crop, flip and normalisation, pixel for pixel against the data module's references given the same random
//! numbers, as maps and as rows.

use predsim::data::augment::{AugmentParams, Cutout, Hole, reference};
use predsim::data::{DatasetSpec, augment_params};
use predsim::gpu::Lab;
use predsim::kernels::augment::{self, Augment};
use proptest::prelude::*;

use crate::support::{assert_close, gpu, random, wait};

const MEAN: [f32; 3] = [0.49, 0.48, 0.45];
const STD: [f32; 3] = [0.25, 0.24, 0.26];

fn spec(height: u32, width: u32, channels: u32) -> DatasetSpec {
    let (mean, std) = (&MEAN[..channels as usize], &STD[..channels as usize]);
    DatasetSpec { height, width, channels, mean, std, crop_pad: 4, flip: true, ..predsim::data::mnist::MNIST }
}

/// Puts values where the device has them: pixels of four lanes, or rows.
fn padded(values: &[f64], spec: &DatasetSpec, rows: bool) -> Vec<f64> {
    let stretch = if rows { spec.height * spec.width } else { spec.channels } as usize;
    let zeros = vec![0.0; stretch.next_multiple_of(4) - stretch];
    values.chunks(stretch).flat_map(|lanes| [lanes, &zeros].concat()).collect()
}

fn check(spec: &DatasetSpec, rows: bool, batch: u32, cutout: Cutout, seed: u64) {
    let count = (batch * spec.height * spec.width * spec.channels) as usize;
    let images: Vec<u8> = random(seed, count).iter().map(|v| ((v + 1.0) * 128.0) as u8).collect();
    let crops: Vec<AugmentParams> = (0..batch).map(|n| augment_params(spec, seed, 3, n, true)).collect();
    let shape = [spec.height, spec.width];
    let holes: Vec<Hole> = (0..batch).flat_map(|n| cutout.centres(shape, seed, 3, n)).collect();
    let mut want = reference(&images, &crops, spec);
    cutout.reference(&mut want, &holes, [spec.height, spec.width, spec.channels]);
    let want = padded(&want, spec, rows);

    let DatasetSpec { height, width, channels, .. } = *spec;
    let augment = Augment { batch, height, width, channels, rows, mean: MEAN, std: STD };
    let kernel = augment::Cutout { batch, height, width, rows, holes: cutout.holes, half: cutout.half() };
    let mut lab = Lab::new(gpu());
    let [pixels, params, centres, out] =
        [lab.tensor(&images), lab.tensor(&crops), lab.tensor(&holes), lab.poisoned(augment.out_bytes())]
            .map(Result::unwrap);
    assert_eq!(kernel.holes_bytes(), centres.bytes);
    lab.run(vec![augment.dispatch(pixels, params, out), kernel.dispatch(centres, out)]).unwrap();
    let got: Vec<f32> = wait(lab.read(out));
    for (index, (got, want)) in got.iter().zip(&want).enumerate() {
        assert!((*want == 0.0) == (*got == 0.0), "{kernel:?} [{index}]: got {got}, want {want}");
    }
    assert_close(&format!("{kernel:?}"), &got, &want, 1e-6);

    let first = batch / 2;
    let (augment, kernel) =
        (Augment { batch: batch - first, ..augment }, augment::Cutout { batch: batch - first, ..kernel });
    let part = lab.poisoned(augment.out_bytes()).unwrap();
    let both = vec![augment.dispatch_from(first, pixels, params, part), kernel.dispatch_from(first, centres, part)];
    lab.run(both).unwrap();
    let got: Vec<f32> = wait(lab.read(part));
    assert_close(&format!("{kernel:?} from {first}"), &got, &want[want.len() - got.len()..], 1e-6);
}

/// One and three channels as maps, one as rows.
const FORMS: [(u32, bool); 3] = [(1, false), (3, false), (1, true)];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn holes_are_the_references(
        (height, width, form) in (1u32..34, 1u32..34, 0usize..3),
        (batch, holes, length) in (1u32..9, 1u32..4, 1u32..50),
        seed in any::<u64>(),
    ) {
        let (channels, rows) = FORMS[form];
        check(&spec(height, width, channels), rows, batch, Cutout { holes, length }, seed);
    }
}

/// The lengths of the published experiments on the data sets' sizes.
#[test]
fn the_published_holes_of_every_data_set_match() {
    for (side, channels, length) in [(28, 1, 14), (32, 3, 16), (96, 3, 48), (224, 3, 16)] {
        check(&spec(side, side, channels), false, 3, Cutout { holes: 1, length }, 1);
    }
    check(&spec(28, 28, 1), true, 3, Cutout { holes: 1, length: 14 }, 1);
    check(&spec(5, 5, 3), false, 2, Cutout { holes: 1, length: u32::MAX }, 1);
}
