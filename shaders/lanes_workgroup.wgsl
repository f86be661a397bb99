// The family for GPUs, whose workgroups have fast memory of their own: SIDE x SIDE invocations make a tile of 8 SIDE rows by
// 2 SIDE vec4 columns, eight rows by two vec4 columns each, out of the blocks that they fetch (blocks.wgsl). While these are
// multiplied, the next ones are on their way from memory to registers.
//
// An invocation's rows are two fours, SIDE fours apart, and so are its columns: neighbours then read neighbouring vec4s,
// which meet no bank twice. Tiles of A and B with SIDE 16 take 16 KiB together in f32, all that WebGPU promises.

const PITCH: u32 = FOURS;

fn outer_row(acc: Row, a: f32, x: vec4<f32>, y: vec4<f32>) -> Row {
    return Row(fma(x, vec4<f32>(a), acc.x), fma(y, vec4<f32>(a), acc.y));
}

fn outer(g: Rows, low: vec4<f32>, high: vec4<f32>, x: vec4<f32>, y: vec4<f32>) -> Rows {
    return Rows(
        outer_row(g.r0, low.x, x, y), outer_row(g.r1, low.y, x, y), outer_row(g.r2, low.z, x, y), outer_row(g.r3, low.w, x, y),
        outer_row(g.r4, high.x, x, y), outer_row(g.r5, high.y, x, y), outer_row(g.r6, high.z, x, y), outer_row(g.r7, high.w, x, y),
    );
}

fn unscaled_row(sums: Row) -> Row {
    return Row(unscaled(sums.x), unscaled(sums.y));
}

fn unscaled_rows(g: Rows) -> Rows {
    return Rows(
        unscaled_row(g.r0), unscaled_row(g.r1), unscaled_row(g.r2), unscaled_row(g.r3),
        unscaled_row(g.r4), unscaled_row(g.r5), unscaled_row(g.r6), unscaled_row(g.r7),
    );
}

@compute @workgroup_size(SIDE * SIDE)
fn product(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let task = task_of(group, grid, local);
    let down = local / SIDE;
    let across = local % SIDE;
    var rows: Rows;
    var block = fetch(task, task.groups.begin);
    for (var step = task.groups.begin; step < task.groups.end; step += DEPTH) {
        workgroupBarrier();
        store(task.errand, block);
        workgroupBarrier();
        block = fetch(task, step + DEPTH);
        for (var k = 0u; k < 4u * DEPTH; k++) {
            let at = k * PITCH;
            rows = outer(
                rows,
                vec4<f32>(tile_a[at + down]), vec4<f32>(tile_a[at + SIDE + down]),
                vec4<f32>(tile_b[at + across]), vec4<f32>(tile_b[at + SIDE + across]),
            );
        }
    }
    start_writing(group.z, task.first_column + across, task.first_column + SIDE + across);
    let low = 4u * (task.first_four + down);
    let high = low + 4u * SIDE;
    let c = unscaled_rows(rows);
    put(low, c.r0);
    put(low + 1u, c.r1);
    put(low + 2u, c.r2);
    put(low + 3u, c.r3);
    put(high, c.r4);
    put(high + 1u, c.r5);
    put(high + 2u, c.r6);
    put(high + 3u, c.r7);
    close_tile(task, Own(c, low, 1u, 4u * SIDE, down, across, SIDE + across));
}
