// The family that runs anywhere: every invocation loads the eight rows of A that it needs itself. No workgroup memory, no
// barriers, no subgroups; the caches do the sharing. 64 invocations make a workgroup tile: bands of eight rows, in which
// params.across (1, 2, 4 or 8) neighbouring invocations own neighbouring columns, so that narrow products leave none idle.
// It is no constant, because every pipeline more takes a browser time to compile before the first step.

struct Tile {
    g0: Rows,
}

// Whether an invocation with nothing to write may end early.
const INDEPENDENT: bool = true;

// Workgroups are numbered along the columns first.
fn place_of(tile: u32, local: u32, column_tiles: u32) -> Place {
    let row_tile = tile / column_tiles;
    let across = params.across;
    let column = (tile - row_tile * column_tiles) * across * COLUMNS + local % across;
    return Place((row_tile * (64u / across) + local / across) * 8u, column, column + across);
}

// One step of four k at a time, of which every invocation loads B itself.
const STEPS: u32 = 1u;

fn own_step(local: u32) -> u32 {
    return 0u;
}

fn columns_of(step: u32, loaded: Columns) -> Columns {
    return loaded;
}

fn anchors_of(row: u32, local: u32) -> Anchors {
    return Anchors(
        anchor_of(row), anchor_of(row + 1u), anchor_of(row + 2u), anchor_of(row + 3u),
        anchor_of(row + 4u), anchor_of(row + 5u), anchor_of(row + 6u), anchor_of(row + 7u),
    );
}

// A lies along k: load_row gives four k of one row.
fn tile_step(acc: Tile, n: Anchors, at: Step, b: Columns) -> Tile {
    let g = acc.g0;
    return Tile(
        Rows(
            row_step(g.r0, load_row(n.a0, at), b),
            row_step(g.r1, load_row(n.a1, at), b),
            row_step(g.r2, load_row(n.a2, at), b),
            row_step(g.r3, load_row(n.a3, at), b),
            row_step(g.r4, load_row(n.a4, at), b),
            row_step(g.r5, load_row(n.a5, at), b),
            row_step(g.r6, load_row(n.a6, at), b),
            row_step(g.r7, load_row(n.a7, at), b),
        ),
    );
}

fn quads_of(row: u32, local: u32) -> Quads {
    return Quads(quad_of(row / 4u), quad_of(row / 4u + 1u));
}

// A lies along its rows: load_quad gives four k of four rows, [i] is the vec4 of rows at k + i.
fn tile_step_across(acc: Tile, q: Quads, at: Step, b: Columns) -> Tile {
    let low = transpose(load_quad(q.low, at));
    let high = transpose(load_quad(q.high, at));
    let g = acc.g0;
    return Tile(
        Rows(
            row_step(g.r0, low[0], b), row_step(g.r1, low[1], b), row_step(g.r2, low[2], b), row_step(g.r3, low[3], b),
            row_step(g.r4, high[0], b), row_step(g.r5, high[1], b), row_step(g.r6, high[2], b), row_step(g.r7, high[3], b),
        ),
    );
}

fn put_tile(row: u32, tile: Tile) {
    put_rows(row, tile.g0);
}

@compute @workgroup_size(64)
fn product(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    compute(linear_group(group, groups), group.z, local);
}
