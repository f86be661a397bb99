// The family for adapters whose subgroups always have eight lanes, as the software driver's have: the lanes of a subgroup
// load different rows of A and broadcast them to each other. A tile has 32 rows; four k of it cost a lane four vec4 loads
// of A and eight of B for 1024 multiply-adds, where the direct family pays sixteen for 256. Loads are what the software
// driver is slow at (each is a scalar loop over the lanes), broadcasts are a register move: measured on lavapipe (Mesa
// 22.3, two cores), gemm 512^3: 49 GFLOP/s here, 10 direct, 1.3 one output an invocation.
//
// WGSL wants `enable subgroups;` here; naga 30 refuses it and takes the operations without, so browsers get the direct family.

const GROUPS: u32 = 4u;
const BANDS: u32 = 1u;

// Of the rows row + 8 i + lane.
struct Anchors {
    a0: Anchor, a1: Anchor, a2: Anchor, a3: Anchor,
}

fn anchors_of(row: u32, local: u32) -> Anchors {
    let first = row + local;
    return Anchors(anchor_of(first), anchor_of(first + 8u), anchor_of(first + 16u), anchor_of(first + 24u));
}

fn group_step(g: Rows, own: vec4<f32>, b: Columns) -> Rows {
    return Rows(
        row_step(g.r0, subgroupBroadcast(own, 0u), b),
        row_step(g.r1, subgroupBroadcast(own, 1u), b),
        row_step(g.r2, subgroupBroadcast(own, 2u), b),
        row_step(g.r3, subgroupBroadcast(own, 3u), b),
        row_step(g.r4, subgroupBroadcast(own, 4u), b),
        row_step(g.r5, subgroupBroadcast(own, 5u), b),
        row_step(g.r6, subgroupBroadcast(own, 6u), b),
        row_step(g.r7, subgroupBroadcast(own, 7u), b),
    );
}

// A lies along k: load_row gives four k of one row.
fn tile_step(acc: Tile, n: Anchors, at: Step, b: Columns) -> Tile {
    return Tile(
        group_step(acc.g0, load_row(n.a0, at), b),
        group_step(acc.g1, load_row(n.a1, at), b),
        group_step(acc.g2, load_row(n.a2, at), b),
        group_step(acc.g3, load_row(n.a3, at), b),
    );
}

// For A that lies along its rows: lane i loads rows 4 i to 4 i + 3 of the tile.
struct Quads {
    own: Quad,
}

fn quads_of(row: u32, local: u32) -> Quads {
    return Quads(quad_of(row / 4u + local));
}

// load_quad gives four k of four rows: [i] is the vec4 of rows at k + i. Turned, each lane has four k of its four rows.
fn tile_step_across(acc: Tile, q: Quads, at: Step, b: Columns) -> Tile {
    let t = transpose(load_quad(q.own, at));
    return Tile(
        Rows(
            row_step(acc.g0.r0, subgroupBroadcast(t[0], 0u), b),
            row_step(acc.g0.r1, subgroupBroadcast(t[1], 0u), b),
            row_step(acc.g0.r2, subgroupBroadcast(t[2], 0u), b),
            row_step(acc.g0.r3, subgroupBroadcast(t[3], 0u), b),
            row_step(acc.g0.r4, subgroupBroadcast(t[0], 1u), b),
            row_step(acc.g0.r5, subgroupBroadcast(t[1], 1u), b),
            row_step(acc.g0.r6, subgroupBroadcast(t[2], 1u), b),
            row_step(acc.g0.r7, subgroupBroadcast(t[3], 1u), b),
        ),
        Rows(
            row_step(acc.g1.r0, subgroupBroadcast(t[0], 2u), b),
            row_step(acc.g1.r1, subgroupBroadcast(t[1], 2u), b),
            row_step(acc.g1.r2, subgroupBroadcast(t[2], 2u), b),
            row_step(acc.g1.r3, subgroupBroadcast(t[3], 2u), b),
            row_step(acc.g1.r4, subgroupBroadcast(t[0], 3u), b),
            row_step(acc.g1.r5, subgroupBroadcast(t[1], 3u), b),
            row_step(acc.g1.r6, subgroupBroadcast(t[2], 3u), b),
            row_step(acc.g1.r7, subgroupBroadcast(t[3], 3u), b),
        ),
        Rows(
            row_step(acc.g2.r0, subgroupBroadcast(t[0], 4u), b),
            row_step(acc.g2.r1, subgroupBroadcast(t[1], 4u), b),
            row_step(acc.g2.r2, subgroupBroadcast(t[2], 4u), b),
            row_step(acc.g2.r3, subgroupBroadcast(t[3], 4u), b),
            row_step(acc.g2.r4, subgroupBroadcast(t[0], 5u), b),
            row_step(acc.g2.r5, subgroupBroadcast(t[1], 5u), b),
            row_step(acc.g2.r6, subgroupBroadcast(t[2], 5u), b),
            row_step(acc.g2.r7, subgroupBroadcast(t[3], 5u), b),
        ),
        Rows(
            row_step(acc.g3.r0, subgroupBroadcast(t[0], 6u), b),
            row_step(acc.g3.r1, subgroupBroadcast(t[1], 6u), b),
            row_step(acc.g3.r2, subgroupBroadcast(t[2], 6u), b),
            row_step(acc.g3.r3, subgroupBroadcast(t[3], 6u), b),
            row_step(acc.g3.r4, subgroupBroadcast(t[0], 7u), b),
            row_step(acc.g3.r5, subgroupBroadcast(t[1], 7u), b),
            row_step(acc.g3.r6, subgroupBroadcast(t[2], 7u), b),
            row_step(acc.g3.r7, subgroupBroadcast(t[3], 7u), b),
        ),
    );
}
