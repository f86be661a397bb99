// Similarity matching: what its kernels share, and the features of each sample. workgroup_sum.wgsl is joined in front
// of this file, similarity_matrix.wgsl (the loss of the features' cosines and its gradient) and
// similarity_gradient.wgsl (the rest of the way back to z) behind it; the products between them are gemm.wgsl's.
// Constants: THREADS (workgroup size, a multiple of 8), SPATIAL_STD (1: features are standard deviations over space;
// 0: features are all values). All tensors are vec4 over channels; "groups" counts vec4s of one position.
//
// stats, in vec4s: [0, N) = (norm of the centred features, 0, 0, 0) of each sample; with SPATIAL_STD
// follow the deviations f [N, groups] and the spatial means [N, groups].

struct Params {
    batch: u32,
    spatial: u32,
    groups: u32,
    real_channels: u32,
    features: u32,          // vec4s of a row of u
    slab: u32,              // positions of a workgroup of `apply`
    stride: u32,            // N up to a multiple of 4: rows of u, length of a row of S
    same: f32,              // target cosine of two samples of one class
    other: f32,             // and of two classes
    loss_scale: f32,        // 1 / N^2
    gradient_scale: f32,    // 4 weight / N^2
    first: u32,             // sample that z begins with
    count: u32,             // samples of z
    spare0: u32,
    spare1: u32,
    spare2: u32,
}

const COSINE_EPS: f32 = 1e-8;

@group(0) @binding(0) var<uniform> params: Params;

fn deviation_at(sample: u32) -> u32 {
    return params.batch + sample * params.groups;
}

fn mean_at(sample: u32) -> u32 {
    return params.batch + (params.batch + sample) * params.groups;
}

// Binding 1 is the input features_z.
@group(0) @binding(2) var<storage, read_write> features_u: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> features_stats: array<vec4<f32>>;

var<workgroup> part_mean: array<vec4<f32>, THREADS>;
var<workgroup> part_square: array<vec4<f32>, THREADS>;

// Mean and sum of squared deviations of some values of a map.
struct Moments {
    count: f32,
    mean: vec4<f32>,
    square: vec4<f32>,
}

// Chan, Golub and LeVeque's rule for the union of two sets. Equal means stay exactly what they are, so that a constant
// map has deviation zero and not rounding noise.
fn merge(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let delta = b.mean - a.mean;
    let share = b.count / count;
    return Moments(count, a.mean + delta * share, a.square + b.square + delta * delta * (a.count * share));
}

// Every `slices`-th position of a channel group, four at a time.
fn slice_moments(base: u32, slice: u32, slices: u32) -> Moments {
    let step = slices * params.groups;
    var moments = Moments(0.0, features_z(base), vec4<f32>(0.0));
    var position = slice;
    var at = base + slice * params.groups;
    while (position + 3u * slices < params.spatial) {
        let a = features_z(at);
        let b = features_z(at + step);
        let c = features_z(at + 2u * step);
        let d = features_z(at + 3u * step);
        let mean = ((a + b) + (c + d)) * 0.25;
        let square = ((a - mean) * (a - mean) + (b - mean) * (b - mean))
            + ((c - mean) * (c - mean) + (d - mean) * (d - mean));
        moments = merge(moments, Moments(4.0, mean, square));
        position += 4u * slices;
        at += 4u * step;
    }
    while (position < params.spatial) {
        moments = merge(moments, Moments(1.0, features_z(at), vec4<f32>(0.0)));
        position += slices;
        at += step;
    }
    return moments;
}

// Standard deviation over space of every map of a sample, with divisor spatial - 1. `one` is 1, and keeps what the loops
// end with from being a function of the uniforms alone: where unrolled loops would make the shader much shorter, Mesa's
// software driver (22.3) makes it anew for the values of the uniforms, at each dispatch, and keeps all of them.
fn deviations(sample: u32, local: u32, one: u32) {
    let lanes = min(params.groups * one, THREADS);
    let slices = THREADS / lanes;
    let lane = local % lanes;
    let slice = local / lanes;
    let divisor = f32(max(params.spatial, 2u) - 1u);
    for (var first = 0u; first < params.groups; first += lanes) {
        let group = first + lane;
        let busy = group < params.groups && slice < slices;
        var moments = Moments(0.0, vec4<f32>(0.0), vec4<f32>(0.0));
        if (busy) {
            moments = slice_moments((sample - params.first) * params.spatial * params.groups + group, slice, slices);
            part_mean[local] = moments.mean;
            part_square[local] = moments.square;
        }
        workgroupBarrier();
        if (busy && slice == 0u) {
            for (var other = 1u; other < min(slices, params.spatial); other++) {
                let count = f32((params.spatial - other + slices - 1u) / slices);
                let origin = other * lanes + lane;
                moments = merge(moments, Moments(count, part_mean[origin], part_square[origin]));
            }
            features_stats[deviation_at(sample) + group] = sqrt(moments.square / divisor);
            features_stats[mean_at(sample) + group] = moments.mean;
        }
        workgroupBarrier();
    }
}

fn feature(sample: u32, index: u32) -> vec4<f32> {
    if (SPATIAL_STD == 1u) {
        return features_stats[deviation_at(sample) + index];
    }
    return features_z((sample - params.first) * params.features + index);
}

// 1 for real channels, 0 for pad lanes. `one` as in `deviations`.
fn lane_mask(index: u32, one: u32) -> vec4<f32> {
    if (params.real_channels == 4u * params.groups * one) {
        return vec4<f32>(1.0);
    }
    let channel = 4u * (index % params.groups) + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(0.0), vec4<f32>(1.0), channel < vec4<u32>(params.real_channels));
}

// u = c / (eps + |c|), c the features less their mean over real channels. One workgroup a sample. Everything is taken
// relative to the first feature, so that a sample of equal features has c = 0 exactly. Rows past the batch are zero.
@compute @workgroup_size(THREADS)
fn features(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = params.first + linear_group(group, groups);
    if (sample >= params.batch) {
        for (var i = local; sample < params.stride && i < params.features; i += THREADS) {
            features_u[sample * params.features + i] = vec4<f32>(0.0);
        }
        return;
    }
    if (SPATIAL_STD == 1u) {
        deviations(sample, local, groups.z);
        storageBarrier();
    }
    let shift = feature(sample, 0u).x;
    var sum = vec4<f32>(0.0);
    for (var i = local; i < params.features; i += THREADS) {
        sum += (feature(sample, i) - shift) * lane_mask(i, groups.z);
    }
    let count = f32((params.features / params.groups) * params.real_channels);
    let mean = workgroup_sum(local, sum) / count;
    var square = vec4<f32>(0.0);
    for (var i = local; i < params.features; i += THREADS) {
        let centred = ((feature(sample, i) - shift) - mean) * lane_mask(i, groups.z);
        square += centred * centred;
    }
    let norm = sqrt(workgroup_sum(local, square));
    let scale = 1.0 / (norm + COSINE_EPS);
    for (var i = local; i < params.features; i += THREADS) {
        let centred = ((feature(sample, i) - shift) - mean) * lane_mask(i, groups.z);
        features_u[sample * params.features + i] = centred * scale;
    }
    if (local == 0u) {
        features_stats[sample] = vec4<f32>(norm, 0.0, 0.0, 0.0);
    }
}
