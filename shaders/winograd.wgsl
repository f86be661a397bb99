// Convolutions of 3x3 taps with stride 1 and one line of padding by Winograd's minimal filtering, F(M x M, 3 x 3): Lavin and
// Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), whose matrices these are. A tile of M x M outputs needs
// SIDE x SIDE inputs, SIDE = M + 2; transformed, each of its SIDE * SIDE points is a product of its own over the channels:
// 16 products for 4 outputs of 9 taps (M = 2), or 36 for 16 (M = 4), where a direct convolution takes 36 and 144.
//
// What a batched gemm takes on its right, u and z, lies in panels (`in_panels`, common.wgsl).
//
// `weights` [3, 3, cin, cout] -> u [points, cin, cout], or with TURNED, for the gradient of the input, [points, cout, cin];
// `inputs` pixels -> v [points, tiles, channels]; a batched gemm makes v u; `outputs` turns it into pixels.
//
// The gradient of the weights is that of y = A^T ((G w) (B^T x)) A, where the products are those of the points, by w:
// G^T ((A dy) (B^T x)) G. So `output_gradients` dy -> z [points, tiles, cout]; a batched gemm makes v^T z, the sum over
// all tiles; `weight_gradients` turns it into [3, 3, cin, cout].
//
// An invocation takes a tile, or a row of the weights, and a vec4 of channels. Tiles are numbered by sample, line and
// column.

const SIDE: u32 = M + 2u;

struct Params {
    height: u32,
    width: u32,
    groups: u32,        // vec4s of channels
    first: u32,         // sample
    tiles_y: u32,
    tiles_x: u32,
    tiles: u32,         // of all samples at hand
    rows: u32,          // of the weights: the channels that are summed over
}

@group(0) @binding(0) var<uniform> params: Params;
// Binding 1 is the input source.
@group(0) @binding(2) var<storage, read_write> destination: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;

// A line or a column of a tile; with M = 2 the last two are not used.
struct Line {
    v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>, v4: vec4<f32>, v5: vec4<f32>,
}

// The columns of a tile, or its lines.
struct Square {
    l0: Line, l1: Line, l2: Line, l3: Line, l4: Line, l5: Line,
}

fn transposed(s: Square) -> Square {
    return Square(
        Line(s.l0.v0, s.l1.v0, s.l2.v0, s.l3.v0, s.l4.v0, s.l5.v0),
        Line(s.l0.v1, s.l1.v1, s.l2.v1, s.l3.v1, s.l4.v1, s.l5.v1),
        Line(s.l0.v2, s.l1.v2, s.l2.v2, s.l3.v2, s.l4.v2, s.l5.v2),
        Line(s.l0.v3, s.l1.v3, s.l2.v3, s.l3.v3, s.l4.v3, s.l5.v3),
        Line(s.l0.v4, s.l1.v4, s.l2.v4, s.l3.v4, s.l4.v4, s.l5.v4),
        Line(s.l0.v5, s.l1.v5, s.l2.v5, s.l3.v5, s.l4.v5, s.l5.v5),
    );
}

struct Spot {
    group: u32,
    tile: u32,
    // First output line and column.
    y: u32,
    x: u32,
    // First pixel of the sample.
    base: u32,
}

fn spot_of(item: u32) -> Spot {
    let tile = item / params.groups;
    let line = tile / params.tiles_x;
    let sample = line / params.tiles_y;
    let y = M * (line - sample * params.tiles_y);
    let x = M * (tile - line * params.tiles_x);
    return Spot(item - tile * params.groups, tile, y, x, (params.first + sample) * params.height * params.width);
}

// B^T d
fn input_transform(d: Line) -> Line {
    if (M == 2u) {
        let none = vec4<f32>(0.0);
        return Line(d.v0 - d.v2, d.v1 + d.v2, d.v2 - d.v1, d.v1 - d.v3, none, none);
    }
    let far = d.v4 - d.v2;
    let near = 2.0 * (d.v3 - d.v1);
    return Line(
        4.0 * d.v0 - 5.0 * d.v2 + d.v4,
        (d.v3 + d.v4) - 4.0 * (d.v1 + d.v2),
        (d.v4 - d.v3) + 4.0 * (d.v1 - d.v2),
        far + near,
        far - near,
        4.0 * d.v1 - 5.0 * d.v3 + d.v5,
    );
}

