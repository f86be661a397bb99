// One update of a whole arena of parameters, which squares the trunk's gradients on the way: they are at hand. Behind
// workgroup_sum.wgsl. Constants: THREADS, PER_THREAD (vec4s an invocation updates).
// An entry point a rule. The formulas are those of PyTorch's SGD and Adam, with L2 decay added to the gradient.
//
// A pad lane holds parameter 0 and gets gradient 0, so its state stays 0 and its step is 0 / (0 + eps) = 0.

struct Params {
    vectors: u32,
    weight_decay: f32,
    momentum: f32,
    trunk: u32,     // vec4s at the front whose gradients are squared
}

// Without a type, so that 1 - B2 is taken before it is rounded to f32: of the rounded 0.999 it would be off by 1.3e-5.
const B1 = 0.9;
const B2 = 0.999;
const ADAM_EPS: f32 = 1e-8;

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> step: Step;
// Binding 2 is the input gradients. Updated are, from binding 4 on, the inputs values, first_moment (or the velocity of
// momentum), second_moment and largest_moment, its running maximum.

// Partial sums of squares, one a workgroup.
@group(0) @binding(3) var<storage, read_write> squares: array<f32>;

struct Tile {
    begin: u32,
    end: u32,
}

// A workgroup's vectors; an invocation takes every THREADS-th.
fn tile(group: vec3<u32>, groups: vec3<u32>) -> Tile {
    let number = linear_group(group, groups);
    if (number >= ceil_div(params.vectors, THREADS * PER_THREAD)) {
        return Tile(0u, 0u);
    }
    let begin = number * THREADS * PER_THREAD;
    return Tile(begin, min(begin + THREADS * PER_THREAD, params.vectors));
}

fn decayed(gradient: vec4<f32>, value: vec4<f32>) -> vec4<f32> {
    return gradient + params.weight_decay * value;
}

// Squares that count; the heads' do not.
fn squared(i: u32, gradient: vec4<f32>) -> vec4<f32> {
    return select(vec4<f32>(0.0), gradient * gradient, i < params.trunk);
}

// Writes the workgroup's sum of squares.
fn close(range: Tile, local: u32, sum: vec4<f32>) {
    let total = workgroup_sum(local, sum);
    if (local == 0u && range.begin < range.end) {
        squares[range.begin / (THREADS * PER_THREAD)] = total;
    }
}

@compute @workgroup_size(THREADS)
fn sgd(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lr = step.lr;
    let range = tile(group, groups);
    var sum = vec4<f32>(0.0);
    for (var i = range.begin + local; i < range.end; i += THREADS) {
        let value = values(i);
        let gradient = gradients(i);
        sum += squared(i, gradient);
        values_buffer[i] = value - lr * decayed(gradient, value);
    }
    close(range, local, sum);
}

// The velocity starts at zero, so the first step takes the bare gradient.
@compute @workgroup_size(THREADS)
fn momentum(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lr = step.lr;
    let range = tile(group, groups);
    var sum = vec4<f32>(0.0);
    for (var i = range.begin + local; i < range.end; i += THREADS) {
        let value = values(i);
        let gradient = gradients(i);
        sum += squared(i, gradient);
        let velocity = params.momentum * first_moment(i) + decayed(gradient, value);
        first_moment_buffer[i] = velocity;
        values_buffer[i] = value - lr * velocity;
    }
    close(range, local, sum);
}

// The step's numbers are taken before the loops: a driver cannot know that the loops do not write them.
struct Rate {
    size: f32,
    scale: f32,
}

fn adam_rate() -> Rate {
    return Rate(step.adam_size, step.adam_scale);
}

fn adam_update(rate: Rate, i: u32, value: vec4<f32>, m: vec4<f32>, v: vec4<f32>) {
    values_buffer[i] = value - rate.size * m / (sqrt(v) * rate.scale + ADAM_EPS);
}

@compute @workgroup_size(THREADS)
fn adam(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rate = adam_rate();
    let range = tile(group, groups);
    var sum = vec4<f32>(0.0);
    for (var i = range.begin + local; i < range.end; i += THREADS) {
        let value = values(i);
        let gradient = gradients(i);
        sum += squared(i, gradient);
        let g = decayed(gradient, value);
        let m = B1 * first_moment(i) + (1.0 - B1) * g;
        let v = B2 * second_moment(i) + (1.0 - B2) * (g * g);
        first_moment_buffer[i] = m;
        second_moment_buffer[i] = v;
        adam_update(rate, i, value, m, v);
    }
    close(range, local, sum);
}

// The maximum is of the second moment before its bias correction.
@compute @workgroup_size(THREADS)
fn amsgrad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let rate = adam_rate();
    let range = tile(group, groups);
    var sum = vec4<f32>(0.0);
    for (var i = range.begin + local; i < range.end; i += THREADS) {
        let value = values(i);
        let gradient = gradients(i);
        sum += squared(i, gradient);
        let g = decayed(gradient, value);
        let m = B1 * first_moment(i) + (1.0 - B1) * g;
        let v = B2 * second_moment(i) + (1.0 - B2) * (g * g);
        let largest = max(largest_moment(i), v);
        first_moment_buffer[i] = m;
        second_moment_buffer[i] = v;
        largest_moment_buffer[i] = largest;
        adam_update(rate, i, value, m, largest);
    }
    close(range, local, sum);
}
