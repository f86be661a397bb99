// Shared by every kernel: numbering of workgroups, rounding up, how the right operands of batched products lie.

// Linear number of this workgroup in a grid that gpu::grid spread over x and y.
fn linear_group(group: vec3<u32>, groups: vec3<u32>) -> u32 {
    return group.y * groups.x + group.x;
}

fn ceil_div(a: u32, b: u32) -> u32 {
    return (a + b - 1u) / b;
}

// Where vec4 (row, column) lies in a matrix of panels of four vec4 columns, one behind the other: what winograd.wgsl
// writes for a batched gemm to take on its right. `columns` is the vec4s of a row.
fn in_panels(row: u32, column: u32, rows: u32, columns: u32) -> u32 {
    let first = column / 4u * 4u;
    let width = min(columns - first, 4u);
    return first * rows + row * width + column - first;
}
