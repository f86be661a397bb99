// Convolution as an implicit matrix product: the patches are never written down, they are gathered as the product loads
// its rows. f32, channels last; x [N, H, W, cin], y [N, OH, OW, cout], w [K, K, cin, cout], all channels multiples of 4.
//
// MODE 0, forward: a row is an output pixel, k runs over the kernel's taps and the input channels.
// MODE 1, gradient of x: a row is an input pixel, k runs over taps and output channels; a tap counts where the pixel, less
//         the tap, is a multiple of the stride. B is w turned around: [taps, cout, cin].
// MODE 2, gradient of w: a row is a tap and an input channel, k runs over all output pixels of the batch, split into
//         parts (workgroup z) that `sum_parts` adds up.
// Constants besides: BIAS; COLUMNS; the family's GROUPS and BANDS.
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
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;       // x, dy, x
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;       // w, w, dy
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>; // y, dx, dw

var<private> place: Place;
var<private> part: u32;

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

// Four channels at one tap; or, for the gradient of w, four output pixels in a row of all of them.
struct Step {
    tap_y: u32,
    tap_x: u32,
    channel: u32,
    pixels: vec4<u32>,  // sample, y, x of the first, and its number
}

// ---- Rows that are pixels (modes 0 and 1).

// A pixel: its sample's first vec4 in A, and where tap (0, 0) falls in A's picture, before the stride in mode 1.
struct Anchor {
    sample: u32,
    y: i32,
    x: i32,
}

fn anchor_of(row: u32) -> Anchor {
    let pixel = min(row, rows_total() - 1u);
    let pad = i32(params.pad);
    if (MODE == 0u) {
        let line = pixel / params.out_width;
        let sample = line / params.out_height;
        let y = i32((line - sample * params.out_height) * params.stride) - pad;
        let x = i32((pixel - line * params.out_width) * params.stride) - pad;
        return Anchor(sample * params.height * params.width * params.cin4, y, x);
    }
    let line = pixel / params.width;
    let sample = line / params.height;
    let y = i32(line - sample * params.height) + pad;
    let x = i32(pixel - line * params.width) + pad;
    return Anchor(sample * params.out_height * params.out_width * params.cout4, y, x);
}

fn load_row(anchor: Anchor, at: Step) -> vec4<f32> {
    // Left of and above the picture wraps to a large number and fails the comparison as well.
    if (MODE == 0u) {
        let y = bitcast<u32>(anchor.y + i32(at.tap_y));
        let x = bitcast<u32>(anchor.x + i32(at.tap_x));
        let inside = (y < params.height) & (x < params.width);
        let index = anchor.sample + (y * params.width + x) * params.cin4 + at.channel;
        return select(vec4<f32>(0.0), a[select(0u, index, inside)], inside);
    }
    var y = bitcast<u32>(anchor.y - i32(at.tap_y));
    var x = bitcast<u32>(anchor.x - i32(at.tap_x));
    var inside = true;
    if (STRIDE > 1u) {
        inside = (y % STRIDE == 0u) & (x % STRIDE == 0u) & (bitcast<i32>(y) >= 0) & (bitcast<i32>(x) >= 0);
        y /= STRIDE;
        x /= STRIDE;
    }
    inside = inside & (y < params.out_height) & (x < params.out_width);
    let index = anchor.sample + (y * params.out_width + x) * params.cout4 + at.channel;
    return select(vec4<f32>(0.0), a[select(0u, index, inside)], inside);
}

// Four k of one vec4 column of the weights.
fn load_weights(at: Step, column: u32) -> mat4x4<f32> {
    let tap = at.tap_y * params.kernel + at.tap_x;
    if (MODE == 0u) {
        let first = (tap * params.cin4 + at.channel) * 4u * params.cout4 + column;
        return mat4x4<f32>(
            b[first], b[first + params.cout4], b[first + 2u * params.cout4], b[first + 3u * params.cout4],
        );
    }
    let first = (tap * params.cin4 + column) * 4u * params.cout4 + at.channel;
    return transpose(mat4x4<f32>(
        b[first], b[first + params.cout4], b[first + 2u * params.cout4], b[first + 3u * params.cout4],
    ));
}

// ---- Rows that are taps and channels (mode 2).

struct Quad {
    tap_y: u32,
    tap_x: u32,
    channel: u32,
}

