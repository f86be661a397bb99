// Convolution as an implicit matrix product: the patches are never written down, they are gathered as the product loads
// its rows. f32, channels last; x [N, H, W, cin], y [N, OH, OW, cout], w [K, K, cin, cout], all channels multiples of 4.
//
// MODE 0, forward: a row is an output pixel, k runs over the kernel's taps and the input channels.
// MODE 1, gradient of x: a row is an input pixel, k runs over taps and output channels; a tap counts where the pixel, less
//         the tap, is a multiple of the stride. B is w turned around: [taps, cout, cin].
// MODE 2, gradient of w: a row is a tap and an input channel, k runs over all output pixels of the batch, split into
//         parts (workgroup z) that `sum_parts` adds up.
// Constants besides: BIAS; STRIDE (mode 1); COLUMNS; the subgroup family's SPREAD and TALL, the workgroup family's SIDE.
//
// Conditions in the inner loop are joined by & and not by &&, which is a branch: unrolled over eight rows, a dozen branches
// take a browser's software driver (SwiftShader) minutes to compile.

struct Params {
    batch: u32,
    height: u32,
    width: u32,
    cin4: u32,          // vec4s of input channels
    cout4: u32,
    kernel: u32,
    stride: u32,
    pad: u32,
    out_height: u32,
    out_width: u32,
    column_tiles: u32,
    chunk: u32,         // output pixels of one part, a multiple of 4
    across: u32,        // invocations with the same rows, of the direct family
    scale_a: f32,       // see element_f16.wgsl
    scale_b: f32,
    first_slot: u32,    // of the rows' moments (moments.wgsl)
}

@group(0) @binding(0) var<uniform> params: Params;
// Bindings 1 and 2 are A and B: x and w, dy and w, x and dy.
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>; // y, dx, dw

var<private> place: Place;
var<private> part: u32;
var<private> bias_x: vec4<f32>;
var<private> bias_y: vec4<f32>;

fn rows_total() -> u32 {
    if (MODE == 0u) {
        return params.batch * params.out_height * params.out_width;
    }
    if (MODE == 1u) {
        return params.batch * params.height * params.width;
    }
    return params.kernel * params.kernel * params.cin4 * 4u;
}

fn columns_total() -> u32 {
    return select(params.cout4, params.cin4, MODE == 1u);
}

// An output pixel of the batch, and the input pixel under the kernel's corner.
struct Pixel {
    number: u32,
    x: u32,             // position in its line and its picture
    y: u32,
    corner_x: i32,
    corner_y: i32,
    corner: i32,        // the corner's vec4 in x, if it lies inside
}

// Four channels at one tap; or, for the gradient of w, four output pixels in a row of all of them.
struct Step {
    tap: u32,
    channel: u32,
    p0: Pixel,
    p1: Pixel,
    p2: Pixel,
    p3: Pixel,
}

// ---- Rows that are pixels (modes 0 and 1).

// A pixel: its sample's first vec4 in A, where tap (0, 0) falls in A's picture (before the stride in mode 1), and the
// vec4 of A that the tap under way touches, if any.
struct Anchor {
    sample: u32,
    y: i32,
    x: i32,
    at: u32,
    inside: bool,
}

fn anchor_of(row: u32) -> Anchor {
    let pixel = min(row, rows_total() - 1u);
    let pad = i32(params.pad);
    if (MODE == 0u) {
        let line = pixel / params.out_width;
        let sample = line / params.out_height;
        let y = i32((line - sample * params.out_height) * params.stride) - pad;
        let x = i32((pixel - line * params.out_width) * params.stride) - pad;
        return Anchor(sample * params.height * params.width * params.cin4, y, x, 0u, false);
    }
    let line = pixel / params.width;
    let sample = line / params.height;
    let y = i32(line - sample * params.height) + pad;
    let x = i32(pixel - line * params.width) + pad;
    return Anchor(sample * params.out_height * params.out_width * params.cout4, y, x, 0u, false);
}

// Moves on to a tap. Left of and above the picture wraps to a large number and fails the comparison as well.
fn aim(n: Anchor, tap_y: u32, tap_x: u32) -> Anchor {
    if (MODE == 0u) {
        let y = bitcast<u32>(n.y + i32(tap_y));
        let x = bitcast<u32>(n.x + i32(tap_x));
        let inside = (y < params.height) & (x < params.width);
        let index = n.sample + (y * params.width + x) * params.cin4;
        return Anchor(n.sample, n.y, n.x, select(0u, index, inside), inside);
    }
    var y = bitcast<u32>(n.y - i32(tap_y));
    var x = bitcast<u32>(n.x - i32(tap_x));
    var inside = true;
    if (STRIDE > 1u) {
        inside = (y % STRIDE == 0u) & (x % STRIDE == 0u) & (bitcast<i32>(y) >= 0) & (bitcast<i32>(x) >= 0);
        y /= STRIDE;
        x /= STRIDE;
    }
    inside = inside & (y < params.out_height) & (x < params.out_width);
    let index = n.sample + (y * params.out_width + x) * params.cout4;
    return Anchor(n.sample, n.y, n.x, select(0u, index, inside), inside);
}

fn aim_all(n: Anchors, tap_y: u32, tap_x: u32) -> Anchors {
    return Anchors(
        aim(n.a0, tap_y, tap_x), aim(n.a1, tap_y, tap_x), aim(n.a2, tap_y, tap_x), aim(n.a3, tap_y, tap_x),
        aim(n.a4, tap_y, tap_x), aim(n.a5, tap_y, tap_x), aim(n.a6, tap_y, tap_x), aim(n.a7, tap_y, tap_x),
    );
}

