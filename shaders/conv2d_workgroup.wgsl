// The blocks of conv2d.wgsl that lanes_workgroup.wgsl multiplies. Group g of the sum is four channels at a tap, counted over
// the taps; for the gradient of w, the output pixels from 4 g on.

const A_ALONG: bool = MODE != 2u;
const B_ALONG: bool = MODE == 1u;

var<private> row_0: Anchor;
var<private> row_1: Anchor;
var<private> row_2: Anchor;
var<private> row_3: Anchor;

fn channel_groups() -> u32 {
    return select(params.cin4, params.cout4, MODE == 1u);
}

fn groups_of(z: u32) -> Groups {
    if (MODE == 2u) {
        let begin = z * params.chunk;
        return Groups(begin / 4u, (min(begin + params.chunk, pixels_total()) + 3u) / 4u);
    }
    return Groups(0u, params.kernel * params.kernel * channel_groups());
}

fn bounds() -> Bounds {
    return Bounds(rows_total(), columns_total());
}

// Where the rows lie is found once.
fn start_rows(quad: u32) {
    if (MODE == 2u) {
        way = way_of();
        return;
    }
    row_0 = anchor_of(4u * quad);
    row_1 = anchor_of(4u * quad + 1u);
    row_2 = anchor_of(4u * quad + 2u);
    row_3 = anchor_of(4u * quad + 3u);
}

fn step_of(group: u32) -> Step {
    if (MODE == 2u) {
        let p0 = pixel_of(4u * group);
        let p1 = next_pixel(p0);
        let p2 = next_pixel(p1);
        return Step(0u, 0u, p0, p1, p2, next_pixel(p2));
    }
    let tap = group / channel_groups();
    return Step(tap, group - tap * channel_groups(), Pixel(), Pixel(), Pixel(), Pixel());
}

fn block_a(quad: u32, group: u32) -> mat4x4<f32> {
    let at = step_of(group);
    if (MODE == 2u) {
        return load_quad(quad_of(quad), at);
    }
    let y = at.tap / params.kernel;
    let x = at.tap - y * params.kernel;
    return transpose(mat4x4<f32>(
        load_row(aim(row_0, y, x), at), load_row(aim(row_1, y, x), at),
        load_row(aim(row_2, y, x), at), load_row(aim(row_3, y, x), at),
    ));
}

fn block_b(group: u32, column: u32) -> mat4x4<f32> {
    if (MODE == 2u) {
        // Only the first pixel's number is needed here.
        return load_gradient(Step(0u, 0u, Pixel(4u * group, 0u, 0u, 0, 0, 0), Pixel(), Pixel(), Pixel()), column);
    }
    return load_weights(step_of(group), column);
}

fn start_writing(z: u32, x: u32, y: u32) {
    part = z;
    place = Place(0u, x, y);
    if (BIAS == 1u) {
        bias_x = bias[min(x, columns_total() - 1u)];
        bias_y = bias[min(y, columns_total() - 1u)];
    }
}
