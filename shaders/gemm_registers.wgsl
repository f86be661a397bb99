// The product of gemm.wgsl by invocations that load what they need into registers.

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
        for (var k = span.begin; k < span.end; k += 4u) {
            tile = tile_step_across(tile, quads, Step(k), load_columns(k, x, y));
        }
    } else {
        let anchors = anchors_of(place.row, local);
        for (var k = span.begin; k < span.end; k += 4u) {
            tile = tile_step(tile, anchors, Step(k), load_columns(k, x, y));
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
