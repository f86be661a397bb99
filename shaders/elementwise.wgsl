// What happens to every element alike: sums of tensors in place, copies. One invocation takes SPAN vec4s, a workgroup's
// width apart.

struct Params {
    vectors: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Binding 1 is the input x.
// Binding 2 is the input y, updated in place.

fn first_vector(group: vec3<u32>, groups: vec3<u32>, lane: u32) -> u32 {
    return linear_group(group, groups) * 64u * SPAN + lane;
}

// y += x
@compute @workgroup_size(64)
fn accumulate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = first_vector(group, groups, lane);
    for (var i = 0u; i < SPAN; i += 1u) {
        let at = first + 64u * i;
        if (at < params.vectors) {
            y_buffer[at] = y(at) + x(at);
        }
    }
}

// y = x
@compute @workgroup_size(64)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = first_vector(group, groups, lane);
    for (var i = 0u; i < SPAN; i += 1u) {
        let at = first + 64u * i;
        if (at < params.vectors) {
            y_buffer[at] = x(at);
        }
    }
}
