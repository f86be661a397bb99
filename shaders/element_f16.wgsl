// What the tiles in a workgroup's memory hold: the operands rounded to f16, while their products are added up in f32.
//
// Gradients of a mean loss shrink with the batch and would fall below the smallest f16, so the dispatch says by which power
// of two each operand is multiplied first (params.scale_a, params.scale_b); the sums are divided by both. What is too large for
// f16 counts as the largest f16: one outlier must not make infinities out of all that it touches.

alias Element = vec4<f16>;

const LARGEST: vec4<f32> = vec4<f32>(65504.0);

fn element(value: vec4<f32>, scale: f32) -> Element {
    return Element(clamp(value * scale, -LARGEST, LARGEST));
}

fn unscaled(sum: vec4<f32>) -> vec4<f32> {
    return sum / (params.scale_a * params.scale_b);
}
