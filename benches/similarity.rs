//! Similarity matching at batch 128: of maps `[128, 16, 16, 256]` by their deviations, and of a dense block of 1024 units.

#[path = "support/rows.rs"]
mod rows;
#[allow(dead_code, reason = "each benchmark uses a part of what they share")]
mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use predsim::gpu::Lab;
use predsim::kernels::similarity::{Mode, Similarity, SimilarityBuffers, Target};
use predsim::kernels::tuning::Tuning;
use rows::measure;

fn similarity(criterion: &mut Criterion) {
    let gpu = support::open();
    for (spatial, channels, mode) in [(256, 256, Mode::SpatialStd), (1, 1024, Mode::Flat)] {
        let shape =
            Similarity { batch: 128, spatial, channels, real_channels: channels, mode, tuning: Tuning::for_gpu(&gpu) };
        let mut lab = Lab::new(&gpu);
        let labels = lab.tensor(&(0..128).map(|i| i % 10).collect::<Vec<u32>>()).expect("a tensor");
        let mut tensor = |bytes: u64| lab.tensor(&support::values(bytes)).expect("a tensor");
        let buffers = SimilarityBuffers {
            z: tensor(shape.z_bytes()),
            u: tensor(shape.u_bytes()),
            stats: tensor(shape.stats_bytes()),
            matrix: tensor(shape.matrix_bytes()),
            rows: tensor(shape.rows_bytes()),
            df: tensor(shape.df_bytes()),
            workspace: Some(tensor(shape.workspace_bytes())),
            target: labels,
        };
        let target = Target::Labels { classes: 10 };
        let name = |what: &str| format!("similarity {what} [128, {spatial}, {channels}]");
        let (z, u, matrix) = (shape.z_bytes(), shape.u_bytes(), shape.matrix_bytes());
        let features = shape.features(buffers.z, buffers.u, buffers.stats);
        measure(criterion, &gpu, &lab, &name("features"), z + u, &[features]);
        measure(criterion, &gpu, &lab, &name("loss"), u + matrix, &shape.loss(&buffers, target));
        measure(criterion, &gpu, &lab, &name("gradient"), u + matrix + u, &shape.gradient(&buffers, target, 0.0));
        // Of a gradient that is zero, so that z, which it is written over, stays finite from run to run.
        if let Some(apply) = shape.apply(buffers.z, buffers.stats, buffers.df) {
            measure(criterion, &gpu, &lab, &name("apply"), 2 * z, &[apply]);
        }
    }
}

criterion_group!(benches, similarity);
criterion_main!(benches);