// G g, of the first three
fn weight_transform(g: Line) -> Line {
    let ends = g.v0 + g.v2;
    if (M == 2u) {
        let none = vec4<f32>(0.0);
        return Line(g.v0, 0.5 * (ends + g.v1), 0.5 * (ends - g.v1), g.v2, none, none);
    }
    let wide = (g.v0 + 4.0 * g.v2) / 24.0;
    let middle = g.v1 / 12.0;
    return Line(g.v0 / 4.0, (ends + g.v1) / -6.0, (ends - g.v1) / -6.0, wide + middle, wide - middle, g.v2);
}

// A^T m, the first M of the result
fn output_transform(m: Line) -> Line {
    let sum = m.v1 + m.v2;
    let off = m.v1 - m.v2;
    let none = vec4<f32>(0.0);
    if (M == 2u) {
        return Line(m.v0 + sum, off - m.v3, none, none, none, none);
    }
    let outer = m.v3 + m.v4;
    let turned = m.v3 - m.v4;
    return Line(m.v0 + sum + outer, off + 2.0 * turned, sum + 4.0 * outer, off + 8.0 * turned + m.v5, none, none);
}

// A y, of the first M
fn output_gradient_transform(y: Line) -> Line {
    if (M == 2u) {
        let none = vec4<f32>(0.0);
        return Line(y.v0, y.v0 + y.v1, y.v0 - y.v1, -y.v1, none, none);
    }
    let even = y.v0 + y.v2;
    let odd = y.v1 + y.v3;
    let even_wide = y.v0 + 4.0 * y.v2;
    let odd_wide = 2.0 * y.v1 + 8.0 * y.v3;
    return Line(y.v0, even + odd, even - odd, even_wide + odd_wide, even_wide - odd_wide, y.v3);
}

// G^T m, the first three of the result
fn weight_gradient_transform(m: Line) -> Line {
    let sum = m.v1 + m.v2;
    let none = vec4<f32>(0.0);
    if (M == 2u) {
        return Line(m.v0 + 0.5 * sum, 0.5 * (m.v1 - m.v2), 0.5 * sum + m.v3, none, none, none);
    }
    let outer = m.v3 + m.v4;
    return Line(
        m.v0 / 4.0 - sum / 6.0 + outer / 24.0,
        (m.v2 - m.v1) / 6.0 + (m.v3 - m.v4) / 12.0,
        (outer - sum) / 6.0 + m.v5,
        none, none, none,
    );
}

// A pixel of the spot's sample; outside of the picture, zero.
fn pixel(s: Spot, y: u32, x: u32) -> vec4<f32> {
    let inside = (y < params.height) & (x < params.width);
    let at = s.base + min(y, params.height - 1u) * params.width + min(x, params.width - 1u);
    return select(vec4<f32>(0.0), source(at * params.groups + s.group), inside);
}

// One line of padding: what lies before the first wraps around, and is past the end too.
fn input_column(s: Spot, j: u32) -> Line {
    let y = s.y - 1u;
    let x = s.x + j - 1u;
    let none = vec4<f32>(0.0);
    var d = Line(pixel(s, y, x), pixel(s, y + 1u, x), pixel(s, y + 2u, x), pixel(s, y + 3u, x), none, none);
    if (M == 4u) {
        d.v4 = pixel(s, y + 4u, x);
        d.v5 = pixel(s, y + 5u, x);
    }
    return input_transform(d);
}

