// Batch normalisation of [rows, channels], fused with the activation behind it: statistics, forward.
// Vectors of channels lie in pairs: affine = [gamma | beta], running = [mean | variance], saved = [mean | 1/deviation].

struct Params {
    rows: u32,
    groups: u32,
    span: u32,
    slots: u32,
    epsilon: f32,
    momentum: f32,
    // Rows may come in chunks, of which the last may have fewer; no slot straddles two of them.
    chunk_rows: u32,
    chunk_slots: u32,
    // Of the chunk at hand.
    first_slot: u32,
    spare0: u32,
    spare1: u32,
    spare2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

// Each entry point has its own bindings, named after it.
// Binding 1 is the input partial_x.
@group(0) @binding(2) var<storage, read_write> partial_out: array<vec4<f32>>;

// Binding 1 is the input finish_partials.
@group(0) @binding(2) var<storage, read_write> finish_running: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> finish_saved: array<vec4<f32>>;

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

// Rows of a slot.
fn slot_count(slot: u32) -> f32 {
    let chunk = slot / p.chunk_slots;
    let first = (slot - chunk * p.chunk_slots) * p.span;
    let rows = min(p.chunk_rows, p.rows - chunk * p.chunk_rows);
    return f32(min(p.span, rows - first));
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

// Slots that are summed before they join the total: a sum in two levels rounds less than one in a single run.
const CHUNK: u32 = 16u;

// Sum over a chunk's slots of count * (mean - origin).
fn chunk_distance(group: u32, first: u32, origin: vec4<f32>) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var slot = first; slot < min(first + CHUNK, p.slots); slot += 1u) {
        sum += slot_count(slot) * (finish_partials(2u * slot * p.groups + group) - origin);
    }
    return sum;
}

// The mean of all rows, from a value near it: what is summed are the slots' distances from that value.
fn mean_from(group: u32, near: vec4<f32>) -> vec4<f32> {
    var distance = vec4<f32>(0.0);
    for (var first = 0u; first < p.slots; first += CHUNK) {
        distance += chunk_distance(group, first, near);
    }
    return near + distance / f32(max(p.rows, 1u));
}

// Sum over a chunk's rows of the squared deviations from `mean`.
fn chunk_deviation(group: u32, first: u32, mean: vec4<f32>) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var slot = first; slot < min(first + CHUNK, p.slots); slot += 1u) {
        let at = 2u * slot * p.groups + group;
        let off = finish_partials(at) - mean;
        sum += finish_partials(at + p.groups) + slot_count(slot) * off * off;
    }
    return sum;
}

// The slots' moments put together: their common mean, first roughly and then from there, and the deviations from it.
// Merging them one after the other would round the mean at every slot, and an error in it moves the sign of whatever is
// close to an activation's kink.
@compute @workgroup_size(64)
fn statistics_finish(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let g = p.groups;
    let group = wid.x * 64u + lane;
    if (group >= g) {
        return;
    }
    let near = mean_from(group, finish_partials(group));
    let mean = mean_from(group, near);
    var deviation = vec4<f32>(0.0);
    for (var first = 0u; first < p.slots; first += CHUNK) {
        deviation += chunk_deviation(group, first, mean);
    }
    let biased = deviation / f32(max(p.rows, 1u));
    // A single row has no unbiased variance; its running variance moves towards 0.
    let unbiased = deviation / f32(max(p.rows, 2u) - 1u);
    finish_saved[group] = mean;
    finish_saved[group + g] = 1.0 / sqrt(biased + p.epsilon);
    let running_mean = finish_running[group];
    let running_variance = finish_running[group + g];
    finish_running[group] = running_mean + p.momentum * (mean - running_mean);
    finish_running[group + g] = running_variance + p.momentum * (unbiased - running_variance);
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
