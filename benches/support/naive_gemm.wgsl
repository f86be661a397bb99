// The yardstick of the matrix products, written the obvious way: C[m, n] = A B, one invocation an element of C. How A and B
// lie is said by the distances between their elements. On purpose without vec4s, tiles or split sums.

struct Params {
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,     // floats from A[i, p] to A[i + 1, p]
    a_term: u32,    // to A[i, p + 1]
    b_term: u32,    // from B[p, j] to B[p + 1, j]
    b_column: u32,  // to B[p, j + 1]
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

@compute @workgroup_size(8, 8)
fn multiply(@builtin(global_invocation_id) id: vec3<u32>) {
    if (id.x >= params.n || id.y >= params.m) {
        return;
    }
    var sum = 0.0;
    for (var p = 0u; p < params.k; p++) {
        sum += a[id.y * params.a_row + p * params.a_term] * b[p * params.b_term + id.x * params.b_column];
    }
    c[id.y * params.n + id.x] = sum;
}
