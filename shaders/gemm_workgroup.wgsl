// The blocks of gemm.wgsl that lanes_workgroup.wgsl multiplies. Group g of the sum is the k from 4 g on.

const A_ALONG: bool = OP != 2u;
const B_ALONG: bool = OP == 1u;

fn groups_of(z: u32) -> Groups {
    part = z;
    let span = span_of(z);
    return Groups(span.begin / 4u, (span.end + 3u) / 4u);
}

fn bounds() -> Bounds {
    return Bounds(params.m, params.n4);
}

fn start_rows(quad: u32) {}

fn block_a(quad: u32, group: u32) -> mat4x4<f32> {
    let at = Step(4u * group);
    if (OP == 2u) {
        return load_quad(quad_of(quad), at);
    }
    let row = 4u * quad;
    return transpose(mat4x4<f32>(
        load_row(anchor_of(row), at), load_row(anchor_of(row + 1u), at),
        load_row(anchor_of(row + 2u), at), load_row(anchor_of(row + 3u), at),
    ));
}

fn block_b(group: u32, column: u32) -> mat4x4<f32> {
    return load_column(4u * group, column);
}

fn start_writing(z: u32, x: u32, y: u32) {
    part = z;
    place = Place(0u, x, y);
    if (BIAS == 1u) {
        bias_x = bias[min(x, params.n4 - 1u)];
        bias_y = bias[min(y, params.n4 - 1u)];
    }
}
