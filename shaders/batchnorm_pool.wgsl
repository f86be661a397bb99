// Batch normalisation, activation and the maxima of 2x2 windows in one pass over x [N, H, W, channels]; and the way
// back, which makes again from x what it needs. Constants: NORM (0: the activation alone), ACTIVATION.
//
// One invocation takes four channels of a run of windows (sweep.wgsl). An odd last line or column of pixels has windows
// of its own, which have no maximum; what they lack of four pixels is the last pixel again.

struct Params {
    windows: u32,
    groups: u32,
    span: u32,
    slots: u32,
    height: u32,
    width: u32,
    // Along each axis, with those that the map's edge cuts off.
    windows_h: u32,
    windows_w: u32,
    // Of the part of the batch at hand; and the pixels of all parts.
    first_slot: u32,
    all_rows: u32,
    spare0: u32,
    spare1: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// Binding 1 is the input x. With NORM == 0 it is bound to 2, 3 and 5 too, and not read there.
// [mean | 1 / deviation] and [gamma | beta], two vectors of channels each.
@group(0) @binding(2) var<storage, read> saved: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> affine: array<vec4<f32>>;

// Each entry point has its own bindings from 4 on.
@group(0) @binding(4) var<storage, read_write> maxima: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> h: array<vec4<f32>>;

// Binding 4 is the input dmaxima.
@group(0) @binding(5) var<storage, read_write> sums_out: array<vec4<f32>>;

// [dgamma | dbeta]
@group(0) @binding(5) var<storage, read> daffine: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<f32>>;

// What an invocation's channels are normalised by.
struct Channels {
    mean: vec4<f32>,
    scale: vec4<f32>,
    gamma: vec4<f32>,
    beta: vec4<f32>,
}

fn channels_of(group: u32) -> Channels {
    if (NORM == 0u) {
        return Channels(vec4<f32>(0.0), vec4<f32>(1.0), vec4<f32>(1.0), vec4<f32>(0.0));
    }
    return Channels(saved[group], saved[group + p.groups], affine[group], affine[group + p.groups]);
}

fn normalised(x: vec4<f32>, c: Channels) -> vec4<f32> {
    return select(x, (x - c.mean) * c.scale, NORM == 1u);
}

fn scaled(xhat: vec4<f32>, c: Channels) -> vec4<f32> {
    return select(xhat, c.gamma * xhat + c.beta, NORM == 1u);
}

// A window, stepped from one to the next without divisions.
struct Window {
    sample: u32,
    h: u32,
    w: u32,
}

fn window_at(number: u32) -> Window {
    let line = number / p.windows_w;
    let sample = line / p.windows_h;
    return Window(sample, line - sample * p.windows_h, number - line * p.windows_w);
}

fn next_window(now: Window) -> Window {
    var at = now;
    at.w += 1u;
    if (at.w == p.windows_w) {
        at.w = 0u;
        at.h += 1u;
        if (at.h == p.windows_h) {
            at.h = 0u;
            at.sample += 1u;
        }
    }
    return at;
}

fn has_maximum(at: Window) -> bool {
    return at.h < p.height / 2u && at.w < p.width / 2u;
}

// Where its maximum lies.
fn maximum_at(at: Window, group: u32) -> u32 {
    return ((at.sample * (p.height / 2u) + at.h) * (p.width / 2u) + at.w) * p.groups + group;
}

// Where its pixels lie.
struct Pixels {
    i0: u32, i1: u32, i2: u32, i3: u32,
}

fn pixels_of(at: Window, group: u32) -> Pixels {
    let top = (at.sample * p.height + 2u * at.h) * p.width;
    let below = select(top, top + p.width, 2u * at.h + 1u < p.height);
    let left = 2u * at.w;
    let right = min(left + 1u, p.width - 1u);
    return Pixels(
        (top + left) * p.groups + group, (top + right) * p.groups + group,
        (below + left) * p.groups + group, (below + right) * p.groups + group,
    );
}

fn activated(i: u32, c: Channels) -> vec4<f32> {
    return activate(scaled(normalised(x(i), c), c));
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.windows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    let c = channels_of(s.group);
    var at = window_at(s.first);
    for (var window = s.first; window < s.end; window += 1u) {
        let i = pixels_of(at, s.group);
        maxima[maximum_at(at, s.group)] =
            largest(activated(i.i0, c), activated(i.i1, c), activated(i.i2, c), activated(i.i3, c));
        at = next_window(at);
    }
}

// The same for a map whose h something else reads too.
@compute @workgroup_size(64)
fn forward_kept(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.windows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    let c = channels_of(s.group);
    var at = window_at(s.first);
    for (var window = s.first; window < s.end; window += 1u) {
        let i = pixels_of(at, s.group);
        let h0 = activated(i.i0, c);
        let h1 = activated(i.i1, c);
        let h2 = activated(i.i2, c);
        let h3 = activated(i.i3, c);
        h[i.i0] = h0;
        h[i.i1] = h1;
        h[i.i2] = h2;
        h[i.i3] = h3;
        if (has_maximum(at)) {
            maxima[maximum_at(at, s.group)] = largest(h0, h1, h2, h3);
        }
        at = next_window(at);
    }
}

// A window on the way back: each pixel's xhat and dz.
struct Back {
    xhat: Shares,
    dz: Shares,
}

fn back_through(at: Window, i: Pixels, group: u32, c: Channels) -> Back {
    let xhat = Shares(normalised(x(i.i0), c), normalised(x(i.i1), c), normalised(x(i.i2), c), normalised(x(i.i3), c));
    let z = Shares(scaled(xhat.v0, c), scaled(xhat.v1, c), scaled(xhat.v2, c), scaled(xhat.v3, c));
    var d = vec4<f32>(0.0);
    if (has_maximum(at)) {
        d = dmaxima(maximum_at(at, group));
    }
    let dh = to_the_largest(d, activate(z.v0), activate(z.v1), activate(z.v2), activate(z.v3));
    let dz = Shares(
        activate_backward(dh.v0, z.v0), activate_backward(dh.v1, z.v1),
        activate_backward(dh.v2, z.v2), activate_backward(dh.v3, z.v3),
    );
    return Back(xhat, dz);
}

// Each slot's sums of dz * xhat and of dz, as batchnorm_backward.wgsl finishes them.
@compute @workgroup_size(64)
fn sums(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.windows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    let c = channels_of(s.group);
    var sum = vec4<f32>(0.0);
    var sum_xhat = vec4<f32>(0.0);
    var at = window_at(s.first);
    for (var window = s.first; window < s.end; window += 1u) {
        let back = back_through(at, pixels_of(at, s.group), s.group, c);
        let dz = back.dz;
        let xhat = back.xhat;
        sum += (dz.v0 + dz.v1) + (dz.v2 + dz.v3);
        sum_xhat += (dz.v0 * xhat.v0 + dz.v1 * xhat.v1) + (dz.v2 * xhat.v2 + dz.v3 * xhat.v3);
        at = next_window(at);
    }
    let out = 2u * (p.first_slot + s.slot) * p.groups + s.group;
    sums_out[out] = sum_xhat;
    sums_out[out + p.groups] = sum;
}

// gamma / deviation, and the means of dz * xhat and of dz over all rows.
struct Constants {
    factor: vec4<f32>,
    mean_xhat: vec4<f32>,
    mean_dz: vec4<f32>,
}

fn input_gradient(dz: vec4<f32>, xhat: vec4<f32>, n: Constants) -> vec4<f32> {
    if (NORM == 0u) {
        return dz;
    }
    return n.factor * (dz - (n.mean_dz + xhat * n.mean_xhat));
}

// dx = gamma / deviation * (dz - (sum dz + xhat * sum dz * xhat) / rows), or dz alone.
@compute @workgroup_size(64)
fn input(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let s = sweep(linear_group(wid, groups) * 64u + lane, p.groups, p.windows, p.span);
    if (s.slot >= p.slots) {
        return;
    }
    let c = channels_of(s.group);
    var n: Constants;
    if (NORM == 1u) {
        let per_row = 1.0 / f32(p.all_rows);
        n = Constants(c.gamma * c.scale, daffine[s.group] * per_row, daffine[s.group + p.groups] * per_row);
    }
    var at = window_at(s.first);
    for (var window = s.first; window < s.end; window += 1u) {
        let i = pixels_of(at, s.group);
        let back = back_through(at, i, s.group, c);
        dx[i.i0] = input_gradient(back.dz.v0, back.xhat.v0, n);
        dx[i.i1] = input_gradient(back.dz.v1, back.xhat.v1, n);
        dx[i.i2] = input_gradient(back.dz.v2, back.xhat.v2, n);
        dx[i.i3] = input_gradient(back.dz.v3, back.xhat.v3, n);
        at = next_window(at);
    }
}
