// T, the matrix that similarities are compared with, for every kernel that does. Constant: TARGET (0: T follows from the
// labels, 1: T is given, f32 [N, stride]). The kernel's Params have `stride`, `same` and `other`.

@group(0) @binding(1) var<storage, read> wanted: array<u32>;    // labels, or the bits of T

// T_ij
fn goal(i: u32, j: u32) -> f32 {
    if (TARGET == 1u) {
        return bitcast<f32>(wanted[i * params.stride + j]);
    }
    return select(params.other, params.same, wanted[i] == wanted[j]);
}
