// The family for GPUs with units for whole matrices, which WebGPU does not know and wgpu calls cooperative matrices.
// SIDE x SIDE (16 x 16) invocations make a tile of 128 rows by 32 vec4 columns out of the blocks that they fetch
// (blocks.wgsl), in f16. Each subgroup owns 4 by 2 matrices of MATRIX x MATRIX sums (matrices8.wgsl, matrices16.wgsl),
// in f32: for every MATRIX k it loads six matrices from workgroup memory and multiplies eight pairs.
//
// What a lane holds of a matrix is the driver's secret, so sums leave through workgroup memory, a matrix at a time; a lane
// takes two rows of it.
//
// Rows of a tile are 16 bytes longer than they need be, lest the rows of a matrix meet in the same banks.

const PITCH: u32 = FOURS + 2u;
const SUBGROUPS: u32 = SIDE * SIDE / LANES;
// The rows and the vec4 columns of a subgroup, and how many subgroups lie side by side.
const OWN_ROWS: u32 = 4u * MATRIX;
const OWN_COLUMNS: u32 = 2u * MATRIX / 4u;
const ABREAST: u32 = FOURS / OWN_COLUMNS;
const MATRIX_VEC4S: u32 = MATRIX * MATRIX / 4u;

// Vec4 columns of a matrix, and how far apart the rows are that a lane takes of it.
const MATRIX_COLUMNS: u32 = MATRIX / 4u;
const APART: u32 = LANES / MATRIX_COLUMNS;

// Which lane of which subgroup this is.
struct Member {
    subgroup: u32,
    lane: u32,
}

// A lane's rows of a matrix.
struct Pair {
    near: vec4<f32>,
    far: vec4<f32>,
}

// Writes a matrix of sums whose first row and vec4 column in C are these.
fn put_matrix(sums: Sums, member: Member, z: u32, first_row: u32, first_column: u32) -> Pair {
    let base = member.subgroup * MATRIX_VEC4S;
    workgroupBarrier();
    coopStoreT(sums, &board[base], MATRIX_COLUMNS);
    workgroupBarrier();
    let column = first_column + member.lane % MATRIX_COLUMNS;
    let row = first_row + member.lane / MATRIX_COLUMNS;
    let pair = Pair(unscaled(board[base + member.lane]), unscaled(board[base + LANES + member.lane]));
    start_writing(z, column, column);
    put(row, Row(pair.near, pair.near));
    put(row + APART, Row(pair.far, pair.far));
    return pair;
}

@compute @workgroup_size(SIDE * SIDE)
fn product(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let task = task_of(group, grid, local);
    let own_row = subgroup / ABREAST * OWN_ROWS;
    let own_column = subgroup % ABREAST * OWN_COLUMNS;
    var c00: Sums;
    var c01: Sums;
    var c10: Sums;
    var c11: Sums;
    var c20: Sums;
    var c21: Sums;
    var c30: Sums;
    var c31: Sums;
    var block = fetch(task, task.groups.begin);
    for (var step = task.groups.begin; step < task.groups.end; step += DEPTH) {
        workgroupBarrier();
        store(task.errand, block);
        workgroupBarrier();
        block = fetch(task, step + DEPTH);
        for (var k = 0u; k < 4u * DEPTH; k += MATRIX) {
            let at_a = k * PITCH + own_row / 4u;
            let at_b = k * PITCH + own_column;
            let b0 = coopLoadT<Right>(&tile_b[at_b], PITCH);
            let b1 = coopLoadT<Right>(&tile_b[at_b + MATRIX / 4u], PITCH);
            let a0 = coopLoad<Left>(&tile_a[at_a], PITCH);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            let a1 = coopLoad<Left>(&tile_a[at_a + MATRIX / 4u], PITCH);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            let a2 = coopLoad<Left>(&tile_a[at_a + 2u * MATRIX / 4u], PITCH);
            c20 = coopMultiplyAdd(a2, b0, c20);
            c21 = coopMultiplyAdd(a2, b1, c21);
            let a3 = coopLoad<Left>(&tile_a[at_a + 3u * MATRIX / 4u], PITCH);
            c30 = coopMultiplyAdd(a3, b0, c30);
            c31 = coopMultiplyAdd(a3, b1, c31);
        }
    }
    let member = Member(subgroup, lane);
    let row = 4u * task.first_four + own_row;
    let left = task.first_column + own_column;
    let right = left + MATRIX_COLUMNS;
    let m00 = put_matrix(c00, member, group.z, row, left);
    let m01 = put_matrix(c01, member, group.z, row, right);
    let m10 = put_matrix(c10, member, group.z, row + MATRIX, left);
    let m11 = put_matrix(c11, member, group.z, row + MATRIX, right);
    let m20 = put_matrix(c20, member, group.z, row + 2u * MATRIX, left);
    let m21 = put_matrix(c21, member, group.z, row + 2u * MATRIX, right);
    let m30 = put_matrix(c30, member, group.z, row + 3u * MATRIX, left);
    let m31 = put_matrix(c31, member, group.z, row + 3u * MATRIX, right);
    let c = Rows(
        Row(m00.near, m01.near), Row(m00.far, m01.far), Row(m10.near, m11.near), Row(m10.far, m11.far),
        Row(m20.near, m21.near), Row(m20.far, m21.far), Row(m30.near, m31.near), Row(m30.far, m31.far),
    );
    let line = lane / MATRIX_COLUMNS;
    let x = own_column + lane % MATRIX_COLUMNS;
    let down = subgroup / ABREAST * APART + line;
    close_tile(task, Own(c, row + line, APART, 2u * MATRIX, down, x, x + MATRIX_COLUMNS));
}