// Writes line i of the points: `at` is where point 0 goes, and `step` lies between two.
fn put_points(i: u32, at: u32, step: u32, line: Line) {
    let first = at + i * SIDE * step;
    destination[first] = line.v0;
    destination[first + step] = line.v1;
    destination[first + 2u * step] = line.v2;
    destination[first + 3u * step] = line.v3;
    if (M == 4u) {
        destination[first + 4u * step] = line.v4;
        destination[first + 5u * step] = line.v5;
    }
}

// Writes all points, by lines.
fn put_square(at: u32, step: u32, lines: Square) {
    put_points(0u, at, step, lines.l0);
    put_points(1u, at, step, lines.l1);
    put_points(2u, at, step, lines.l2);
    put_points(3u, at, step, lines.l3);
    if (M == 4u) {
        put_points(4u, at, step, lines.l4);
        put_points(5u, at, step, lines.l5);
    }
}

@compute @workgroup_size(64)
fn inputs(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = linear_group(wid, groups) * 64u + local;
    let step = params.tiles * params.groups;
    if (item >= step) {
        return;
    }
    let s = spot_of(item);
    var columns: Square;
    columns.l0 = input_column(s, 0u);
    columns.l1 = input_column(s, 1u);
    columns.l2 = input_column(s, 2u);
    columns.l3 = input_column(s, 3u);
    if (M == 4u) {
        columns.l4 = input_column(s, 4u);
        columns.l5 = input_column(s, 5u);
    }
    let lines = transposed(columns);
    put_square(
        item, step,
        Square(
            input_transform(lines.l0), input_transform(lines.l1), input_transform(lines.l2),
            input_transform(lines.l3), input_transform(lines.l4), input_transform(lines.l5),
        ),
    );
}

// Tap (i, j) of row `row` of the weights. Turned, rows and columns change places, and the taps their order.
fn tap(row: u32, group: u32, i: u32, j: u32) -> vec4<f32> {
    if (TURNED == 0u) {
        return source(((3u * i + j) * params.rows + row) * params.groups + group);
    }
    let across = params.rows / 4u;
    let at = ((8u - 3u * i - j) * 4u * params.groups + 4u * group) * across + row / 4u;
    let k = row % 4u;
    return vec4<f32>(source(at)[k], source(at + across)[k], source(at + 2u * across)[k], source(at + 3u * across)[k]);
}

fn weight_column(row: u32, group: u32, j: u32) -> Line {
    let none = vec4<f32>(0.0);
    return weight_transform(
        Line(tap(row, group, 0u, j), tap(row, group, 1u, j), tap(row, group, 2u, j), none, none, none),
    );
}

@compute @workgroup_size(64)
fn weights(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = linear_group(wid, groups) * 64u + local;
    let step = params.rows * params.groups;
    if (item >= step) {
        return;
    }
    let row = item / params.groups;
    let group = item - row * params.groups;
    var columns: Square;
    columns.l0 = weight_column(row, group, 0u);
    columns.l1 = weight_column(row, group, 1u);
    columns.l2 = weight_column(row, group, 2u);
    let lines = transposed(columns);
    put_square(
        in_panels(row, group, params.rows, params.groups), step,
        Square(
            weight_transform(lines.l0), weight_transform(lines.l1), weight_transform(lines.l2),
            weight_transform(lines.l3), weight_transform(lines.l4), weight_transform(lines.l5),
        ),
    );
}

fn output_gradient_column(s: Spot, j: u32) -> Line {
    let x = s.x + j;
    let none = vec4<f32>(0.0);
    var y = Line(pixel(s, s.y, x), pixel(s, s.y + 1u, x), none, none, none, none);
    if (M == 4u) {
        y.v2 = pixel(s, s.y + 2u, x);
        y.v3 = pixel(s, s.y + 3u, x);
    }
    return output_gradient_transform(y);
}

