// Where vec4 (row, column) of a matrix lies in a texture of panels (src/gpu/mirror.rs); `shape` is its rows and its
// vec4s in a row.
fn panel_texel(row: u32, column: u32, shape: vec2<u32>) -> vec2<u32> {
    return vec2<u32>(column & 31u, (column >> 5u) * shape.x + row);
}
