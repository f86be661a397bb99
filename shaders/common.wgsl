// Shared by every kernel: numbering of workgroups, rounding up.

// Linear number of this workgroup in a grid that gpu::grid spread over x and y.
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

fn ceil_div(a: u32, b: u32) -> u32 {
    return (a + b - 1u) / b;
}
