// Third part of similarity matching, behind similarity.wgsl and similarity_target.wgsl: the gradient of the loss with
// respect to z.
//
// With G_ij = 4 weight (S_ij - T_ij) / N^2 (S is symmetric, so an entry acts twice), du_i = sum_j G_ij u_j. Behind
// u = c / (|c| + eps) follows dc_i = du_i / (|c_i| + eps) - u_i (u_i . du_i) / |c_i|, and u_i . du_i = sum_j G_ij S_ij,
// which `compare` left in the statistics. So dc is one product A u; A takes the place of S. All rows of u are centred,
// hence dc is, and taking its mean away (the gradient of centring) changes nothing: df = dc.

@group(0) @binding(2) var<storage, read> weights_stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> weights_matrix: array<f32>;

// A_ij in the place of S_ij; zero where |c_i| = 0. An invocation an entry.
@compute @workgroup_size(THREADS)
fn weights(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = linear_group(group, groups) * THREADS + local;
    let i = at / params.stride;
    let j = at - i * params.stride;
    if (i >= params.batch || j >= params.batch) {
        return;
    }
    let stats = weights_stats[i];
    let norm = stats.x;
    var value = (weights_matrix[at] - goal(i, j)) / (norm + COSINE_EPS);
    if (i == j) {
        value -= stats.y / max(norm, 1e-30);
    }
    weights_matrix[at] = select(value * params.gradient_scale, 0.0, norm == 0.0);
}

@group(0) @binding(1) var<storage, read> apply_df: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> apply_stats: array<vec4<f32>>;
// Binding 3 is the input apply_z, updated in place.

// z becomes its own gradient: df/dz = (z - mean) / (f (spatial - 1)); a constant map has none. A workgroup takes `slab`
// positions of THREADS channel groups, or fewer groups and several positions at once.
@compute @workgroup_size(THREADS)
fn apply(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lanes = min(params.groups, THREADS);
    let slices = THREADS / lanes;
    let blocks = ceil_div(params.groups, lanes);
    let slabs = ceil_div(params.spatial, params.slab);
    let tile = linear_group(group, groups);
    let local_sample = tile / (blocks * slabs);
    let sample = params.first + local_sample;
    let channel = ((tile / slabs) % blocks) * lanes + local % lanes;
    let slice = local / lanes;
    if (local_sample >= params.count || channel >= params.groups || slice >= slices) {
        return;
    }
    let f = apply_stats[deviation_at(sample) + channel];
    let divisor = f * f32(max(params.spatial, 2u) - 1u);
    let df = apply_df[sample * params.groups + channel];
    let coefficient = select(df / divisor, vec4<f32>(0.0), f == vec4<f32>(0.0));
    let mean = apply_stats[mean_at(sample) + channel];
    let start = (tile % slabs) * params.slab;
    let end = min(start + params.slab, params.spatial);
    for (var position = start + slice; position < end; position += slices) {
        let at = (local_sample * params.spatial + position) * params.groups + channel;
        apply_z_buffer[at] = coefficient * (apply_z(at) - mean);
    }
}
