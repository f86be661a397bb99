// Pooling of [N, H, W, channels]: average with kernel = stride and zero padding, maximum over 2x2 windows, and their
// gradients. One invocation makes four channels of one window.

struct Params {
    batch: u32,
    height: u32,
    width: u32,
    groups: u32,
    kh: u32,
    kw: u32,
    pad_h: u32,
    pad_w: u32,
    // Windows along each axis; in maximum_backward also those cut off by the map's edge, in average_backward pixels.
    windows_h: u32,
    windows_w: u32,
    // Windows along each axis that the forward pass had.
    out_h: u32,
    out_w: u32,
}

@group(0) @binding(0) var<uniform> p: Params;

// Binding 1 is the input x.
@group(0) @binding(2) var<storage, read_write> forward_out: array<vec4<f32>>;

// Binding 1 is the input spread_dout.
@group(0) @binding(2) var<storage, read_write> spread_dx: array<vec4<f32>>;

// Binding 2 is the input backward_dout.
@group(0) @binding(3) var<storage, read_write> backward_dx: array<vec4<f32>>;

struct Cell {
    sample: u32,
    h: u32,
    w: u32,
    group: u32,
}

// The window of an invocation; `sample` is past the batch when there is nothing to do.
fn cell_of(invocation: u32) -> Cell {
    let cell = invocation / p.groups;
    let line = cell / p.windows_w;
    let sample = line / p.windows_h;
    return Cell(sample, line - sample * p.windows_h, cell - line * p.windows_w, invocation - cell * p.groups);
}

fn index(sample: u32, h: u32, w: u32, group: u32) -> u32 {
    return ((sample * p.height + h) * p.width + w) * p.groups + group;
}

@compute @workgroup_size(64)
fn average(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let invocation = linear_group(wid, groups) * 64u + lane;
    let at = cell_of(invocation);
    if (at.sample >= p.batch) {
        return;
    }
    // The window without the part that lies in the padding.
    let top = max(at.h * p.kh, p.pad_h) - p.pad_h;
    let left = max(at.w * p.kw, p.pad_w) - p.pad_w;
    let bottom = min(max(at.h * p.kh + p.kh, p.pad_h) - p.pad_h, p.height);
    let right = min(max(at.w * p.kw + p.kw, p.pad_w) - p.pad_w, p.width);
    var sum = vec4<f32>(0.0);
    for (var h = top; h < bottom; h += 1u) {
        let begin = index(at.sample, h, left, at.group);
        let end = begin + (right - left) * p.groups;
        var line = vec4<f32>(0.0);
        var i = begin;
        // Two at a time: independent loads.
        for (; i + p.groups < end; i += 2u * p.groups) {
            line += x(i) + x(i + p.groups);
        }
        if (i < end) {
            line += x(i);
        }
        sum += line;
    }
    forward_out[invocation] = sum / f32(p.kh * p.kw);
}

// The gradient of what `average` pooled: each pixel gets its window's, shared evenly; a pixel that no whole window reaches
// gets 0. One invocation makes four channels of one pixel.
@compute @workgroup_size(64)
fn average_backward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let invocation = linear_group(wid, groups) * 64u + lane;
    let at = cell_of(invocation);
    if (at.sample >= p.batch) {
        return;
    }
    let h = (at.h + p.pad_h) / p.kh;
    let w = (at.w + p.pad_w) / p.kw;
    var share = vec4<f32>(0.0);
    if (h < p.out_h && w < p.out_w) {
        share = spread_dout(((at.sample * p.out_h + h) * p.out_w + w) * p.groups + at.group) / f32(p.kh * p.kw);
    }
    spread_dx[invocation] = share;
}

@compute @workgroup_size(64)
fn maximum(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let invocation = linear_group(wid, groups) * 64u + lane;
    let at = cell_of(invocation);
    if (at.sample >= p.batch) {
        return;
    }
    let first = index(at.sample, 2u * at.h, 2u * at.w, at.group);
    let below = first + p.width * p.groups;
    forward_out[invocation] = largest(x(first), x(first + p.groups), x(below), x(below + p.groups));
}

// The gradient goes to the first of the largest pixels in row order; pixels of no whole window get 0.
@compute @workgroup_size(64)
fn maximum_backward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = cell_of(linear_group(wid, groups) * 64u + lane);
    if (at.sample >= p.batch) {
        return;
    }
    let h = 2u * at.h;
    let w = 2u * at.w;
    let first = index(at.sample, h, w, at.group);
    let below = first + p.width * p.groups;
    let zero = vec4<f32>(0.0);
    if (at.h < p.out_h && at.w < p.out_w) {
        let d = backward_dout(((at.sample * p.out_h + at.h) * p.out_w + at.w) * p.groups + at.group);
        let shares = to_the_largest(d, x(first), x(first + p.groups), x(below), x(below + p.groups));
        backward_dx[first] = shares.v0;
        backward_dx[first + p.groups] = shares.v1;
        backward_dx[below] = shares.v2;
        backward_dx[below + p.groups] = shares.v3;
        return;
    }
    backward_dx[first] = zero;
    if (w + 1u < p.width) {
        backward_dx[first + p.groups] = zero;
    }
    if (h + 1u < p.height) {
        backward_dx[below] = zero;
        if (w + 1u < p.width) {
            backward_dx[below + p.groups] = zero;
        }
    }
}
