// The family for adapters whose subgroups always have eight lanes, as the software driver's have. The lanes form sets of
// SPREAD (4, 2 or 1) neighbours. A lane owns one vec4 column and as many rows as the others of its set: 16, or 8 with
// SPREAD 1, or 32 where the tile is TALL. So one subgroup makes a tile of 32 or 64 rows by four columns, 64 by two or
// 64 by one. The lanes of a set load different rows of A and hand them to each other: four k of a tile of four columns
// cost a lane four vec4 loads of A and four of B for 256 multiply-adds, or eight and four for 512. Fewer columns than
// four would leave lanes idle, hence the smaller spreads.
//
// A shuffle within four lanes whose pattern is constant is one in-lane permutation, which can load its operand from the
// stack; a broadcast over all eight lanes is two instructions. Tiles live on the stack, for there are 16 registers: the
// driver has no fused multiply-add, so what counts is the number of instructions for each multiply and add, and whether the
// loop stays within what the processor keeps decoded. That is 4096 instructions on a Zen 3, and half of it while another
// thread runs on the same core; longer loops are decoded again at every turn. A loop over a tile of 32 rows has 1340
// instructions (5.2 a multiply-add), over a tall one 4610 (4.5) and takes up to 1.5 times as long there. On a Xeon, which
// keeps less decoded than either, the tall one wins, and on a Zen 4, which keeps more (benches/RESULTS.md).
//
// At the end of an iteration of a loop the driver blends every accumulator with what it was, lane by lane, for lanes
// that may have left; and four k of B are the same for both sets of four lanes. So products of tall tiles make two
// steps of four k at once, of which each set loads one.
//
// WGSL wants `enable subgroups;` here; naga 30 refuses it and takes the operations without, so browsers get the direct
// family.

// Of the groups, as many are used as a lane has eights of rows.
struct Tile {
    g0: Rows, g1: Rows, g2: Rows, g3: Rows,
}

// Whether an invocation with nothing to write may end early.
const INDEPENDENT: bool = false;

// The number of this lane. It reaches the shuffles from the builtin, so that the driver sees constants.
var<private> own_lane: u32;

// Rows of a lane, and of the tile.
const LANE_ROWS: u32 = 8u * min(SPREAD, 2u) * (1u + TALL);
const TILE_ROWS: u32 = 8u / SPREAD * LANE_ROWS;

// Workgroups are numbered along the columns first.
fn place_of(tile: u32, lane: u32, column_tiles: u32) -> Place {
    let row_tile = tile / column_tiles;
    let column = (tile - row_tile * column_tiles) * SPREAD + lane % SPREAD;
    return Place(row_tile * TILE_ROWS + lane / SPREAD * LANE_ROWS, column, column);
}

// Steps of four k that a lane makes at once.
const STEPS: u32 = 1u + TALL;

// The one of two steps whose k of B a lane loads.
fn own_step(lane: u32) -> u32 {
    return lane / 4u;
}

// What the lanes have loaded for a step.
fn columns_of(step: u32, loaded: Columns) -> Columns {
    if (STEPS == 1u) {
        return loaded;
    }
    let holder = (own_lane & 3u) | (step * 4u);
    let m = loaded.x;
    let x = mat4x4<f32>(
        subgroupShuffle(m[0], holder), subgroupShuffle(m[1], holder), subgroupShuffle(m[2], holder), subgroupShuffle(m[3], holder),
    );
    return Columns(x, x);
}

// What the lane with that number in the own set holds.
fn held_by(lane: u32, value: vec4<f32>) -> vec4<f32> {
    return subgroupShuffle(value, (own_lane & (8u - SPREAD)) | lane);
}

fn eight(
    g: Rows, b: Columns,
    a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>, a4: vec4<f32>, a5: vec4<f32>, a6: vec4<f32>, a7: vec4<f32>,
) -> Rows {
    return Rows(
        row_step(g.r0, a0, b), row_step(g.r1, a1, b), row_step(g.r2, a2, b), row_step(g.r3, a3, b),
        row_step(g.r4, a4, b), row_step(g.r5, a5, b), row_step(g.r6, a6, b), row_step(g.r7, a7, b),
    );
}

// Of the rows row + SPREAD i + lane.
fn anchors_of(row: u32, lane: u32) -> Anchors {
    let first = row + lane % SPREAD;
    return Anchors(
        anchor_of(first), anchor_of(first + SPREAD), anchor_of(first + 2u * SPREAD), anchor_of(first + 3u * SPREAD),
        anchor_of(first + 4u * SPREAD), anchor_of(first + 5u * SPREAD), anchor_of(first + 6u * SPREAD),
        anchor_of(first + 7u * SPREAD),
    );
}

