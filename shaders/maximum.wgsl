// The largest of a window's four pixels, channel by channel.

// max() may drop a NaN in its first operand; this keeps it.
fn larger(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return select(a, b, b > a);
}

fn largest(x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>) -> vec4<f32> {
    return larger(larger(x0, x1), larger(x2, x3));
}

// A gradient as it goes to each of the four.
struct Shares {
    v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>,
}

// It goes to the first of the largest.
fn to_the_largest(d: vec4<f32>, x0: vec4<f32>, x1: vec4<f32>, x2: vec4<f32>, x3: vec4<f32>) -> Shares {
    let zero = vec4<f32>(0.0);
    let best01 = larger(x0, x1);
    let take3 = x3 > larger(best01, x2);
    let take2 = (x2 > best01) & !take3;
    let take1 = (x1 > x0) & !take2 & !take3;
    let take0 = !take1 & !take2 & !take3;
    return Shares(select(zero, d, take0), select(zero, d, take1), select(zero, d, take2), select(zero, d, take3));
}