@compute @workgroup_size(64)
fn output_gradients(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = linear_group(wid, groups) * 64u + local;
    let step = params.tiles * params.groups;
    if (item >= step) {
        return;
    }
    let s = spot_of(item);
    var columns: Square;
    columns.l0 = output_gradient_column(s, 0u);
    columns.l1 = output_gradient_column(s, 1u);
    if (M == 4u) {
        columns.l2 = output_gradient_column(s, 2u);
        columns.l3 = output_gradient_column(s, 3u);
    }
    let lines = transposed(columns);
    put_square(
        in_panels(s.tile, s.group, params.tiles, params.groups), step,
        Square(
            output_gradient_transform(lines.l0), output_gradient_transform(lines.l1), output_gradient_transform(lines.l2),
            output_gradient_transform(lines.l3), output_gradient_transform(lines.l4), output_gradient_transform(lines.l5),
        ),
    );
}

// Column j of the points of a tile, or of a row of the weights, point 0 of which is at `at`.
fn point_column(at: u32, step: u32, j: u32) -> Line {
    let first = at + j * step;
    let line = SIDE * step;
    var m = Line(
        source(first), source(first + line), source(first + 2u * line), source(first + 3u * line),
        vec4<f32>(0.0), vec4<f32>(0.0),
    );
    if (M == 4u) {
        m.v4 = source(first + 4u * line);
        m.v5 = source(first + 5u * line);
    }
    return m;
}

// All of them, by columns.
fn points_of(at: u32, step: u32) -> Square {
    var columns: Square;
    columns.l0 = point_column(at, step, 0u);
    columns.l1 = point_column(at, step, 1u);
    columns.l2 = point_column(at, step, 2u);
    columns.l3 = point_column(at, step, 3u);
    if (M == 4u) {
        columns.l4 = point_column(at, step, 4u);
        columns.l5 = point_column(at, step, 5u);
    }
    return columns;
}

fn put_pixel(s: Spot, i: u32, j: u32, value: vec4<f32>) {
    let y = s.y + i;
    let x = s.x + j;
    if (y < params.height && x < params.width) {
        var out = value;
        if (BIAS == 1u) {
            out += bias[s.group];
        }
        destination[(s.base + y * params.width + x) * params.groups + s.group] = out;
    }
}

fn put_pixels(s: Spot, i: u32, line: Line) {
    put_pixel(s, i, 0u, line.v0);
    put_pixel(s, i, 1u, line.v1);
    if (M == 4u) {
        put_pixel(s, i, 2u, line.v2);
        put_pixel(s, i, 3u, line.v3);
    }
}

@compute @workgroup_size(64)
fn outputs(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = linear_group(wid, groups) * 64u + local;
    let step = params.tiles * params.groups;
    if (item >= step) {
        return;
    }
    let s = spot_of(item);
    let points = points_of(item, step);
    let lines = transposed(Square(
        output_transform(points.l0), output_transform(points.l1), output_transform(points.l2),
        output_transform(points.l3), output_transform(points.l4), output_transform(points.l5),
    ));
    put_pixels(s, 0u, output_transform(lines.l0));
    put_pixels(s, 1u, output_transform(lines.l1));
    if (M == 4u) {
        put_pixels(s, 2u, output_transform(lines.l2));
        put_pixels(s, 3u, output_transform(lines.l3));
    }
}

fn put_taps(i: u32, at: u32, step: u32, line: Line) {
    let first = at + 3u * i * step;
    destination[first] = line.v0;
    destination[first + step] = line.v1;
    destination[first + 2u * step] = line.v2;
}

@compute @workgroup_size(64)
fn weight_gradients(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = linear_group(wid, groups) * 64u + local;
    let step = params.rows * params.groups;
    if (item >= step) {
        return;
    }
    let points = points_of(item, step);
    let lines = transposed(Square(
        weight_gradient_transform(points.l0), weight_gradient_transform(points.l1), weight_gradient_transform(points.l2),
        weight_gradient_transform(points.l3), weight_gradient_transform(points.l4), weight_gradient_transform(points.l5),
    ));
    put_taps(0u, item, step, weight_gradient_transform(lines.l0));
    put_taps(1u, item, step, weight_gradient_transform(lines.l1));
    put_taps(2u, item, step, weight_gradient_transform(lines.l2));
}
