// What the tiles in a workgroup's memory hold: the operands rounded to f16, while their products are added up in f32.
//
// Gradients of a mean loss shrink with the batch and would fall below the smallest f16, so the dispatch says by which power
// of two each operand is multiplied first (params.scale_a, params.scale_b); the sums are divided by both. What is too
// large for f16 counts as the largest f16: one outlier must not make infinities out of all that it touches.
// NaN stays NaN, so that it is seen: a clamp may make anything of it. It is known by its bits, because a compiler may hold
// that every number equals itself.

alias Element = vec4<f16>;

const LARGEST: vec4<f32> = vec4<f32>(65504.0);

fn element(value: vec4<f32>, scale: f32) -> Element {
    let scaled = value * scale;
    let nan = (bitcast<vec4<u32>>(scaled) & vec4<u32>(0x7fffffffu)) > vec4<u32>(0x7f800000u);
    return Element(select(clamp(scaled, -LARGEST, LARGEST), scaled, nan));
}

fn unscaled(sum: vec4<f32>) -> vec4<f32> {
    return sum / (params.scale_a * params.scale_b);
}

// Room for SIDE lines of FOURS sums.
var<workgroup> board: array<vec4<f32>, SIDE * FOURS>;

fn put_on_board(at: u32, sum: vec4<f32>) {
    board[at] = sum;
}

fn on_board(at: u32) -> vec4<f32> {
    return board[at];
}
