// The product of gemm.wgsl by invocations that load what they need into registers.

// Where a step's four k begin. A second step may lie behind the end of the sum: it is the last one again, without B.
fn step_at(k: u32) -> Step {
    return Step(min(k, (params.k - 1u) / 4u * 4u));
}

// What an invocation loads of B for its steps from `k` on.
fn load_own(k: u32, local: u32, x: u32, y: u32) -> Columns {
    if (STEPS == 1u) {
        return load_columns(k, x, y);
    }
    let own = k + own_step(local) * 4u;
    let scale = select(0.0, 1.0, own < params.k);
    let columns = load_columns(step_at(own).k, x, y);
    return Columns(columns.x * scale, columns.y * scale);
}

fn compute(tile_number: u32, z: u32, local: u32) {
    place = place_of(tile_number, local, params.column_tiles);
    if (INDEPENDENT && (place.row >= params.m || place.column_x >= params.n4)) {
        return;
    }
    part = z;
    let x = min(place.column_x, params.n4 - 1u);
    let y = min(place.column_y, params.n4 - 1u);
    let span = span_of(z);
    var tile: Tile;
    if (OP == 2u) {
        let quads = quads_of(place.row, local);
        for (var k = span.begin; k < span.end; k += 4u * STEPS) {
            let loaded = load_own(k, local, x, y);
            tile = tile_step_across(tile, quads, Step(k), columns_of(0u, loaded));
            if (STEPS == 2u) {
                tile = tile_step_across(tile, quads, step_at(k + 4u), columns_of(1u, loaded));
            }
        }
    } else {
        let anchors = anchors_of(place.row, local);
        for (var k = span.begin; k < span.end; k += 4u * STEPS) {
            let loaded = load_own(k, local, x, y);
            tile = tile_step(tile, anchors, Step(k), columns_of(0u, loaded));
            if (STEPS == 2u) {
                tile = tile_step(tile, anchors, step_at(k + 4u), columns_of(1u, loaded));
            }
        }
    }
    if (BIAS == 1u) {
        bias_x = bias[x];
        if (COLUMNS == 2u) {
            bias_y = bias[y];
        }
    }
    put_tile(place.row, tile);
}
