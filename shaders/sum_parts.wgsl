// Adds up the parts of a split sum: out[i] = sum over p of parts[p * len + i] (+ bias of the column). An invocation a vec4,
// in the order of the parts, so that equal inputs give equal bits.

struct Params {
    len: u32,       // vec4s of one part
    parts: u32,
    n4: u32,        // vec4s in a row
    bias: u32,      // 1 with a bias; without one some other tensor is bound in its place and not read
}

@group(0) @binding(0) var<uniform> params: Params;
// Binding 1 is the input parts.
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn sum_parts(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * 64u + local;
    if (index >= params.len) {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var part = 0u; part < params.parts; part++) {
        sum += parts(part * params.len + index);
    }
    if (params.bias == 1u) {
        sum += bias[index % params.n4];
    }
    out[index] = sum;
}
