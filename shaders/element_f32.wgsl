// What the tiles in a workgroup's memory hold: the operands as they are.

alias Element = vec4<f32>;

fn element(value: vec4<f32>, scale: f32) -> Element {
    return value;
}

fn unscaled(sum: vec4<f32>) -> vec4<f32> {
    return sum;
}

// Room for SIDE lines of FOURS sums, when the tiles have been read: the two together take all the memory that there is.
fn put_on_board(at: u32, sum: vec4<f32>) {
    tile_a[at] = sum;
}

fn on_board(at: u32) -> vec4<f32> {
    return tile_a[at];
}
