// The end of a batch's statistics: the moments of runs of rows, "slots", put together. Constant: LANES, how many invocations
// share a group of four channels; 1 where barriers are dear and slots few, as on the software driver.
// Vectors of channels lie in pairs: running = [mean | variance], saved = [mean | 1/deviation].

struct Params {
    rows: u32,
    groups: u32,
    span: u32,          // rows of a slot, of which the last of a chunk may have fewer
    slots: u32,
    // Rows may come in chunks, of which the last may have fewer; no slot straddles two of them.
    chunk_rows: u32,
    chunk_slots: u32,
    epsilon: f32,
    momentum: f32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Binding 1 is the input partials: [slots][mean | sum of squared deviations].
@group(0) @binding(2) var<storage, read_write> running: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> saved: array<vec4<f32>>;

// Groups of a workgroup.
const ABREAST: u32 = 64u / LANES;
// Slots that are summed before they join the total: a sum in two levels rounds less than one in a single run.
const CHUNK: u32 = 16u;

var<workgroup> shares: array<vec4<f32>, 64>;

// What the invocations of a group have, added up; every invocation calls it, and gets it.
fn sum_over_lanes(local: u32, share: vec4<f32>) -> vec4<f32> {
    if (LANES == 1u) {
        return share;
    }
    workgroupBarrier();
    shares[local] = share;
    workgroupBarrier();
    var sum = vec4<f32>(0.0);
    for (var at = local % ABREAST; at < 64u; at += ABREAST) {
        sum += shares[at];
    }
    return sum;
}

// Rows of a slot.
fn slot_count(slot: u32) -> f32 {
    let chunk = slot / p.chunk_slots;
    let first = (slot - chunk * p.chunk_slots) * p.span;
    let rows = min(p.chunk_rows, p.rows - chunk * p.chunk_rows);
    return f32(min(p.span, rows - first));
}

// Sum over a chunk's slots of count * (mean - origin).
fn chunk_distance(group: u32, first: u32, origin: vec4<f32>) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var slot = first; slot < min(first + CHUNK, p.slots); slot += 1u) {
        sum += slot_count(slot) * (partials(2u * slot * p.groups + group) - origin);
    }
    return sum;
}

// The mean of all rows, from a value near it: what is summed are the slots' distances from that value.
fn mean_from(group: u32, local: u32, end: u32, near: vec4<f32>) -> vec4<f32> {
    var distance = vec4<f32>(0.0);
    for (var first = local / ABREAST * CHUNK; first < end; first += LANES * CHUNK) {
        distance += chunk_distance(group, first, near);
    }
    return near + sum_over_lanes(local, distance) / f32(max(p.rows, 1u));
}

// Sum over a chunk's rows of the squared deviations from `mean`.
fn chunk_deviation(group: u32, first: u32, mean: vec4<f32>) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var slot = first; slot < min(first + CHUNK, p.slots); slot += 1u) {
        let at = 2u * slot * p.groups + group;
        let off = partials(at) - mean;
        sum += partials(at + p.groups) + slot_count(slot) * off * off;
    }
    return sum;
}

// The common mean, first roughly and then from there, and the deviations from it. Merging slots one after the other would
// round the mean at every slot, and an error in it moves the sign of whatever is close to an activation's kink.
@compute @workgroup_size(64)
fn statistics_finish(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let g = p.groups;
    let own = wid.x * ABREAST + local % ABREAST;
    // Those without a group have nothing to add up, and meet the others at the barriers.
    let group = min(own, g - 1u);
    let end = select(0u, p.slots, own < g);
    let near = mean_from(group, local, end, partials(group));
    let mean = mean_from(group, local, end, near);
    var share = vec4<f32>(0.0);
    for (var first = local / ABREAST * CHUNK; first < end; first += LANES * CHUNK) {
        share += chunk_deviation(group, first, mean);
    }
    let deviation = sum_over_lanes(local, share);
    if (own >= g || local >= ABREAST) {
        return;
    }
    let biased = deviation / f32(max(p.rows, 1u));
    // A single row has no unbiased variance; its running variance moves towards 0.
    let unbiased = deviation / f32(max(p.rows, 2u) - 1u);
    saved[group] = mean;
    saved[group + g] = 1.0 / sqrt(biased + p.epsilon);
    let running_mean = running[group];
    let running_variance = running[group + g];
    running[group] = running_mean + p.momentum * (mean - running_mean);
    running[group + g] = running_variance + p.momentum * (unbiased - running_variance);
}
