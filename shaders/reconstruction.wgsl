// Mean squared error of act(z) against x, and its gradient over z. Constants: ACTIVATION, and the shared parts' own.
// Pad lanes of z and x are zero, so they add nothing and their gradient is zero.

struct Params {
    vectors: u32,
    span: u32,              // vec4s of a workgroup
    loss_scale: f32,        // 1 / number of real elements
    gradient_scale: f32,    // 2 weight / number of real elements
}

@group(0) @binding(0) var<uniform> params: Params;
// Binding 1 is the input x.
// Binding 2 is the input z, updated in place.
@group(0) @binding(3) var<storage, read_write> partials: array<f32>;

var<workgroup> lane_sums: array<f32, 64>;

// One partial sum of the loss a workgroup.
@compute @workgroup_size(64)
fn reconstruction(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let begin = min(group.x * params.span, params.vectors);
    let end = min(begin + params.span, params.vectors);
    var sum = vec4<f32>(0.0);
    for (var i = begin + lane; i < end; i += 64u) {
        let value = z(i);
        let off = activate(value) - x(i);
        sum += off * off;
        z_buffer[i] = activate_backward(params.gradient_scale * off, value);
    }
    lane_sums[lane] = (sum.x + sum.y) + (sum.z + sum.w);
    workgroupBarrier();
    if (lane == 0u) {
        var total = 0.0;
        for (var other = 0u; other < 64u; other += 1u) {
            total += lane_sums[other];
        }
        partials[group.x] = total * params.loss_scale;
    }
}