fn load_row(anchor: Anchor, at: Step) -> vec4<f32> {
    return select(vec4<f32>(0.0), a(anchor.at + at.channel), anchor.inside);
}

// Four k of one vec4 column of the weights.
fn load_weights(at: Step, column: u32) -> mat4x4<f32> {
    if (MODE == 0u) {
        let first = (at.tap * params.cin4 + at.channel) * 4u * params.cout4 + column;
        return mat4x4<f32>(
            b(first), b(first + params.cout4), b(first + 2u * params.cout4), b(first + 3u * params.cout4),
        );
    }
    let first = (at.tap * params.cin4 + column) * 4u * params.cout4 + at.channel;
    return transpose(mat4x4<f32>(
        b(first), b(first + params.cout4), b(first + 2u * params.cout4), b(first + 3u * params.cout4),
    ));
}

// ---- Rows that are taps and channels (mode 2).

// A tap and four channels: where it lies relative to the corner, in pixels and in vec4s of x.
struct Quad {
    y: i32,
    x: i32,
    offset: i32,
}

fn quad_of(index: u32) -> Quad {
    let quad = min(index, params.kernel * params.kernel * params.cin4 - 1u);
    let tap = quad / params.cin4;
    let y = tap / params.kernel;
    let x = tap - y * params.kernel;
    return Quad(i32(y), i32(x), i32((y * params.width + x) * params.cin4 + quad - tap * params.cin4));
}

fn pixel_of(number: u32) -> Pixel {
    let line = number / params.out_width;
    let sample = line / params.out_height;
    let x = number - line * params.out_width;
    let y = line - sample * params.out_height;
    let corner_y = i32(y * params.stride) - i32(params.pad);
    let corner_x = i32(x * params.stride) - i32(params.pad);
    let corner = (i32(sample * params.height) + corner_y) * i32(params.width) + corner_x;
    return Pixel(number, x, y, corner_x, corner_y, corner * i32(params.cin4));
}

// How far the corner moves in vec4s of x: on, to the next line, to the next picture.
struct Way {
    pixel: i32,
    line: i32,
    picture: i32,
}

var<private> way: Way;

fn way_of() -> Way {
    let stride = i32(params.stride);
    let last_x = stride * i32(params.out_width - 1u);
    let last_y = stride * i32(params.out_height - 1u);
    let line = stride * i32(params.width) - last_x;
    let picture = (i32(params.height) - last_y) * i32(params.width) - last_x;
    return Way(stride * i32(params.cin4), line * i32(params.cin4), picture * i32(params.cin4));
}

fn next_pixel(p: Pixel) -> Pixel {
    let stride = i32(params.stride);
    let last_x = p.x + 1u == params.out_width;
    let last_y = last_x & (p.y + 1u == params.out_height);
    let x = select(p.x + 1u, 0u, last_x);
    let y = select(select(p.y, p.y + 1u, last_x), 0u, last_y);
    let corner_x = i32(x) * stride - i32(params.pad);
    let corner_y = i32(y) * stride - i32(params.pad);
    let step = select(select(way.pixel, way.line, last_x), way.picture, last_y);
    return Pixel(p.number + 1u, x, y, corner_x, corner_y, p.corner + step);
}

fn pixels_total() -> u32 {
    return params.batch * params.out_height * params.out_width;
}

// Pixels past the end count as zero.
fn load_across(quad: Quad, p: Pixel) -> vec4<f32> {
    let y = bitcast<u32>(p.corner_y + quad.y);
    let x = bitcast<u32>(p.corner_x + quad.x);
    let inside = (p.number < pixels_total()) & (y < params.height) & (x < params.width);
    let index = bitcast<u32>(p.corner + quad.offset);
    return select(vec4<f32>(0.0), a(select(0u, index, inside)), inside);
}

fn load_quad(quad: Quad, at: Step) -> mat4x4<f32> {
    return mat4x4<f32>(
        load_across(quad, at.p0), load_across(quad, at.p1), load_across(quad, at.p2), load_across(quad, at.p3),
    );
}

// Four pixels of one vec4 column of dy. Pixels past the end are zero in A, so any will do here.
fn load_gradient(at: Step, column: u32) -> mat4x4<f32> {
    let last = pixels_total() - 1u;
    let first = at.p0.number;
    return mat4x4<f32>(
        b(first * params.cout4 + column),
        b(min(first + 1u, last) * params.cout4 + column),
        b(min(first + 2u, last) * params.cout4 + column),
        b(min(first + 3u, last) * params.cout4 + column),
    );
}

// ---- The product.

fn load_column(at: Step, column: u32) -> mat4x4<f32> {
    if (MODE == 2u) {
        return load_gradient(at, column);
    }
    return load_weights(at, column);
}

fn load_columns(at: Step, x: u32, y: u32) -> Columns {
    let first = load_column(at, x);
    if (COLUMNS == 1u) {
        return Columns(first, first);
    }
    return Columns(first, load_column(at, y));
}

fn put_column(row: u32, column: u32, value: vec4<f32>, shift: vec4<f32>) {
    if (row < rows_total() && column < columns_total()) {
        var out = value;
        if (BIAS == 1u) {
            out += shift;
        }
        c[(part * rows_total() + row) * columns_total() + column] = out;
    }
}

fn put(row: u32, values: Row) {
    put_column(row, place.column_x, values.x, bias_x);
    if (COLUMNS == 2u) {
        put_column(row, place.column_y, values.y, bias_y);
    }
}
