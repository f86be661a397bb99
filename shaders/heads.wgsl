// What the local heads say of each sample, a workgroup a sample: the scores of the linear classifier, their loss and its
// gradient, for few classes; and the features of the similarity loss, for flat samples. Formulas as in pred.wgsl and
// similarity.wgsl. Constant: SCORES (vec4s of a row of scores). workgroup_sum.wgsl is joined in front.

struct Params {
    batch: u32,
    classes: u32,
    groups: u32,        // vec4s of a sample of a
    bias: u32,          // where the bias lies behind the weights, in vec4s
    scale: f32,         // loss weight / N
    nan: f32,           // WGSL has no NaN literal
    features: u32,      // vec4s of a sample of z and u
    real_features: u32,
    stride: u32,        // rows of u
    spare0: u32,
    spare1: u32,
    spare2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Binding 1 is the input a, binding 2 the input weights: [4 * groups, SCORES], and the bias behind.
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> gradients: array<vec4<f32>>;
// Binding 6 is the input z.
@group(0) @binding(7) var<storage, read_write> u: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> stats: array<vec4<f32>>;

const LOWEST: f32 = -3.4e38;
const COSINE_EPS: f32 = 1e-8;
const EIGHTHS: u32 = THREADS / 8u;

var<workgroup> shares: array<vec4<f32>, SCORES * THREADS>;
var<workgroup> eighths: array<vec4<f32>, SCORES * 8u>;
var<private> sums: array<vec4<f32>, SCORES>;

// Leaves the sample's scores in `sums` of invocation 0.
fn score(sample: u32, local: u32) {
    for (var s = 0u; s < SCORES; s += 1u) {
        sums[s] = vec4<f32>(0.0);
    }
    for (var i = local; i < params.groups; i += THREADS) {
        let x = a(sample * params.groups + i);
        for (var s = 0u; s < SCORES; s += 1u) {
            let at = 4u * SCORES * i + s;
            sums[s] += (x.x * weights(at) + x.y * weights(at + SCORES))
                + (x.z * weights(at + 2u * SCORES) + x.w * weights(at + 3u * SCORES));
        }
    }
    for (var s = 0u; s < SCORES; s += 1u) {
        shares[s * THREADS + local] = sums[s];
    }
    workgroupBarrier();
    for (var at = local; at < 8u * SCORES; at += THREADS) {
        var sum = vec4<f32>(0.0);
        for (var i = 0u; i < EIGHTHS; i += 1u) {
            sum += shares[at * EIGHTHS + i];
        }
        eighths[at] = sum;
    }
    workgroupBarrier();
    if (local == 0u) {
        for (var s = 0u; s < SCORES; s += 1u) {
            var sum = weights(params.bias + s);
            for (var i = 0u; i < 8u; i += 1u) {
                sum += eighths[8u * s + i];
            }
            sums[s] = sum;
        }
    }
}

// Loss and answer of the sample, and the gradient of its scores, from `sums`.
fn cross_entropy(sample: u32) {
    let label = labels[sample];
    var peak = LOWEST;
    var answer = 0xffffffffu;
    var own = params.nan;
    var broken = false;
    for (var c = 0u; c < params.classes; c += 1u) {
        let x = sums[c / 4u][c % 4u];
        broken = broken || (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u;
        if (x > peak) {
            peak = x;
            answer = c;
        }
        if (c == label) {
            own = x;
        }
    }
    var total = 0.0;
    for (var c = 0u; c < params.classes; c += 1u) {
        total += exp(sums[c / 4u][c % 4u] - peak);
    }
    let sound = !broken && label < params.classes;
    let loss = select(params.nan, log(total) - (own - peak), sound);
    rows[sample] = vec2<f32>(loss, f32(!sound || answer != label));
    for (var s = 0u; s < SCORES; s += 1u) {
        let class_index = 4u * s + vec4<u32>(0u, 1u, 2u, 3u);
        let hot = select(vec4<f32>(0.0), vec4<f32>(1.0), class_index == vec4<u32>(label));
        let value = params.scale * (exp(sums[s] - peak) / total - hot);
        let shown = select(value, vec4<f32>(params.nan), broken);
        gradients[sample * SCORES + s] = select(vec4<f32>(0.0), shown, class_index < vec4<u32>(params.classes));
    }
}

// 1 for real features, 0 for pad lanes.
fn feature_mask(index: u32) -> vec4<f32> {
    let feature = 4u * index + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(0.0), vec4<f32>(1.0), feature < vec4<u32>(params.real_features));
}

// u = c / (eps + |c|), c the sample's features less their mean, all taken relative to the first of them.
fn center_and_normalize(sample: u32, local: u32) {
    let base = sample * params.features;
    let shift = z(base).x;
    var sum = vec4<f32>(0.0);
    for (var i = local; i < params.features; i += THREADS) {
        sum += (z(base + i) - shift) * feature_mask(i);
    }
    let mean = workgroup_sum(local, sum) / f32(params.real_features);
    var square = vec4<f32>(0.0);
    for (var i = local; i < params.features; i += THREADS) {
        let centred = ((z(base + i) - shift) - mean) * feature_mask(i);
        square += centred * centred;
    }
    let norm = sqrt(workgroup_sum(local, square));
    let scale = 1.0 / (norm + COSINE_EPS);
    for (var i = local; i < params.features; i += THREADS) {
        u[base + i] = ((z(base + i) - shift) - mean) * feature_mask(i) * scale;
    }
    if (local == 0u) {
        stats[sample] = vec4<f32>(norm, 0.0, 0.0, 0.0);
    }
}

@compute @workgroup_size(THREADS)
fn pred(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = linear_group(group, groups);
    if (sample >= params.batch) {
        return;
    }
    score(sample, local);
    if (local == 0u) {
        cross_entropy(sample);
    }
}

// Rows of u past the batch are zero.
@compute @workgroup_size(THREADS)
fn pred_and_features(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = linear_group(group, groups);
    if (sample >= params.batch) {
        for (var i = local; sample < params.stride && i < params.features; i += THREADS) {
            u[sample * params.features + i] = vec4<f32>(0.0);
        }
        return;
    }
    score(sample, local);
    if (local == 0u) {
        cross_entropy(sample);
    }
    center_and_normalize(sample, local);
}
