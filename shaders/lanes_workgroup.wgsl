// The family for GPUs, whose workgroups have fast memory of their own: SIDE x SIDE invocations make a tile of 8 SIDE rows by
// 2 SIDE vec4 columns, eight rows by two vec4 columns each. Of every SIDE k of the sum, half of the invocations fetch a
// block of four rows by four k of A each, the other half one of B, turned so that every access to workgroup memory is a
// vec4. While these are multiplied, the next ones are on their way from memory to registers.
//
// An invocation's rows are two fours, SIDE fours apart, and so are its columns: neighbours then read neighbouring vec4s,
// which meet no bank twice. Tiles of A and B with SIDE 16 take 16 KiB together, all that WebGPU promises.
//
// The kernel says which groups of four k are its part's (`groups_of`), where C ends (`bounds`), which of A and B lie along k
// (A_ALONG, B_ALONG), and loads blocks (`block_a`, `block_b`); `start_rows` comes before the first block of A,
// `start_writing` before the first `put`.

// From `begin` to before `end`.
struct Groups {
    begin: u32,
    end: u32,
}

// Rows and vec4 columns of C.
struct Bounds {
    rows: u32,
    columns: u32,
}

const FOURS: u32 = 2u * SIDE;
const DEPTH: u32 = SIDE / 4u;
const BLOCKS: u32 = FOURS * DEPTH;

// [k][four of rows], [k][vec4 column]
var<workgroup> tile_a: array<vec4<f32>, 4u * BLOCKS>;
var<workgroup> tile_b: array<vec4<f32>, 4u * BLOCKS>;

// Which block an invocation fetches: of A or of B, which four of its rows or vec4 column of the matrix, which group of a step.
struct Errand {
    for_a: bool,
    four: u32,
    own: u32,
    group: u32,
}

// Neighbours fetch what neighbours in memory, along k where the matrix lies along k.
fn errand_of(local: u32, first_four: u32, first_column: u32) -> Errand {
    let number = local % BLOCKS;
    let for_a = local < BLOCKS;
    let along = select(B_ALONG, A_ALONG, for_a);
    let own = select(number % FOURS, number / DEPTH, along);
    let group = select(number / FOURS, number % DEPTH, along);
    return Errand(for_a, select(first_column, first_four, for_a) + own, own, group);
}

// Groups behind the end count nothing.
fn fetch(errand: Errand, step: u32, groups: Groups, last_column: u32) -> mat4x4<f32> {
    let group = step + errand.group;
    if (group >= groups.end) {
        return mat4x4<f32>();
    }
    if (errand.for_a) {
        return block_a(errand.four, group);
    }
    return block_b(group, min(errand.four, last_column));
}

fn store(errand: Errand, block: mat4x4<f32>) {
    let at = errand.group * 4u * FOURS + errand.own;
    if (errand.for_a) {
        tile_a[at] = block[0];
        tile_a[at + FOURS] = block[1];
        tile_a[at + 2u * FOURS] = block[2];
        tile_a[at + 3u * FOURS] = block[3];
    } else {
        tile_b[at] = block[0];
        tile_b[at + FOURS] = block[1];
        tile_b[at + 2u * FOURS] = block[2];
        tile_b[at + 3u * FOURS] = block[3];
    }
}

fn outer_row(acc: Row, a: f32, x: vec4<f32>, y: vec4<f32>) -> Row {
    return Row(fma(x, vec4<f32>(a), acc.x), fma(y, vec4<f32>(a), acc.y));
}

fn outer(g: Rows, low: vec4<f32>, high: vec4<f32>, x: vec4<f32>, y: vec4<f32>) -> Rows {
    return Rows(
        outer_row(g.r0, low.x, x, y), outer_row(g.r1, low.y, x, y), outer_row(g.r2, low.z, x, y), outer_row(g.r3, low.w, x, y),
        outer_row(g.r4, high.x, x, y), outer_row(g.r5, high.y, x, y), outer_row(g.r6, high.z, x, y), outer_row(g.r7, high.w, x, y),
    );
}

@compute @workgroup_size(SIDE * SIDE)
fn product(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let number = linear_group(group, grid);
    let row_tile = number / params.column_tiles;
    let first_four = row_tile * FOURS;
    let first_column = (number - row_tile * params.column_tiles) * FOURS;
    let limits = bounds();
    let groups = groups_of(group.z);
    let errand = errand_of(local, first_four, first_column);
    if (errand.for_a) {
        start_rows(errand.four);
    }
    let down = local / SIDE;
    let across = local % SIDE;
    var rows: Rows;
    var block = fetch(errand, groups.begin, groups, limits.columns - 1u);
    for (var step = groups.begin; step < groups.end; step += DEPTH) {
        workgroupBarrier();
        store(errand, block);
        workgroupBarrier();
        block = fetch(errand, step + DEPTH, groups, limits.columns - 1u);
        for (var k = 0u; k < 4u * DEPTH; k++) {
            let at = k * FOURS;
            rows = outer(
                rows, tile_a[at + down], tile_a[at + SIDE + down], tile_b[at + across], tile_b[at + SIDE + across],
            );
        }
    }
    start_writing(group.z, first_column + across, first_column + SIDE + across);
    let low = 4u * (first_four + down);
    put(low, rows.r0);
    put(low + 1u, rows.r1);
    put(low + 2u, rows.r2);
    put(low + 3u, rows.r3);
    let high = low + 4u * SIDE;
    put(high, rows.r4);
    put(high + 1u, rows.r5);
    put(high + 2u, rows.r6);
    put(high + 3u, rows.r7);
}
