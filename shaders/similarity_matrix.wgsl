// Second part of similarity matching, behind similarity.wgsl and similarity_target.wgsl: the distance of the cosine matrix
// S = u u^T from the target matrix T, row by row, and the way back as far as a matrix goes. Constant: GRADIENT (1: A takes
// the place of S, 0: S stays, clamped).
//
// With G_ij = 4 weight (S_ij - T_ij) / N^2 (S is symmetric, so an entry acts twice), du_i = sum_j G_ij u_j. Behind
// u = c / (|c| + eps) follows dc_i = du_i / (|c_i| + eps) - u_i (u_i . du_i) / |c_i|, and u_i . du_i = sum_j G_ij S_ij.
// So dc is one product A u, and row i of A needs row i of S alone. All rows of u are centred, hence dc is, and taking its
// mean away (the gradient of centring) changes nothing: df = dc.

@group(0) @binding(2) var<storage, read> compare_stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> compare_matrix: array<f32>;
@group(0) @binding(4) var<storage, read_write> compare_rows: array<f32>;
// Binding 5 is the input cosines.

// Clamped to [-1, 1]; what is not finite stays so, for the loss to show it.
fn bounded(s: f32) -> f32 {
    let broken = (bitcast<u32>(s) & 0x7f800000u) == 0x7f800000u;
    return select(clamp(s, -1.0, 1.0), s, broken);
}

// Clamps row i of S; the invocation's share of its loss, and of sum_j (S - T) S.
fn row_distance(i: u32, local: u32) -> vec2<f32> {
    var sums = vec2<f32>(0.0);
    for (var j = local; j < params.batch; j += THREADS) {
        let at = i * params.stride + j;
        let similar = bounded(compare_matrix[at]);
        compare_matrix[at] = similar;
        let off = similar - goal(i, j);
        sums += vec2<f32>(off * off, off * similar);
    }
    return sums;
}

// A_ij in the place of S_ij; zero where |c_i| = 0.
fn row_weights(i: u32, local: u32, pull: f32) {
    let norm = compare_stats[i].x;
    let across = 1.0 / (norm + COSINE_EPS);
    let along = pull / max(norm, 1e-30);
    for (var j = local; j < params.batch; j += THREADS) {
        let at = i * params.stride + j;
        let off = compare_matrix[at] - goal(i, j);
        let value = off * across - select(0.0, along, i == j);
        compare_matrix[at] = select(value * params.gradient_scale, 0.0, norm == 0.0);
    }
}

fn compare_row(i: u32, local: u32) {
    let sums = row_distance(i, local);
    let loss = workgroup_sum(local, vec4<f32>(sums.x, 0.0, 0.0, 0.0));
    if (local == 0u) {
        compare_rows[i] = loss * params.loss_scale;
    }
    if (GRADIENT == 1u) {
        let pull = workgroup_sum(local, vec4<f32>(sums.y, 0.0, 0.0, 0.0));
        row_weights(i, local, pull);
    }
}

// A workgroup a row.
@compute @workgroup_size(THREADS)
fn compare(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups);
    if (i < params.batch) {
        compare_row(i, local);
    }
}

// The same where S is still in parts. An invocation fetches the cosines that it then works on, and those past the batch,
// which the product A u goes over.
@compute @workgroup_size(THREADS)
fn compare_parts(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups);
    if (i >= params.batch) {
        return;
    }
    for (var j = local; j < params.stride; j += THREADS) {
        let at = i * params.stride + j;
        compare_matrix[at] = cosines(at / 4u)[at % 4u];
    }
    compare_row(i, local);
}
