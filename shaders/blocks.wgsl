// How a workgroup of SIDE x SIDE invocations fills its tiles of A and B: of every SIDE k of the sum, half of the invocations
// fetch a block of four rows by four k of A each, the other half one of B, turned so that every access to workgroup
// memory is a vec4. At the end every invocation hands what it has of C to `close_tile`.
//
// The kernel says which groups of four k are its part's (`groups_of`), where C ends (`bounds`), which of A and B lie along k
// (A_ALONG, B_ALONG), and loads blocks (`block_a`, `block_b`); `start_rows` comes before the first block of A,
// `start_writing` before the first `put`. element_f32.wgsl or element_f16.wgsl says what a tile holds, the family how
// far apart the rows of a tile lie (PITCH).

// From `begin` to before `end`.
struct Groups {
    begin: u32,
    end: u32,
}

// What an invocation ends with: eight rows of two vec4 columns, which SIDE invocations share.
struct Own {
    values: Rows,
    // Row n is row first + n % 4 * step + n / 4 * jump of C.
    first: u32,
    step: u32,
    jump: u32,
    // Which of those that share the columns it is; the one with the tile's first row, as row 0, comes first.
    down: u32,
    // The columns in the tile.
    x: u32,
    y: u32,
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
var<workgroup> tile_a: array<Element, 4u * DEPTH * PITCH>;
var<workgroup> tile_b: array<Element, 4u * DEPTH * PITCH>;

// Which block an invocation fetches: of A or of B, which four of its rows or vec4 column of the matrix, which group of
// a step.
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

// What an invocation has to do: where its workgroup's tile begins, in fours of rows and in vec4 columns, over which
// groups it sums, and what it fetches.
struct Task {
    first_four: u32,
    first_column: u32,
    groups: Groups,
    errand: Errand,
    last_column: u32,   // of the matrix
}

fn task_of(group: vec3<u32>, grid: vec3<u32>, local: u32) -> Task {
    let number = linear_group(group, grid);
    let row_tile = number / params.column_tiles;
    let first_four = row_tile * FOURS;
    let first_column = (number - row_tile * params.column_tiles) * FOURS;
    let groups = groups_of(group.z);
    let errand = errand_of(local, first_four, first_column);
    if (errand.for_a) {
        start_rows(errand.four);
    }
    return Task(first_four, first_column, groups, errand, bounds().columns - 1u);
}

// Groups behind the end count nothing.
fn fetch(task: Task, step: u32) -> mat4x4<f32> {
    let errand = task.errand;
    let group = step + errand.group;
    if (group >= task.groups.end) {
        return mat4x4<f32>();
    }
    if (errand.for_a) {
        return block_a(errand.four, group);
    }
    return block_b(group, min(errand.four, task.last_column));
}

fn store(errand: Errand, block: mat4x4<f32>) {
    let at = errand.group * 4u * PITCH + errand.own;
    if (errand.for_a) {
        let scale = params.scale_a;
        tile_a[at] = element(block[0], scale);
        tile_a[at + PITCH] = element(block[1], scale);
        tile_a[at + 2u * PITCH] = element(block[2], scale);
        tile_a[at + 3u * PITCH] = element(block[3], scale);
    } else {
        let scale = params.scale_b;
        tile_b[at] = element(block[0], scale);
        tile_b[at + PITCH] = element(block[1], scale);
        tile_b[at + 2u * PITCH] = element(block[2], scale);
        tile_b[at + 3u * PITCH] = element(block[3], scale);
    }
}
