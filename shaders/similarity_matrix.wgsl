// Second part of similarity matching, behind similarity.wgsl: the cosine matrix S = u u^T and the distance of its rows
// from the target matrix T. Constant besides: TARGET (0: T follows from the labels, 1: T is given, N^2 f32).

@group(0) @binding(1) var<storage, read> matrix_u: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> matrix_target: array<u32>;   // labels, or the bits of T
@group(0) @binding(3) var<storage, read_write> matrix_stats: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> matrix_out: array<f32>;
@group(0) @binding(5) var<storage, read_write> matrix_rows: array<f32>;

var<workgroup> row_sums: array<vec4<f32>, THREADS * 4u>;

const CHUNK: u32 = 64u;     // vec4s that are summed before they join the total

// Clamped to [-1, 1]; what is not finite stays so, for the loss to show it.
fn bounded(s: vec4<f32>) -> vec4<f32> {
    let broken = (bitcast<vec4<u32>>(s) & vec4<u32>(0x7f800000u)) == vec4<u32>(0x7f800000u);
    return select(clamp(s, vec4<f32>(-1.0), vec4<f32>(1.0)), s, broken);
}

fn store_column(first: u32, column: u32, s: vec4<f32>) {
    for (var i = 0u; i < 4u; i++) {
        if (first + i < params.batch) {
            matrix_out[(first + i) * params.batch + column] = s[i];
        }
    }
}

// T of four rows and a column. `classes` are the rows' labels, where the target is labels.
fn goals(first: u32, classes: vec4<u32>, column: u32) -> vec4<f32> {
    if (TARGET == 1u) {
        let base = column * params.batch;   // T is symmetric
        return bitcast<vec4<f32>>(vec4<u32>(matrix_target[base + row(first)], matrix_target[base + row(first + 1u)],
            matrix_target[base + row(first + 2u)], matrix_target[base + row(first + 3u)]));
    }
    let alike = classes == vec4<u32>(matrix_target[column]);
    return select(vec4<f32>(params.other), vec4<f32>(params.same), alike);
}

struct RowSums {
    loss: vec4<f32>,    // sum of (S - T)^2 of four rows
    pull: vec4<f32>,    // sum of (S - T) S
}

fn settle(sums: RowSums, first: u32, classes: vec4<u32>, column: u32, s: vec4<f32>) -> RowSums {
    let similar = bounded(s);
    store_column(first, column, similar);
    let off = similar - goals(first, classes, column);
    return RowSums(sums.loss + off * off, sums.pull + off * similar);
}

fn classes_of(first: u32) -> vec4<u32> {
    return vec4<u32>(matrix_target[row(first)], matrix_target[row(first + 1u)],
        matrix_target[row(first + 2u)], matrix_target[row(first + 3u)]);
}

// A workgroup owns ROWS rows and all columns; an invocation has two columns of them in registers. The rows' loads are
// the same for all invocations.
@compute @workgroup_size(THREADS)
fn matrix(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first = linear_group(group, groups) * ROWS;
    if (first >= params.batch) {
        return;
    }
    let size = params.features;
    let low_classes = classes_of(first);
    let high_classes = classes_of(first + 4u);
    var low = RowSums(vec4<f32>(0.0), vec4<f32>(0.0));
    var high = RowSums(vec4<f32>(0.0), vec4<f32>(0.0));
    for (var base = 0u; base < params.batch; base += 2u * THREADS) {
        let left = base + local;
        let right = left + THREADS;
        if (left < params.batch) {
            var left_low = vec4<f32>(0.0);
            var left_high = vec4<f32>(0.0);
            var right_low = vec4<f32>(0.0);
            var right_high = vec4<f32>(0.0);
            let a = left * size;
            let b = row(right) * size;
            for (var chunk = 0u; chunk < size; chunk += CHUNK) {
                var la = vec4<f32>(0.0);
                var ha = vec4<f32>(0.0);
                var lb = vec4<f32>(0.0);
                var hb = vec4<f32>(0.0);
                let end = min(chunk + CHUNK, size);
                for (var k = chunk; k < end; k++) {
                    let x = matrix_u[a + k];
                    let y = matrix_u[b + k];
                    let lower = mat4x4<f32>(matrix_u[row(first) * size + k], matrix_u[row(first + 1u) * size + k],
                        matrix_u[row(first + 2u) * size + k], matrix_u[row(first + 3u) * size + k]);
                    let upper = mat4x4<f32>(matrix_u[row(first + 4u) * size + k], matrix_u[row(first + 5u) * size + k],
                        matrix_u[row(first + 6u) * size + k], matrix_u[row(first + 7u) * size + k]);
                    la += x * lower;
                    ha += x * upper;
                    lb += y * lower;
                    hb += y * upper;
                }
                left_low += la;
                left_high += ha;
                right_low += lb;
                right_high += hb;
            }
            low = settle(low, first, low_classes, left, left_low);
            high = settle(high, first + 4u, high_classes, left, left_high);
            if (right < params.batch) {
                low = settle(low, first, low_classes, right, right_low);
                high = settle(high, first + 4u, high_classes, right, right_high);
            }
        }
    }
    row_sums[local] = low.loss;
    row_sums[THREADS + local] = high.loss;
    row_sums[2u * THREADS + local] = low.pull;
    row_sums[3u * THREADS + local] = high.pull;
    workgroupBarrier();
    if (local < 4u) {
        var sum = vec4<f32>(0.0);
        for (var i = 0u; i < THREADS; i++) {
            sum += row_sums[local * THREADS + i];
        }
        let start = first + 4u * (local & 1u);
        for (var i = 0u; i < 4u; i++) {
            if (start + i < params.batch) {
                if (local < 2u) {
                    matrix_rows[start + i] = sum[i] * params.loss_scale;
                } else {
                    matrix_stats[start + i].y = sum[i];
                }
            }
        }
    }
}
