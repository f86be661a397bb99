// Matrix products C[m, n] = A B (+ bias), row-major, f32. Constants: OP says how A and B lie (0: A[m, k] B[k, n],
// 1: A[m, k] B[n, k], 2: A[k, m] B[k, n]); BIAS; BATCHED; ADDING; COLUMNS; the subgroup family's SPREAD and TALL, the
// workgroup family's SIDE.
//
// Workgroup z of the grid takes the k from z * chunk on: a long sum over few outputs is split, for parallelism and for
// accuracy, and its parts, one matrix behind the other, are added up by `sum_parts`. BATCHED, for OP 0 and 2: it takes
// product z, all k of it; A, B and C are as many matrices, one behind the other, and those of B lie in panels of four vec4
// columns (`in_panels`). ADDING: to what is in C.

struct Params {
    m: u32,
    n4: u32,            // vec4s in a row of C
    k: u32,
    chunk: u32,         // k of one part, a multiple of 8
    column_tiles: u32,
    across: u32,        // invocations with the same rows, of the direct family
    scale_a: f32,       // see element_f16.wgsl
    scale_b: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Bindings 1 and 2 are A and B.
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> c: array<vec4<f32>>;

var<private> place: Place;
var<private> part: u32;
var<private> bias_x: vec4<f32>;
var<private> bias_y: vec4<f32>;

// The k that workgroup z takes.
struct Span {
    begin: u32,
    end: u32,
}

fn span_of(z: u32) -> Span {
    if (BATCHED == 1u) {
        return Span(0u, params.k);
    }
    let begin = z * params.chunk;
    return Span(begin, min(begin + params.chunk, params.k));
}

// The first of four k.
struct Step {
    k: u32,
}

// A row of A that lies along k: its first vec4. Rows past the end are read from the last one and never written.
struct Anchor {
    start: u32,
}

fn anchor_of(row: u32) -> Anchor {
    let first = select(0u, part * params.m, BATCHED == 1u);
    return Anchor((first + min(row, params.m - 1u)) * (params.k / 4u));
}

fn load_row(anchor: Anchor, at: Step) -> vec4<f32> {
    return a(anchor.start + at.k / 4u);
}

// Four rows of A that lies along its rows.
struct Quad {
    column: u32,
}

fn quad_of(index: u32) -> Quad {
    return Quad(min(index, params.m / 4u - 1u));
}

// Where k lies in A with OP 2: the products before this one have as many each.
fn row_of(k: u32) -> u32 {
    return select(k, part * params.k + k, BATCHED == 1u);
}

// k past the end are read from the last one, and count nothing because B has zeros there.
fn load_across(quad: Quad, k: u32) -> vec4<f32> {
    return a(row_of(min(k, params.k - 1u)) * (params.m / 4u) + quad.column);
}

fn load_quad(quad: Quad, at: Step) -> mat4x4<f32> {
    return mat4x4<f32>(
        load_across(quad, at.k), load_across(quad, at.k + 1u), load_across(quad, at.k + 2u), load_across(quad, at.k + 3u),
    );
}

// A vec4 of B that lies along its columns.
fn load_b(k: u32, column: u32) -> vec4<f32> {
    if (BATCHED == 1u) {
        return b(part * params.n4 * params.k + in_panels(k, column, params.k, params.n4));
    }
    return b_at(k, column, vec2<u32>(params.k, params.n4));
}

// One k of a vec4 column of B that lies along its columns. Only with OP 2, where k counts samples, may k be past the end:
// it is a multiple of four otherwise.
fn load_sample(k: u32, column: u32) -> vec4<f32> {
    if (OP == 0u) {
        return load_b(k, column);
    }
    return select(vec4<f32>(0.0), load_b(min(k, params.k - 1u), column), k < params.k);
}

// Four k of one vec4 column of B.
fn load_column(k: u32, column: u32) -> mat4x4<f32> {
    if (OP == 1u) {
        let k4 = params.k / 4u;
        let first = 4u * column * k4 + k / 4u;
        return transpose(mat4x4<f32>(b(first), b(first + k4), b(first + 2u * k4), b(first + 3u * k4)));
    }
    return mat4x4<f32>(
        load_sample(k, column), load_sample(k + 1u, column), load_sample(k + 2u, column), load_sample(k + 3u, column),
    );
}

fn load_columns(k: u32, x: u32, y: u32) -> Columns {
    let first = load_column(k, x);
    if (COLUMNS == 1u) {
        return Columns(first, first);
    }
    return Columns(first, load_column(k, y));
}

fn put_column(row: u32, column: u32, value: vec4<f32>, shift: vec4<f32>) {
    if (row < params.m && column < params.n4) {
        var out = value;
        if (BIAS == 1u) {
            out += shift;
        }
        let at = (part * params.m + row) * params.n4 + column;
        if (ADDING == 1u) {
            out += c[at];
        }
        c[at] = out;
    }
}

fn put(row: u32, values: Row) {
    put_column(row, place.column_x, values.x, bias_x);
    if (COLUMNS == 2u) {
        put_column(row, place.column_y, values.y, bias_y);
    }
}
