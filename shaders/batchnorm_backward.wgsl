// Backward of batch normalisation and the activation behind it. The gradient of h = act(bn(y)) comes from up to two
// sources: a dense one of h's shape, and the gradient of an average-pooled copy of h, spread over its windows as it is
// loaded. h itself is not needed: bn(y) is computed again from y.

struct Params {
    rows: u32,
    groups: u32,
    span: u32,
    slots: u32,
    // The map's and the pooling's sizes, none of them 0.
    height: u32,
    width: u32,
    kh: u32,
    kw: u32,
    pad_h: u32,
    pad_w: u32,
    pooled_height: u32,
    pooled_width: u32,
    // Of the chunk of rows at hand; and the rows of all chunks.
    first_slot: u32,
    all_rows: u32,
    spare0: u32,
    spare1: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Without a pooled gradient (POOLED == 0) some other tensor is bound here and not read; the same for `sums_dense`.
// Binding 1 is the input pooled.
// Binding 2 is the input y.
@group(0) @binding(3) var<storage, read> saved: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> affine: array<vec4<f32>>;

// Binding 5 is the input sums_dense.
@group(0) @binding(6) var<storage, read_write> sums_out: array<vec4<f32>>;

// Binding 1 is the input finish_partials.
@group(0) @binding(2) var<storage, read_write> finish_daffine: array<vec4<f32>>;

@group(0) @binding(5) var<storage, read> input_daffine: array<vec4<f32>>;
// Binding 6 is the input input_gradient, updated in place.

// Binding 3 is the input activation_gradient, updated in place.

// A pixel and the pooling window it lies in, stepped from row to row without divisions.
struct Pixel {
    h: u32,
    w: u32,
    // Window number along each axis, and position within the window.
    window_h: u32,
    window_w: u32,
    in_h: u32,
    in_w: u32,
    // The sample's first row of windows.
    base: u32,
}

fn pixel_at(row: u32) -> Pixel {
    let line = row / p.width;
    let sample = line / p.height;
    let h = line - sample * p.height;
    let w = row - line * p.width;
    let window_h = (h + p.pad_h) / p.kh;
    let window_w = (w + p.pad_w) / p.kw;
    let in_h = h + p.pad_h - window_h * p.kh;
    let in_w = w + p.pad_w - window_w * p.kw;
    return Pixel(h, w, window_h, window_w, in_h, in_w, sample * p.pooled_height);
}

// The next pixel in row order. Padding is smaller than the kernel, so every line starts in window 0.
fn next_pixel(now: Pixel) -> Pixel {
    var at = now;
    at.w += 1u;
    at.in_w += 1u;
    if (at.in_w == p.kw) {
        at.in_w = 0u;
        at.window_w += 1u;
    }
    if (at.w == p.width) {
        at.w = 0u;
        at.in_w = p.pad_w;
        at.window_w = 0u;
        at.h += 1u;
        at.in_h += 1u;
        if (at.in_h == p.kh) {
            at.in_h = 0u;
            at.window_h += 1u;
        }
        if (at.h == p.height) {
            at.h = 0u;
            at.in_h = p.pad_h;
            at.window_h = 0u;
            at.base += p.pooled_height;
        }
    }
    return at;
}

// The pooled gradient's share for a pixel; pixels that no window reaches have none.
fn unpooled(at: Pixel, group: u32) -> vec4<f32> {
    let reached = at.window_h < p.pooled_height && at.window_w < p.pooled_width;
    let cell = select(0u, (at.base + at.window_h) * p.pooled_width + at.window_w, reached);
    let share = select(0.0, 1.0 / f32(p.kh * p.kw), reached);
    return pooled(cell * p.groups + group) * share;
}

// Each slot's sums of dz and dz * xhat.
@compute @workgroup_size(64)
fn sums(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.rows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    let g = p.groups;
    let mean = saved[s.group];
    let scale = saved[s.group + g];
    let gamma = affine[s.group];
    let beta = affine[s.group + g];
    var sum = vec4<f32>(0.0);
    var sum_xhat = vec4<f32>(0.0);
    var at: Pixel;
    if (POOLED != 0u) {
        at = pixel_at(s.first);
    }
    for (var row = s.first; row < s.end; row += 1u) {
        let i = row * g + s.group;
        var dh = vec4<f32>(0.0);
        if (DENSE != 0u) {
            dh = sums_dense(i);
        }
        if (POOLED != 0u) {
            dh += unpooled(at, s.group);
            at = next_pixel(at);
        }
        let xhat = (y(i) - mean) * scale;
        let dz = activate_backward(dh, gamma * xhat + beta);
        sum += dz;
        sum_xhat += dz * xhat;
    }
    let out = 2u * (p.first_slot + s.slot) * g + s.group;
    sums_out[out] = sum_xhat;
    sums_out[out + g] = sum;
}

// daffine = [dgamma | dbeta] = [sum dz * xhat | sum dz]
@compute @workgroup_size(64)
fn finish(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let at = wid.x * 64u + lane;
    let stride = 2u * p.groups;
    if (at >= stride) {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var slot = 0u; slot < p.slots; slot += 1u) {
        sum += finish_partials(slot * stride + at);
    }
    finish_daffine[at] = sum;
}

// dy = gamma / deviation * (dz - (sum dz + xhat * sum dz * xhat) / rows), written over the dense gradient.
@compute @workgroup_size(64)
fn input(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.rows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    let g = p.groups;
    let mean = saved[s.group];
    let scale = saved[s.group + g];
    let gamma = affine[s.group];
    let beta = affine[s.group + g];
    let per_row = 1.0 / f32(p.all_rows);
    let mean_xhat = input_daffine[s.group] * per_row;
    let mean_dz = input_daffine[s.group + g] * per_row;
    var at: Pixel;
    if (POOLED != 0u) {
        at = pixel_at(s.first);
    }
    for (var row = s.first; row < s.end; row += 1u) {
        let i = row * g + s.group;
        var dh = vec4<f32>(0.0);
        if (DENSE != 0u) {
            dh = input_gradient(i);
        }
        if (POOLED != 0u) {
            dh += unpooled(at, s.group);
            at = next_pixel(at);
        }
        let xhat = (y(i) - mean) * scale;
        let dz = activate_backward(dh, gamma * xhat + beta);
        input_gradient_buffer[i] = gamma * scale * (dz - (mean_dz + xhat * mean_xhat));
    }
}

// Without normalisation: dy = dh * act'(y), written over the dense gradient.
@compute @workgroup_size(64)
fn activation(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.rows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    var at: Pixel;
    if (POOLED != 0u) {
        at = pixel_at(s.first);
    }
    for (var row = s.first; row < s.end; row += 1u) {
        let i = row * p.groups + s.group;
        var dh = vec4<f32>(0.0);
        if (DENSE != 0u) {
            dh = activation_gradient(i);
        }
        if (POOLED != 0u) {
            dh += unpooled(at, s.group);
            at = next_pixel(at);
        }
        activation_gradient_buffer[i] = activate_backward(dh, y(i));
    }
}