fn quad_of(index: u32) -> Quad {
    let quad = min(index, params.kernel * params.kernel * params.cin4 - 1u);
    let tap = quad / params.cin4;
    let tap_y = tap / params.kernel;
    return Quad(tap_y, tap - tap_y * params.kernel, quad - tap * params.cin4);
}

// The next output pixel: (sample, y, x, number).
fn next_pixel(pixel: vec4<u32>) -> vec4<u32> {
    let last_x = pixel.z + 1u == params.out_width;
    let last_y = last_x & (pixel.y + 1u == params.out_height);
    return vec4<u32>(
        pixel.x + select(0u, 1u, last_y),
        select(pixel.y + select(0u, 1u, last_x), 0u, last_y),
        select(pixel.z + 1u, 0u, last_x),
        pixel.w + 1u,
    );
}

fn pixels_total() -> u32 {
    return params.batch * params.out_height * params.out_width;
}

fn load_across(quad: Quad, pixel: vec4<u32>) -> vec4<f32> {
    let y = bitcast<u32>(i32(pixel.y * params.stride + quad.tap_y) - i32(params.pad));
    let x = bitcast<u32>(i32(pixel.z * params.stride + quad.tap_x) - i32(params.pad));
    let inside = (pixel.w < pixels_total()) & (y < params.height) & (x < params.width);
    let index = ((pixel.x * params.height + y) * params.width + x) * params.cin4 + quad.channel;
    return select(vec4<f32>(0.0), a[select(0u, index, inside)], inside);
}

fn load_quad(quad: Quad, at: Step) -> mat4x4<f32> {
    let p1 = next_pixel(at.pixels);
    let p2 = next_pixel(p1);
    let p3 = next_pixel(p2);
    return mat4x4<f32>(
        load_across(quad, at.pixels), load_across(quad, p1), load_across(quad, p2), load_across(quad, p3),
    );
}

// Four pixels of one vec4 column of dy. Pixels past the end are zero in A, so any will do here.
fn load_gradient(at: Step, column: u32) -> mat4x4<f32> {
    let last = pixels_total() - 1u;
    let first = at.pixels.w;
    return mat4x4<f32>(
        b[first * params.cout4 + column],
        b[min(first + 1u, last) * params.cout4 + column],
        b[min(first + 2u, last) * params.cout4 + column],
        b[min(first + 3u, last) * params.cout4 + column],
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

fn put_column(row: u32, column: u32, value: vec4<f32>) {
    if (row < rows_total() && column < columns_total()) {
        var out = value;
        if (BIAS == 1u) {
            out += bias[column];
        }
        c[(part * rows_total() + row) * columns_total() + column] = out;
    }
}

fn put(row: u32, values: Row) {
    put_column(row, place.column_x, values.x);
    if (COLUMNS == 2u) {
        put_column(row, place.column_y, values.y);
    }
}

@compute @workgroup_size(8u * BANDS)
fn convolve(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    place = place_of(linear_group(group, groups), local, params.column_tiles);
    part = group.z;
    let x = min(place.column_x, columns_total() - 1u);
    let y = min(place.column_y, columns_total() - 1u);
    var tile: Tile;
    if (MODE == 2u) {
        let quads = quads_of(place.row, local % 8u);
        let start = part * params.chunk;
        let end = min(start + params.chunk, pixels_total());
        let line = start / params.out_width;
        let sample = line / params.out_height;
        var pixels = vec4<u32>(sample, line - sample * params.out_height, start - line * params.out_width, start);
        while (pixels.w < end) {
            let at = Step(0u, 0u, 0u, pixels);
            tile = tile_step_across(tile, quads, at, load_columns(at, x, y));
            pixels = next_pixel(next_pixel(next_pixel(next_pixel(pixels))));
        }
    } else {
        let anchors = anchors_of(place.row, local % 8u);
        let channels = select(params.cin4, params.cout4, MODE == 1u);
        for (var tap_y = 0u; tap_y < params.kernel; tap_y++) {
            for (var tap_x = 0u; tap_x < params.kernel; tap_x++) {
                for (var channel = 0u; channel < channels; channel++) {
                    let at = Step(tap_y, tap_x, channel, vec4<u32>());
                    tile = tile_step(tile, anchors, at, load_columns(at, x, y));
                }
            }
        }
    }
    put_tile(place.row, tile);
}
