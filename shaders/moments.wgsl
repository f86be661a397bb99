// Behind a tile of a product whose columns are to be normalised: their moments over the tile's rows, for
// batchnorm_finish.wgsl, so that nothing reads the product only for them. Behind the files of a workgroup family.
//
// First the mean, from the sum of the distances from the tile's first row, then the squared distances from that mean: an
// error of either moves the sign of whatever is close to an activation's kink.

// [slots][mean | sum of squared deviations] of vec4 columns, a slot for each row of tiles.
@group(0) @binding(5) var<storage, read_write> moments: array<vec4<f32>>;

// None for rows past the end.
fn distance_of(own: Own, n: u32, value: Row, origin: Row) -> Row {
    let inside = own.first + n % 4u * own.step + n / 4u * own.jump < rows_total();
    let none = vec4<f32>(0.0);
    return Row(select(none, value.x - origin.x, inside), select(none, value.y - origin.y, inside));
}

fn distances(own: Own, origin: Row) -> Rows {
    let v = own.values;
    return Rows(
        distance_of(own, 0u, v.r0, origin), distance_of(own, 1u, v.r1, origin),
        distance_of(own, 2u, v.r2, origin), distance_of(own, 3u, v.r3, origin),
        distance_of(own, 4u, v.r4, origin), distance_of(own, 5u, v.r5, origin),
        distance_of(own, 6u, v.r6, origin), distance_of(own, 7u, v.r7, origin),
    );
}

fn plus(a: Row, b: Row) -> Row {
    return Row(a.x + b.x, a.y + b.y);
}

fn square(a: Row) -> Row {
    return Row(a.x * a.x, a.y * a.y);
}

fn sum_of(g: Rows) -> Row {
    return plus(plus(plus(g.r0, g.r1), plus(g.r2, g.r3)), plus(plus(g.r4, g.r5), plus(g.r6, g.r7)));
}

// Of the columns of which this invocation has some rows, the sums over all rows: of the first columns where it is the first of
// the invocations that share them, of the second where it is the second; of nothing for the others.
fn sum_over_tile(own: Own, share: Row) -> vec4<f32> {
    workgroupBarrier();
    put_on_board(own.down * FOURS + own.x, share.x);
    put_on_board(own.down * FOURS + own.y, share.y);
    workgroupBarrier();
    var sum = vec4<f32>(0.0);
    if (own.down < 2u) {
        let column = select(own.x, own.y, own.down == 1u);
        for (var line = 0u; line < SIDE; line++) {
            sum += on_board(line * FOURS + column);
        }
    }
    return sum;
}

// The sums of the first columns are known to the first of the invocations that share them, those of the second to the second;
// now all of them know.
fn told(own: Own, sum: vec4<f32>) -> Row {
    workgroupBarrier();
    if (own.down < 2u) {
        put_on_board(select(own.x, own.y, own.down == 1u), sum);
    }
    workgroupBarrier();
    return Row(on_board(own.x), on_board(own.y));
}

fn close_tile(task: Task, own: Own) {
    let v = own.values;
    workgroupBarrier();
    if (own.down == 0u) {
        put_on_board(own.x, v.r0.x);
        put_on_board(own.y, v.r0.y);
    }
    workgroupBarrier();
    let origin = Row(on_board(own.x), on_board(own.y));
    let first_row = 4u * task.first_four;
    let count = f32(min(4u * FOURS, rows_total() - first_row));
    let off = told(own, sum_over_tile(own, sum_of(distances(own, origin))));
    let mean = Row(origin.x + off.x / count, origin.y + off.y / count);
    let d = distances(own, mean);
    let m2 = sum_over_tile(own, sum_of(Rows(
        square(d.r0), square(d.r1), square(d.r2), square(d.r3), square(d.r4), square(d.r5), square(d.r6), square(d.r7),
    )));
    let second = own.down == 1u;
    let column = task.first_column + select(own.x, own.y, second);
    if (own.down > 1u || column > task.last_column) {
        return;
    }
    var shift = vec4<f32>(0.0);
    if (BIAS == 1u) {
        shift = bias[column];
    }
    let slot = params.first_slot + first_row / (4u * FOURS);
    let at = 2u * slot * columns_total() + column;
    moments[at] = select(mean.x, mean.y, second) + shift;
    moments[at + columns_total()] = m2;
}
