// Sums: columns of a matrix, squares of a vector, and the closing of a step. Behind workgroup_sum.wgsl.

const THREADS: u32 = 64u;

struct ColumnParams {
    rows: u32,
    groups: u32,
    span: u32,
    slots: u32,
}

struct SquaresParams {
    vectors: u32,
    // vec4s a workgroup sums.
    span: u32,
    spare0: u32,
    spare1: u32,
}

const OWNERS: u32 = 64u;

// What a block has measured: runs of the measures, each its first float and their number; of what it has not, none.
struct Owner {
    pred: vec2<u32>,
    sim: vec2<u32>,
    unsup: vec2<u32>,
    squares: vec2<u32>,
    totals: u32,    // word where its totals begin
    spare0: u32,
    spare1: u32,
    spare2: u32,
}

struct MetricsParams {
    samples: u32,
    spare0: u32,
    spare1: u32,
    spare2: u32,
    owners: array<Owner, OWNERS>,
}

struct NormsParams {
    partials: u32,
    spare0: u32,
    spare1: u32,
    spare2: u32,
}

@group(0) @binding(0) var<uniform> column_p: ColumnParams;
// Binding 1 is the input column_x.
@group(0) @binding(2) var<storage, read_write> column_out: array<vec4<f32>>;

// [rows, channels] to [slots, channels]. A second run with one slot finishes it.
@compute @workgroup_size(64)
fn column_sum(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, column_p.groups, column_p.rows, column_p.span);
    if (s.slot >= column_p.slots) {
        return;
    }
    let g = column_p.groups;
    var sum = vec4<f32>(0.0);
    var row = s.first;
    for (; row + 8u <= s.end; row += 8u) {
        let i = row * g + s.group;
        let j = i + 4u * g;
        let first = (column_x(i) + column_x(i + g)) + (column_x(i + 2u * g) + column_x(i + 3u * g));
        let second = (column_x(j) + column_x(j + g)) + (column_x(j + 2u * g) + column_x(j + 3u * g));
        sum += first + second;
    }
    for (; row < s.end; row += 1u) {
        sum += column_x(row * g + s.group);
    }
    column_out[s.slot * g + s.group] = sum;
}

@group(0) @binding(0) var<uniform> squares_p: SquaresParams;
// Binding 1 is the input squares_x.
@group(0) @binding(2) var<storage, read_write> squares_out: array<f32>;

// Writes the workgroup's sum.
fn put_squares(group: u32, lane: u32, sum: vec4<f32>) {
    let total = workgroup_sum(lane, sum);
    if (lane == 0u) {
        squares_out[group] = total;
    }
}

// One partial sum a workgroup.
@compute @workgroup_size(64)
fn sum_of_squares(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = min(wid.x * squares_p.span, squares_p.vectors);
    let end = min(first + squares_p.span, squares_p.vectors);
    var sum = vec4<f32>(0.0);
    for (var i = first + lane; i < end; i += 64u) {
        let v = squares_x(i);
        sum += v * v;
    }
    put_squares(wid.x, lane, sum);
}

// Binding 3 is the input squares_other.

// The same of the differences between two vectors.
@compute @workgroup_size(64)
fn sum_of_squared_differences(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let first = min(wid.x * squares_p.span, squares_p.vectors);
    let end = min(first + squares_p.span, squares_p.vectors);
    var sum = vec4<f32>(0.0);
    for (var i = first + lane; i < end; i += 64u) {
        let off = squares_x(i) - squares_other(i);
        sum += off * off;
    }
    put_squares(wid.x, lane, sum);
}

@group(0) @binding(0) var<uniform> metrics_p: MetricsParams;
@group(0) @binding(1) var<storage, read_write> metrics_totals: array<u32>;
@group(0) @binding(2) var<storage, read> metrics_step: Step;
@group(0) @binding(3) var<storage, read> measures: array<f32>;

var<workgroup> lane_unsup: array<f32, 64>;
// Sums of a lane: pred loss, wrong samples, sim loss, squares of the gradient.
var<workgroup> lane_metrics: array<vec4<f32>, 64>;

// Infinite or NaN, from the bits: a compiler may assume that floats are neither.
fn finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}

fn add(word: u32, value: f32) {
    metrics_totals[word] = bitcast<u32>(bitcast<f32>(metrics_totals[word]) + value);
}

// A lane's share of a run.
fn measured(run: vec2<u32>, lane: u32) -> f32 {
    var sum = 0.0;
    for (var i = lane; i < run.y; i += 64u) {
        sum += measures[run.x + i];
    }
    return sum;
}

// A workgroup a block.
@compute @workgroup_size(64)
fn metrics(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let owner = metrics_p.owners[wid.x];
    var own = vec4<f32>(0.0);
    for (var i = 2u * lane; i < owner.pred.y; i += 128u) {
        own.x += measures[owner.pred.x + i];
        own.y += measures[owner.pred.x + i + 1u];
    }
    own.z = measured(owner.sim, lane);
    own.w = measured(owner.squares, lane);
    lane_metrics[lane] = own;
    lane_unsup[lane] = measured(owner.unsup, lane);
    workgroupBarrier();
    if (lane != 0u) {
        return;
    }
    var sum = vec4<f32>(0.0);
    var unsup = 0.0;
    for (var other = 0u; other < 64u; other += 1u) {
        sum += lane_metrics[other];
        unsup += lane_unsup[other];
    }
    let samples = f32(metrics_p.samples);
    let at = owner.totals;
    add(at, samples);
    add(at + 1u, sum.x);
    add(at + 2u, sum.y);
    add(at + 3u, sum.z * samples);
    add(at + 4u, sqrt(sum.w));
    add(at + 5u, 1.0);
    add(at + 7u, unsup * samples);
    let sound = finite(sum.x) && finite(sum.z) && finite(sum.w) && finite(unsup);
    if (!sound && metrics_totals[at + 6u] == 0u) {
        metrics_totals[at + 6u] = metrics_step.number + 1u;
    }
}

@group(0) @binding(0) var<uniform> norms_p: NormsParams;
@group(0) @binding(2) var<storage, read> norms_update: array<f32>;
@group(0) @binding(3) var<storage, read> norms_weight: array<f32>;

// Adds the norms of a step's update and of the weights behind it to the totals.
@compute @workgroup_size(64)
fn norms(@builtin(local_invocation_index) lane: u32) {
    var own = vec4<f32>(0.0);
    for (var i = lane; i < norms_p.partials; i += 64u) {
        own.x += norms_update[i];
        own.y += norms_weight[i];
    }
    lane_metrics[lane] = own;
    workgroupBarrier();
    if (lane != 0u) {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var other = 0u; other < 64u; other += 1u) {
        sum += lane_metrics[other];
    }
    add(8u, sqrt(sum.x));
    add(9u, sqrt(sum.y));
}
