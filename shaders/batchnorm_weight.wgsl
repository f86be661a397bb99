// The gradient of the weights of a convolution in front of batch normalisation, from sums that need no gradient of the
// convolution's output. With g the gradient of what the norm made, that gradient is
//
//   dy = gamma / deviation * (g - (dbeta + xhat * dgamma) / rows),   xhat = (y - mean) / deviation,
//
// so that dw = sum x dy follows from the sums of x g, of x y and of x alone.

struct Params {
    // Rows of dw, [kh * kw * cin, channels], and vec4s of a row.
    weights: u32,
    groups: u32,
    // 1 / rows of y.
    share: f32,
    // vec4s that `ones` fills.
    ones: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
// [mean | 1 / deviation], [gamma | beta] and [dgamma | dbeta], two vectors of channels each.
@group(0) @binding(1) var<storage, read> saved: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> affine: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> daffine: array<vec4<f32>>;
// Sums of x: one number a row of dw, in the first of four columns.
@group(0) @binding(4) var<storage, read> sum_x: array<vec4<f32>>;
// Sums of x y, of dw's shape.
@group(0) @binding(5) var<storage, read> sum_xy: array<vec4<f32>>;
// Sums of x g; dw on return.
@group(0) @binding(6) var<storage, read_write> dw: array<vec4<f32>>;

@group(0) @binding(1) var<storage, read_write> ones_out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn weight(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = linear_group(group, groups) * 64u + lane;
    if (at >= p.weights * p.groups) {
        return;
    }
    let row = at / p.groups;
    let c = at - row * p.groups;
    let mean = saved[c];
    let inverse = saved[p.groups + c];
    let x = sum_x[row].x;
    let centred = (sum_xy[at] - mean * x) * inverse;
    let constant = daffine[p.groups + c] * x + daffine[c] * centred;
    dw[at] = affine[c] * inverse * (dw[at] - p.share * constant);
}

// What stands for y where x is summed by itself.
@compute @workgroup_size(64)
fn ones(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let at = linear_group(group, groups) * 64u + lane;
    if (at < p.ones) {
        ones_out[at] = vec4<f32>(1.0, 1.0, 1.0, 1.0);
    }
}
