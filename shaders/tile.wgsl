// A register tile of a matrix product, shared by gemm and conv2d: C[rows, columns] += A[rows, k] B[k, columns], four k at
// a time. An invocation accumulates groups of eight rows by one or two vec4 columns (COLUMNS).
//
// How the rows of A reach an invocation is the family's business: lanes_direct.wgsl, lanes_subgroup.wgsl,
// lanes_workgroup.wgsl or lanes_cooperative.wgsl, one of which is joined to this file and holds the entry point. The first
// two call the kernel's `compute`, which makes one tile out of `tile_step`s and hands it to `put_tile`; the others ask the
// kernel for blocks, and the last of them multiplies matrices without this file's tile. How many groups a Tile has is the family's business too: a driver that takes structs apart pays for every member,
// used or not, when it compiles. A and B are read as a(i) and b(i), from buffers or from texels.
// Everything is spelled out in named registers: a private array with a loop over it costs the software driver a factor of
// four, because it unrolls nothing that holds memory or subgroup operations.

struct Row {
    x: vec4<f32>,
    y: vec4<f32>,
}

struct Rows {
    r0: Row, r1: Row, r2: Row, r3: Row, r4: Row, r5: Row, r6: Row, r7: Row,
}

// Four consecutive k of B: x[i] is the first vec4 column of row k + i, y[i] the second.
struct Columns {
    x: mat4x4<f32>,
    y: mat4x4<f32>,
}

// Where an invocation's tile begins: its first row, and its two vec4 columns.
struct Place {
    row: u32,
    column_x: u32,
    column_y: u32,
}

// The eight rows of A that an invocation loads where A lies along k, and the two vec4s of four rows that it loads where A
// lies along its rows.
struct Anchors {
    a0: Anchor, a1: Anchor, a2: Anchor, a3: Anchor, a4: Anchor, a5: Anchor, a6: Anchor, a7: Anchor,
}

struct Quads {
    low: Quad,
    high: Quad,
}

// One row: four k at once.
fn row_step(acc: Row, a: vec4<f32>, b: Columns) -> Row {
    let x = fma(b.x[3], a.wwww, fma(b.x[2], a.zzzz, fma(b.x[1], a.yyyy, fma(b.x[0], a.xxxx, acc.x))));
    if (COLUMNS == 1u) {
        return Row(x, acc.y);
    }
    return Row(x, fma(b.y[3], a.wwww, fma(b.y[2], a.zzzz, fma(b.y[1], a.yyyy, fma(b.y[0], a.xxxx, acc.y)))));
}

// Hands eight rows to the kernel's `put(row, values)`.
fn put_rows(row: u32, g: Rows) {
    put(row, g.r0);
    put(row + 1u, g.r1);
    put(row + 2u, g.r2);
    put(row + 3u, g.r3);
    put(row + 4u, g.r4);
    put(row + 5u, g.r5);
    put(row + 6u, g.r6);
    put(row + 7u, g.r7);
}
