// Targets projected at random: each class has a code, its row of the projection matrix; a classifier is trained to tell
// the signs of its sample's code. projection [pad4(K), padded], logits [N, padded].

struct Params {
    batch: u32,
    classes: u32,
    size: u32,              // numbers of a code
    groups: u32,            // vec4s of a code
    loss_scale: f32,        // 1 / size
    gradient_scale: f32,    // weight / (N size)
    nan: f32,               // WGSL has no NaN literal
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> projection: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;

@group(0) @binding(3) var<storage, read_write> codes_out: array<vec4<f32>>;

// The code of each sample. A label that is no class has no code and leaves NaN.
@compute @workgroup_size(THREADS)
fn codes(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * THREADS + local;
    let sample = index / params.groups;
    if (sample >= params.batch) {
        return;
    }
    let label = labels[sample];
    let known = label < params.classes;
    let code = projection[select(0u, label, known) * params.groups + index % params.groups];
    codes_out[index] = select(vec4<f32>(params.nan), code, known);
}

@group(0) @binding(3) var<storage, read> logits: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> rows: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> gradients: array<vec4<f32>>;

struct Answer {
    score: f32,
    class_index: u32,
}

var<workgroup> losses: array<f32, THREADS>;
var<workgroup> answers: array<Answer, THREADS>;

// 1 for numbers of the code, 0 for pad lanes.
fn real_lanes(group: u32) -> vec4<f32> {
    let lane = 4u * group + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(0.0), vec4<f32>(1.0), lane < vec4<u32>(params.size));
}

fn bits(class_index: u32, group: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), vec4<f32>(1.0), projection[class_index * params.groups + group] > vec4<f32>(0.0));
}

// log(1 + exp(x)) without overflow.
fn softplus(x: vec4<f32>) -> vec4<f32> {
    return max(x, vec4<f32>(0.0)) + log(1.0 + exp(-abs(x)));
}

// The class whose bits are the likeliest under the logits; of equals the first. log p(bits) is, but for a term that all
// classes share, the sum of the logits at the bits that are set.
fn decode(sample: u32, local: u32) -> u32 {
    var best = Answer(-3.4e38, 0u);
    for (var candidate = local; candidate < params.classes; candidate += THREADS) {
        var sum = vec4<f32>(0.0);
        for (var group = 0u; group < params.groups; group++) {
            sum += bits(candidate, group) * logits[sample * params.groups + group];
        }
        let score = (sum.x + sum.y) + (sum.z + sum.w);
        if (score > best.score) {
            best = Answer(score, candidate);
        }
    }
    answers[local] = best;
    workgroupBarrier();
    for (var other = 0u; other < min(THREADS, params.classes); other++) {
        let answer = answers[other];
        let earlier = answer.score == best.score && answer.class_index < best.class_index;
        if (answer.score > best.score || earlier) {
            best = answer;
        }
    }
    return best.class_index;
}

// A workgroup takes the loss of one sample's bits and decodes its answer.
fn binary_cross_entropy(sample: u32, local: u32) {
    let label = min(labels[sample], params.classes - 1u);
    var sum = vec4<f32>(0.0);
    for (var group = local; group < params.groups; group += THREADS) {
        let logit = logits[sample * params.groups + group];
        sum += real_lanes(group) * (softplus(logit) - logit * bits(label, group));
    }
    losses[local] = (sum.x + sum.y) + (sum.z + sum.w);
    // Its barrier is the losses', too.
    let answer = decode(sample, local);
    if (local == 0u) {
        var loss = 0.0;
        for (var other = 0u; other < THREADS; other++) {
            loss += losses[other];
        }
        let known = labels[sample] < params.classes;
        rows[sample] = vec2<f32>(select(params.nan, loss * params.loss_scale, known), f32(answer != labels[sample]));
    }
}

@compute @workgroup_size(THREADS)
fn evaluate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = linear_group(group, groups);
    if (sample < params.batch) {
        binary_cross_entropy(sample, local);
    }
}

@compute @workgroup_size(THREADS)
fn train(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let sample = linear_group(group, groups);
    if (sample >= params.batch) {
        return;
    }
    binary_cross_entropy(sample, local);
    let label = min(labels[sample], params.classes - 1u);
    for (var i = local; i < params.groups; i += THREADS) {
        let at = sample * params.groups + i;
        // sigmoid(logit) - bit, with nothing cancelled where the answer is nearly sure.
        let side = 2.0 * bits(label, i) - 1.0;
        gradients[at] = params.gradient_scale * real_lanes(i) * (-side / (1.0 + exp(side * logits[at])));
    }
}