// Eight rows out of two loads of four lanes.
fn fours(g: Rows, b: Columns, x: vec4<f32>, y: vec4<f32>) -> Rows {
    return eight(
        g, b, held_by(0u, x), held_by(1u, x), held_by(2u, x), held_by(3u, x), held_by(0u, y), held_by(1u, y), held_by(2u, y), held_by(3u, y),
    );
}

// Eight rows out of four loads of two lanes.
fn pairs(g: Rows, b: Columns, x: vec4<f32>, y: vec4<f32>, z: vec4<f32>, w: vec4<f32>) -> Rows {
    return eight(
        g, b, held_by(0u, x), held_by(1u, x), held_by(0u, y), held_by(1u, y), held_by(0u, z), held_by(1u, z), held_by(0u, w), held_by(1u, w),
    );
}

// A lies along k: load_row gives four k of one row.
fn tile_step(acc: Tile, n: Anchors, at: Step, b: Columns) -> Tile {
    let a0 = load_row(n.a0, at);
    let a1 = load_row(n.a1, at);
    let a2 = load_row(n.a2, at);
    let a3 = load_row(n.a3, at);
    if (SPREAD == 4u && TALL == 0u) {
        return Tile(fours(acc.g0, b, a0, a1), fours(acc.g1, b, a2, a3), acc.g2, acc.g3);
    }
    let a4 = load_row(n.a4, at);
    let a5 = load_row(n.a5, at);
    let a6 = load_row(n.a6, at);
    let a7 = load_row(n.a7, at);
    if (SPREAD == 4u) {
        return Tile(
            fours(acc.g0, b, a0, a1), fours(acc.g1, b, a2, a3), fours(acc.g2, b, a4, a5), fours(acc.g3, b, a6, a7),
        );
    }
    if (SPREAD == 2u) {
        return Tile(pairs(acc.g0, b, a0, a1, a2, a3), pairs(acc.g1, b, a4, a5, a6, a7), acc.g2, acc.g3);
    }
    return Tile(eight(acc.g0, b, a0, a1, a2, a3, a4, a5, a6, a7), acc.g1, acc.g2, acc.g3);
}

// The lanes of a set load its first SPREAD vec4s of rows, then, where these are not all, its second.
fn quads_of(row: u32, lane: u32) -> Quads {
    let first = row / 4u + lane % SPREAD;
    return Quads(quad_of(first), quad_of(first + SPREAD));
}

// Eight rows: the four that one lane loaded, the four of another.
fn quads_step(g: Rows, b: Columns, x: mat4x4<f32>, x_lane: u32, y: mat4x4<f32>, y_lane: u32) -> Rows {
    return eight(
        g, b,
        held_by(x_lane, x[0]), held_by(x_lane, x[1]), held_by(x_lane, x[2]), held_by(x_lane, x[3]),
        held_by(y_lane, y[0]), held_by(y_lane, y[1]), held_by(y_lane, y[2]), held_by(y_lane, y[3]),
    );
}

// A lies along its rows: load_quad gives four k of four rows, [i] is the vec4 of rows at k + i. Turned, each lane has four
// k of each of its rows.
fn tile_step_across(acc: Tile, q: Quads, at: Step, b: Columns) -> Tile {
    let low = transpose(load_quad(q.low, at));
    if (SPREAD == 4u && TALL == 0u) {
        return Tile(
            quads_step(acc.g0, b, low, 0u, low, 1u), quads_step(acc.g1, b, low, 2u, low, 3u), acc.g2, acc.g3,
        );
    }
    let high = transpose(load_quad(q.high, at));
    if (SPREAD == 4u) {
        return Tile(
            quads_step(acc.g0, b, low, 0u, low, 1u),
            quads_step(acc.g1, b, low, 2u, low, 3u),
            quads_step(acc.g2, b, high, 0u, high, 1u),
            quads_step(acc.g3, b, high, 2u, high, 3u),
        );
    }
    if (SPREAD == 2u) {
        return Tile(
            quads_step(acc.g0, b, low, 0u, low, 1u), quads_step(acc.g1, b, high, 0u, high, 1u), acc.g2, acc.g3,
        );
    }
    return Tile(quads_step(acc.g0, b, low, 0u, high, 0u), acc.g1, acc.g2, acc.g3);
}

fn put_tile(row: u32, tile: Tile) {
    put_rows(row, tile.g0);
    if (LANE_ROWS > 8u) {
        put_rows(row + 8u, tile.g1);
    }
    if (LANE_ROWS > 16u) {
        put_rows(row + 16u, tile.g2);
        put_rows(row + 24u, tile.g3);
    }
}

@compute @workgroup_size(8)
fn product(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    own_lane = lane;
    compute(linear_group(group, groups), group.z, lane);
}
