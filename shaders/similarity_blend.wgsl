// Two targets for one similarity matrix: the matrix between them that gives the gradient of both, and the distance to
// each. Behind similarity_target.wgsl, which has the first target. Constant besides: THREADS.

struct Params {
    batch: u32,
    stride: u32,            // N up to a multiple of 4: length of a matrix's row
    same: f32,              // target cosine of two samples of one class
    other: f32,             // and of two classes
    first_share: f32,
    second_share: f32,
    loss_scale: f32,        // 1 / N^2
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> matrix: array<f32>;     // the second target; in `distance` the cosines
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

// out [N, stride] = first_share * target + second_share * matrix; zero past the batch
@compute @workgroup_size(THREADS)
fn blend(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * THREADS + local;
    let i = index / params.stride;
    if (i >= params.batch) {
        return;
    }
    let j = index - i * params.stride;
    if (j >= params.batch) {
        out[index] = 0.0;
        return;
    }
    out[index] = params.first_share * goal(i, j) + params.second_share * matrix[index];
}

var<workgroup> lane_sums: array<f32, THREADS>;

// out [N]: row sums of (matrix - target)^2 / N^2. A workgroup a row.
@compute @workgroup_size(THREADS)
fn distance(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear_group(group, groups);
    if (i >= params.batch) {
        return;
    }
    var sum = 0.0;
    for (var j = local; j < params.batch; j += THREADS) {
        let off = matrix[i * params.stride + j] - goal(i, j);
        sum += off * off;
    }
    lane_sums[local] = sum;
    workgroupBarrier();
    if (local == 0u) {
        var total = 0.0;
        for (var other = 0u; other < THREADS; other++) {
            total += lane_sums[other];
        }
        out[i] = total * params.loss_scale;
    }
}
