// Second part of similarity matching, behind similarity.wgsl and similarity_target.wgsl: the distance of the cosine matrix
// S = u u^T from the target matrix T, row by row.

@group(0) @binding(2) var<storage, read_write> compare_stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> compare_matrix: array<f32>;
@group(0) @binding(4) var<storage, read_write> compare_rows: array<f32>;

// Clamped to [-1, 1]; what is not finite stays so, for the loss to show it.
fn bounded(s: f32) -> f32 {
    let broken = (bitcast<u32>(s) & 0x7f800000u) == 0x7f800000u;
    return select(clamp(s, -1.0, 1.0), s, broken);
}

// The row's loss, and sum_j (S - T) S for its gradient. A workgroup a row.
@compute @workgroup_size(THREADS)
fn compare(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups);
    if (i >= params.batch) {
        return;
    }
    var loss = 0.0;
    var pull = 0.0;
    for (var j = local; j < params.batch; j += THREADS) {
        let at = i * params.stride + j;
        let similar = bounded(compare_matrix[at]);
        compare_matrix[at] = similar;
        let off = similar - goal(i, j);
        loss += off * off;
        pull += off * similar;
    }
    let row_loss = workgroup_sum(local, vec4<f32>(loss, 0.0, 0.0, 0.0));
    let row_pull = workgroup_sum(local, vec4<f32>(pull, 0.0, 0.0, 0.0));
    if (local == 0u) {
        compare_rows[i] = row_loss * params.loss_scale;
        compare_stats[i].y = row_pull;
    }
}
