// Third part of similarity matching, behind similarity.wgsl: the gradient of the loss with respect to z. Constant
// besides: TARGET, as in similarity_matrix.wgsl.
//
// With G_ij = 4 weight (S_ij - T_ij) / N^2 (S is symmetric, so an entry acts twice), du_i = sum_j G_ij u_j. Behind
// u = c / (|c| + eps) follows dc_i = du_i / (|c_i| + eps) - u_i (u_i . du_i) / |c_i|, and u_i . du_i = sum_j G_ij S_ij,
// which `matrix` left in the statistics. So dc is one product A u with A computed from S on the way. All rows of u are
// centred, hence dc is, and taking its mean away (the gradient of centring) changes nothing: df = dc.

@group(0) @binding(1) var<storage, read> gradient_u: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gradient_target: array<u32>;
@group(0) @binding(3) var<storage, read> gradient_stats: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> gradient_matrix: array<f32>;
// SPATIAL_STD: coefficients of `apply` [N, groups]; otherwise the gradient of z itself.
@group(0) @binding(5) var<storage, read_write> gradient_out: array<vec4<f32>>;

var<workgroup> low_weights: array<vec4<f32>, THREADS>;
var<workgroup> high_weights: array<vec4<f32>, THREADS>;

// T_ij
fn goal(i: u32, j: u32) -> f32 {
    if (TARGET == 1u) {
        return bitcast<f32>(gradient_target[i * params.batch + j]);
    }
    return select(params.other, params.same, gradient_target[i] == gradient_target[j]);
}

// A_ij; zero where |c_i| = 0.
fn weight(i: u32, j: u32) -> f32 {
    let norm = gradient_stats[i].x;
    let similar = gradient_matrix[i * params.batch + j];
    var value = (similar - goal(i, j)) / (norm + COSINE_EPS);
    if (i == j) {
        value -= gradient_stats[i].y / max(norm, 1e-30);
    }
    return select(value * params.gradient_scale, 0.0, norm == 0.0);
}

fn weights(first: u32, j: u32) -> vec4<f32> {
    return vec4<f32>(weight(row(first), j), weight(row(first + 1u), j), weight(row(first + 2u), j),
        weight(row(first + 3u), j));
}

fn store_gradient(sample: u32, column: u32, df: vec4<f32>) {
    if (sample >= params.batch) {
        return;
    }
    var value = df;
    if (SPATIAL_STD == 1u) {
        // df/dz = (z - mean) / (f (spatial - 1)); a constant map has none.
        let f = gradient_stats[deviation_at(sample) + column];
        let divisor = f * f32(max(params.spatial, 2u) - 1u);
        value = select(df / divisor, vec4<f32>(0.0), f == vec4<f32>(0.0));
    }
    gradient_out[sample * params.features + column] = value;
}

// A workgroup makes ROWS rows of THREADS vec4s; the weights of THREADS samples at a time wait in workgroup memory.
@compute @workgroup_size(THREADS)
fn gradient(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let blocks = ceil_div(params.features, THREADS);
    let tile = linear_group(group, groups);
    let first = (tile / blocks) * ROWS;
    let column = (tile % blocks) * THREADS + local;
    if (first >= params.batch) {
        return;
    }
    let origin = min(column, params.features - 1u);
    var a = vec4<f32>(0.0);
    var b = vec4<f32>(0.0);
    var c = vec4<f32>(0.0);
    var d = vec4<f32>(0.0);
    var e = vec4<f32>(0.0);
    var f = vec4<f32>(0.0);
    var g = vec4<f32>(0.0);
    var h = vec4<f32>(0.0);
    for (var chunk = 0u; chunk < params.batch; chunk += THREADS) {
        if (chunk + local < params.batch) {
            low_weights[local] = weights(first, chunk + local);
            high_weights[local] = weights(first + 4u, chunk + local);
        }
        workgroupBarrier();
        let count = min(THREADS, params.batch - chunk);
        for (var k = 0u; k < count; k++) {
            let x = gradient_u[(chunk + k) * params.features + origin];
            let low = low_weights[k];
            let high = high_weights[k];
            a += low.x * x;
            b += low.y * x;
            c += low.z * x;
            d += low.w * x;
            e += high.x * x;
            f += high.y * x;
            g += high.z * x;
            h += high.w * x;
        }
        workgroupBarrier();
    }
    if (column < params.features) {
        store_gradient(first, column, a);
        store_gradient(first + 1u, column, b);
        store_gradient(first + 2u, column, c);
        store_gradient(first + 3u, column, d);
        store_gradient(first + 4u, column, e);
        store_gradient(first + 5u, column, f);
        store_gradient(first + 6u, column, g);
        store_gradient(first + 7u, column, h);
    }
}

@group(0) @binding(1) var<storage, read> apply_coefficients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> apply_stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> apply_z: array<vec4<f32>>;

// z becomes its own gradient: coefficient * (z - spatial mean). A workgroup takes `slab` positions of THREADS channel
// groups, or fewer groups and several positions at once.
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
    let sample = tile / (blocks * slabs);
    let channel = ((tile / slabs) % blocks) * lanes + local % lanes;
    let slice = local / lanes;
    if (sample >= params.batch || channel >= params.groups || slice >= slices) {
        return;
    }
    let coefficient = apply_coefficients[sample * params.groups + channel];
    let mean = apply_stats[mean_at(sample) + channel];
    let start = (tile % slabs) * params.slab;
    let end = min(start + params.slab, params.spatial);
    for (var position = start + slice; position < end; position += slices) {
        let at = (sample * params.spatial + position) * params.groups + channel;
        apply_z[at] = coefficient * (apply_z[at] - mean);
    }
}
