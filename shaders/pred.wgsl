// Softmax cross-entropy of logits [N, padded] against labels, and softmax rows. Constants: THREADS, LANES (invocations
// that share a row: 1, or THREADS for many classes).

struct Params {
    batch: u32,
    classes: u32,
    groups: u32,        // vec4s of a row
    scale: f32,         // loss weight / N
    nan: f32,           // WGSL has no NaN literal
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<vec4<f32>>;

// The rest depends on the entry point: the loss and its gradient have labels, rows and gradients, the softmax probabilities.
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> rows: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> gradients: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> probabilities: array<vec4<f32>>;

const LOWEST: f32 = -3.4e38;

// What one pass over a row knows.
struct Peak {
    value: f32,
    index: u32,
    broken: u32,        // 1 where a logit is not finite
}

var<workgroup> peaks: array<Peak, THREADS>;
var<workgroup> sums: array<f32, THREADS>;

fn row_of(group: vec3<u32>, groups: vec3<u32>, local: u32) -> u32 {
    return linear_group(group, groups) * (THREADS / LANES) + local / LANES;
}

fn channels(group: u32) -> vec4<u32> {
    return 4u * group + vec4<u32>(0u, 1u, 2u, 3u);
}

// The larger logit; of equals the first.
fn higher(a: Peak, b: Peak) -> Peak {
    let broken = a.broken | b.broken;
    if (b.value > a.value || (b.value == a.value && b.index < a.index)) {
        return Peak(b.value, b.index, broken);
    }
    return Peak(a.value, a.index, broken);
}

// Every function below is called by all invocations, with `active_row` false past the last row, because of its barriers.
fn row_peak(row: u32, local: u32, active_row: bool) -> Peak {
    var peak = Peak(LOWEST, 0xffffffffu, 0u);
    if (active_row) {
        for (var group = local % LANES; group < params.groups; group += LANES) {
            let x = logits[row * params.groups + group];
            let bits = bitcast<vec4<u32>>(x);
            for (var i = 0u; i < 4u; i++) {
                let class_index = 4u * group + i;
                if (class_index < params.classes) {
                    let broken = u32((bits[i] & 0x7f800000u) == 0x7f800000u);
                    peak = higher(peak, Peak(x[i], class_index, broken));
                }
            }
        }
    }
    if (LANES > 1u) {
        peaks[local] = peak;
        for (var span = LANES / 2u; span > 0u; span /= 2u) {
            workgroupBarrier();
            if (local % LANES < span) {
                peaks[local] = higher(peaks[local], peaks[local + span]);
            }
        }
        workgroupBarrier();
        peak = peaks[local - local % LANES];
    }
    return peak;
}

fn shifted_exp(row: u32, group: u32, peak: f32) -> vec4<f32> {
    let value = exp(logits[row * params.groups + group] - peak);
    return select(vec4<f32>(0.0), value, channels(group) < vec4<u32>(params.classes));
}

// Sum of exp(logit - peak) of a row.
fn row_sum(row: u32, local: u32, active_row: bool, peak: f32) -> f32 {
    var total = vec4<f32>(0.0);
    if (active_row) {
        for (var group = local % LANES; group < params.groups; group += LANES) {
            total += shifted_exp(row, group, peak);
        }
    }
    var sum = (total.x + total.y) + (total.z + total.w);
    if (LANES > 1u) {
        sums[local] = sum;
        for (var span = LANES / 2u; span > 0u; span /= 2u) {
            workgroupBarrier();
            if (local % LANES < span) {
                sums[local] += sums[local + span];
            }
        }
        workgroupBarrier();
        sum = sums[local - local % LANES];
    }
    return sum;
}

// Loss and error of a row. A logit that is not finite, or a label that is no class, makes the loss NaN and the answer wrong.
fn cross_entropy(row: u32, peak: Peak, sum: f32) -> vec2<f32> {
    let label = labels[row];
    if (peak.broken != 0u || label >= params.classes) {
        return vec2<f32>(params.nan, 1.0);
    }
    let own = logits[row * params.groups + label / 4u][label % 4u];
    return vec2<f32>(log(sum) - (own - peak.value), f32(peak.index != label));
}

@compute @workgroup_size(THREADS)
fn evaluate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = row_of(group, groups, local);
    let active_row = row < params.batch;
    let peak = row_peak(row, local, active_row);
    let sum = row_sum(row, local, active_row, peak.value);
    if (active_row && local % LANES == 0u) {
        rows[row] = cross_entropy(row, peak, sum);
    }
}

@compute @workgroup_size(THREADS)
fn train(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = row_of(group, groups, local);
    let active_row = row < params.batch;
    let peak = row_peak(row, local, active_row);
    let sum = row_sum(row, local, active_row, peak.value);
    if (!active_row) {
        return;
    }
    let result = cross_entropy(row, peak, sum);
    if (local % LANES == 0u) {
        rows[row] = result;
    }
    let label = vec4<u32>(labels[row]);
    let broken = peak.broken != 0u;
    for (var i = local % LANES; i < params.groups; i += LANES) {
        let channel = channels(i);
        let hot = select(vec4<f32>(0.0), vec4<f32>(1.0), channel == label);
        let value = params.scale * (shifted_exp(row, i, peak.value) / sum - hot);
        let shown = select(value, vec4<f32>(params.nan), broken);
        gradients[row * params.groups + i] = select(vec4<f32>(0.0), shown, channel < vec4<u32>(params.classes));
    }
}

@compute @workgroup_size(THREADS)
fn softmax(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = row_of(group, groups, local);
    let active_row = row < params.batch;
    let peak = row_peak(row, local, active_row);
    let sum = row_sum(row, local, active_row, peak.value);
    if (!active_row) {
        return;
    }
    for (var i = local % LANES; i < params.groups; i += LANES) {
        let value = select(shifted_exp(row, i, peak.value) / sum, vec4<f32>(params.nan), peak.broken != 0u);
        let real = channels(i) < vec4<u32>(params.classes);
        probabilities[row * params.groups + i] = select(vec4<f32>(0.0), value, real);
    }
}
