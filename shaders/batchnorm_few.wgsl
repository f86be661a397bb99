// Batch normalisation of few rows and the activation behind it, in one dispatch: a workgroup takes a strip of STRIP vec4s
// ("groups") with all their rows, LANES invocations to a group, so that nothing has to leave the workgroup between the
// statistics and what is done with them. The entry `forward_of_parts` takes x in the parts that a split product left, puts
// BIAS (1: there is one) on it, and also writes x as it then is. Constant: BIAS.

const STRIP: u32 = 8u;
const LANES: u32 = 8u;

struct Params {
    rows: u32,
    groups: u32,
    epsilon: f32,
    momentum: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Binding 1 is the input x.
@group(0) @binding(2) var<storage, read> affine: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> running: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> saved: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> whole: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> bias: array<vec4<f32>>;

var<workgroup> shares: array<vec4<f32>, STRIP * LANES>;

// The sum of a group's shares. Called by all invocations.
fn strip_sum(local: u32, share: vec4<f32>) -> vec4<f32> {
    workgroupBarrier();
    shares[local] = share;
    workgroupBarrier();
    var sum = vec4<f32>(0.0);
    for (var lane = 0u; lane < LANES; lane += 1u) {
        sum += shares[lane * STRIP + local % STRIP];
    }
    return sum;
}

// Of x + onto.
fn normalise(own: u32, local: u32, onto: vec4<f32>) {
    let g = p.groups;
    let group = min(own, g - 1u);
    let first = local / STRIP;
    let count = f32(p.rows);

    // Everything relative to a value of the column: equal rows then have deviation zero and not rounding noise.
    let origin = x(group) + onto;
    var distance = vec4<f32>(0.0);
    for (var row = first; row < p.rows; row += LANES) {
        distance += (x(row * g + group) + onto) - origin;
    }
    let near = origin + strip_sum(local, distance) / count;
    var rest = vec4<f32>(0.0);
    var square = vec4<f32>(0.0);
    for (var row = first; row < p.rows; row += LANES) {
        let off = (x(row * g + group) + onto) - near;
        rest += off;
        square += off * off;
    }
    let shift = strip_sum(local, rest) / count;
    let mean = near + shift;
    let deviation = max(strip_sum(local, square) - count * shift * shift, vec4<f32>(0.0));
    let scale = 1.0 / sqrt(deviation / count + p.epsilon);
    if (own >= g) {
        return;
    }
    let gamma = affine[group];
    let beta = affine[group + g];
    for (var row = first; row < p.rows; row += LANES) {
        let i = row * g + group;
        h[i] = activate(gamma * (((x(i) + onto) - mean) * scale) + beta);
    }
    if (first == 0u) {
        // A single row has no unbiased variance; its running variance moves towards 0.
        let unbiased = deviation / max(count - 1.0, 1.0);
        saved[group] = mean;
        saved[group + g] = scale;
        running[group] += p.momentum * (mean - running[group]);
        running[group + g] += p.momentum * (unbiased - running[group + g]);
    }
}

@compute @workgroup_size(64)
fn forward(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    normalise(wid.x * STRIP + local % STRIP, local, vec4<f32>(0.0));
}

@compute @workgroup_size(64)
fn forward_of_parts(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let own = wid.x * STRIP + local % STRIP;
    var onto = vec4<f32>(0.0);
    if (BIAS == 1u) {
        onto = bias[min(own, p.groups - 1u)];
    }
    normalise(own, local, onto);
    if (own >= p.groups) {
        return;
    }
    for (var row = local / STRIP; row < p.rows; row += LANES) {
        let i = row * p.groups + own;
        whole[i] = x(i) + onto;
    }
}
