// The activation that the constant ACTIVATION picks: 0 none, 1 relu, 2 leaky relu of slope 0.01. Comparisons instead of
// max(), so that a NaN stays a NaN and training can report it.

const LEAKY_SLOPE: f32 = 0.01;

fn activate(z: vec4<f32>) -> vec4<f32> {
    if (ACTIVATION == 1u) {
        return select(z, vec4<f32>(0.0), z <= vec4<f32>(0.0));
    }
    if (ACTIVATION == 2u) {
        return select(z, LEAKY_SLOPE * z, z <= vec4<f32>(0.0));
    }
    return z;
}

// Gradient in front of the activation, given the gradient behind it and the activation's input. At exactly 0 relu has
// derivative 0 and leaky relu its slope.
fn activate_backward(gradient: vec4<f32>, z: vec4<f32>) -> vec4<f32> {
    if (ACTIVATION == 1u) {
        return select(gradient, vec4<f32>(0.0), z <= vec4<f32>(0.0));
    }
    if (ACTIVATION == 2u) {
        return select(gradient, LEAKY_SLOPE * gradient, z <= vec4<f32>(0.0));
    }
    return gradient;
}
