// Backward of the batch normalisation of few rows and the activation behind it, in one dispatch; strips as in
// batchnorm_few.wgsl. The gradient of h = act(bn(y)) comes from a dense tensor of h's shape (DENSE), from a second one
// (SECOND), or from the scores of a linear classifier on h, SCORES vec4s a row: their gradient, times its weights, is never
// stored, and as h is made again anyway, the gradients of the weights and of the bias come along.

const STRIP: u32 = 8u;
const LANES: u32 = 8u;
const THREADS: u32 = STRIP * LANES;

struct Params {
    rows: u32,
    groups: u32,
    // Where the classifier's weights [4 * groups, SCORES] and its bias [SCORES] lie behind gamma, in vec4s.
    weights: u32,
    bias: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Binding 1 is the input y.
// Binding 2 is the input other: the second gradient, or that of the scores; of no use without one of them.
// Binding 3 is the input gradient, updated in place.
@group(0) @binding(4) var<storage, read> saved: array<vec4<f32>>;
// Gamma, beta and what lies behind; and the gradients, in the same places.
@group(0) @binding(5) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> derived: array<vec4<f32>>;

// vec4s of a row of scores; without any, what is never read has to have some size.
const WIDTH: u32 = max(SCORES, 1u);
// Rows of the classifier's weights for the four channels of a group.
const OWN: u32 = 4u * WIDTH;
// Sums over the rows: of dz * xhat, of dz, of h times each score's gradient.
const TERMS: u32 = 2u + 4u * SCORES;

var<workgroup> shares: array<vec4<f32>, TERMS * THREADS>;
var<workgroup> bias_shares: array<vec4<f32>, WIDTH * LANES>;
var<private> own_weights: array<vec4<f32>, OWN>;
var<private> own_shares: array<vec4<f32>, OWN>;

// The gradient of h.
fn incoming(row: u32, i: u32) -> vec4<f32> {
    var dh = vec4<f32>(0.0);
    if (DENSE == 1u) {
        dh = gradient(i);
    }
    if (SECOND == 1u) {
        dh += other(i);
    }
    for (var s = 0u; s < SCORES; s += 1u) {
        let dscore = other(row * SCORES + s);
        dh += vec4<f32>(
            dot(dscore, own_weights[s]),
            dot(dscore, own_weights[SCORES + s]),
            dot(dscore, own_weights[2u * SCORES + s]),
            dot(dscore, own_weights[3u * SCORES + s]),
        );
    }
    return dh;
}

// Adds a row's share to the gradients of the classifier's weights.
fn add_weight_gradient(row: u32, z: vec4<f32>) {
    let h = activate(z);
    for (var s = 0u; s < SCORES; s += 1u) {
        let dscore = other(row * SCORES + s);
        own_shares[s] += h.x * dscore;
        own_shares[SCORES + s] += h.y * dscore;
        own_shares[2u * SCORES + s] += h.z * dscore;
        own_shares[3u * SCORES + s] += h.w * dscore;
    }
}

// Sums the lanes' shares, one term of one group an invocation at a time, and writes those of the classifier.
fn sum_shares(local: u32, strip: u32) {
    for (var at = local; at < TERMS * STRIP; at += THREADS) {
        let term = at / STRIP;
        let column = at % STRIP;
        var sum = vec4<f32>(0.0);
        for (var lane = 0u; lane < LANES; lane += 1u) {
            sum += shares[term * THREADS + lane * STRIP + column];
        }
        shares[term * THREADS + column] = sum;
        let group = strip * STRIP + column;
        if (term >= 2u && group < p.groups) {
            derived[p.weights + 4u * SCORES * group + term - 2u] = sum;
        }
    }
}

// A lane's share of a bias's gradient: every LANES-th row of vec4 `score` of the gradient of the scores. One loop over all
// rows Mesa's software driver would compile anew in every dispatch; see DEVELOPERS.md.
fn share_bias(lane: u32, score: u32) {
    var sum = vec4<f32>(0.0);
    for (var row = lane; row < p.rows; row += LANES) {
        sum += other(row * SCORES + score);
    }
    bias_shares[lane * SCORES + score] = sum;
}

fn sum_bias_shares(score: u32) {
    var sum = vec4<f32>(0.0);
    for (var lane = 0u; lane < LANES; lane += 1u) {
        sum += bias_shares[lane * SCORES + score];
    }
    derived[p.bias + score] = sum;
}

@compute @workgroup_size(64)
fn backward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let g = p.groups;
    let own = wid.x * STRIP + local % STRIP;
    let group = min(own, g - 1u);
    let first = local / STRIP;
    let mean = saved[group];
    let scale = saved[group + g];
    let gamma = values[group];
    let beta = values[group + g];
    for (var i = 0u; i < 4u * SCORES; i += 1u) {
        own_weights[i] = values[p.weights + 4u * SCORES * group + i];
        own_shares[i] = vec4<f32>(0.0);
    }

    var sum_xhat = vec4<f32>(0.0);
    var sum = vec4<f32>(0.0);
    for (var row = first; row < p.rows; row += LANES) {
        let i = row * g + group;
        let xhat = (y(i) - mean) * scale;
        let z = gamma * xhat + beta;
        let dz = activate_backward(incoming(row, i), z);
        sum_xhat += dz * xhat;
        sum += dz;
        add_weight_gradient(row, z);
    }
    shares[local] = sum_xhat;
    shares[THREADS + local] = sum;
    for (var i = 0u; i < 4u * SCORES; i += 1u) {
        shares[(2u + i) * THREADS + local] = own_shares[i];
    }
    if (wid.x == 0u && local < SCORES * LANES) {
        share_bias(local / WIDTH, local % WIDTH);
    }
    workgroupBarrier();
    sum_shares(local, wid.x);
    if (wid.x == 0u && local < SCORES) {
        sum_bias_shares(local);
    }
    workgroupBarrier();
    if (own >= g) {
        return;
    }
    let dgamma = shares[local % STRIP];
    let dbeta = shares[THREADS + local % STRIP];
    if (first == 0u) {
        derived[group] = dgamma;
        derived[group + g] = dbeta;
    }
    let per_row = 1.0 / f32(p.rows);
    for (var row = first; row < p.rows; row += LANES) {
        let i = row * g + group;
        let xhat = (y(i) - mean) * scale;
        let dz = activate_backward(incoming(row, i), gamma * xhat + beta);
        gradient_buffer[i] = gamma * scale * (dz - (dbeta + xhat * dgamma) * per_row);
    }
}
