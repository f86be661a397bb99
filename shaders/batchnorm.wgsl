// Batch normalisation of [rows, channels], fused with the activation behind it: statistics, forward. What puts the slots'
// moments together is in batchnorm_finish.wgsl.
// Vectors of channels lie in pairs: affine = [gamma | beta], running = [mean | variance], saved = [mean | 1/deviation].

struct Params {
    rows: u32,
    groups: u32,
    span: u32,
    slots: u32,
    epsilon: f32,
    // Of the chunk of rows at hand.
    first_slot: u32,
    spare0: u32,
    spare1: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

// Each entry point has its own bindings, named after it.
// Binding 1 is the input partial_x.
@group(0) @binding(2) var<storage, read_write> partial_out: array<vec4<f32>>;

@group(0) @binding(1) var<storage, read> eval_running: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> eval_saved: array<vec4<f32>>;

// Count, mean and sum of squared deviations of some rows, for four channels.
struct Moments {
    count: f32,
    mean: vec4<f32>,
    m2: vec4<f32>,
}

// Moments of the union of two sets of rows (Chan, Golub, LeVeque 1979). `b` is not empty.
fn merge(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let delta = b.mean - a.mean;
    let share = b.count / count;
    return Moments(count, a.mean + delta * share, a.m2 + b.m2 + delta * delta * (a.count * share));
}

// Moments of each slot. Eight rows at a time: their loads are independent, and one division serves them all.
@compute @workgroup_size(64)
fn statistics_partial(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.rows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    let g = p.groups;
    var all = Moments(0.0, vec4<f32>(0.0), vec4<f32>(0.0));
    var row = s.first;
    for (; row + 8u <= s.end; row += 8u) {
        let i = row * g + s.group;
        let x0 = partial_x(i);
        let x1 = partial_x(i + g);
        let x2 = partial_x(i + 2u * g);
        let x3 = partial_x(i + 3u * g);
        let x4 = partial_x(i + 4u * g);
        let x5 = partial_x(i + 5u * g);
        let x6 = partial_x(i + 6u * g);
        let x7 = partial_x(i + 7u * g);
        let mean = 0.125 * (((x0 + x1) + (x2 + x3)) + ((x4 + x5) + (x6 + x7)));
        let d0 = x0 - mean;
        let d1 = x1 - mean;
        let d2 = x2 - mean;
        let d3 = x3 - mean;
        let d4 = x4 - mean;
        let d5 = x5 - mean;
        let d6 = x6 - mean;
        let d7 = x7 - mean;
        let m2 = ((d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)) + ((d4 * d4 + d5 * d5) + (d6 * d6 + d7 * d7));
        all = merge(all, Moments(8.0, mean, m2));
    }
    for (; row < s.end; row += 1u) {
        all = merge(all, Moments(1.0, partial_x(row * g + s.group), vec4<f32>(0.0)));
    }
    let at = 2u * (p.first_slot + s.slot) * g + s.group;
    partial_out[at] = all.mean;
    partial_out[at + g] = all.m2;
}

@compute @workgroup_size(64)
fn statistics_eval(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let group = wid.x * 64u + lane;
    if (group >= p.groups) {
        return;
    }
    eval_saved[group] = eval_running[group];
    eval_saved[group + p.groups] = 1.0 / sqrt(eval_running[group + p.groups] + p.epsilon);
}

// Binding 1 is the input apply_x.
@group(0) @binding(2) var<storage, read> apply_saved: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> apply_affine: array<vec4<f32>>;
// With RESIDUAL == 0 some other tensor is bound here and not read; the same for `activate_residual`.
// Binding 4 is the input apply_residual.
@group(0) @binding(5) var<storage, read_write> apply_h: array<vec4<f32>>;

// h = act(gamma * (x - mean) / deviation + beta + residual)
@compute @workgroup_size(64)
fn apply(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.rows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    let g = p.groups;
    let mean = apply_saved[s.group];
    let scale = apply_saved[s.group + g];
    let gamma = apply_affine[s.group];
    let beta = apply_affine[s.group + g];
    for (var row = s.first; row < s.end; row += 1u) {
        let i = row * g + s.group;
        var z = gamma * ((apply_x(i) - mean) * scale) + beta;
        if (RESIDUAL != 0u) {
            z += apply_residual(i);
        }
        apply_h[i] = activate(z);
    }
}

// Binding 1 is the input activate_x.
// Binding 2 is the input activate_residual.
@group(0) @binding(3) var<storage, read_write> activate_h: array<vec4<f32>>;

// h = act(x + residual)
@compute @workgroup_size(64)
fn activate_only(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.rows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    for (var row = s.first; row < s.end; row += 1u) {
        let i = row * p.groups + s.group;
        var z = activate_x(i);
        if (RESIDUAL != 0u) {
            z += activate_residual(i);
        }
        activate_h[i] = activate(z);
    }
}
