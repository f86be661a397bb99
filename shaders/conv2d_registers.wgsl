// The products of conv2d.wgsl by invocations that load what they need into registers: tap by tap, so that where a tap lies
// is found once for all its channels.

fn compute(tile_number: u32, z: u32, local: u32) {
    place = place_of(tile_number, local, params.column_tiles);
    if (INDEPENDENT && (place.row >= rows_total() || place.column_x >= columns_total())) {
        return;
    }
    part = z;
    let column_x = min(place.column_x, columns_total() - 1u);
    let column_y = min(place.column_y, columns_total() - 1u);
    var tile: Tile;
    if (MODE == 2u) {
        let quads = quads_of(place.row, local);
        let start = part * params.chunk;
        let end = min(start + params.chunk, pixels_total());
        way = way_of();
        var pixel = pixel_of(start);
        while (pixel.number < end) {
            let p1 = next_pixel(pixel);
            let p2 = next_pixel(p1);
            let p3 = next_pixel(p2);
            let at = Step(0u, 0u, pixel, p1, p2, p3);
            tile = tile_step_across(tile, quads, at, load_columns(at, column_x, column_y));
            pixel = next_pixel(p3);
        }
    } else {
        var anchors = anchors_of(place.row, local);
        let channels = select(params.cin4, params.cout4, MODE == 1u);
        var tap = 0u;
        for (var tap_y = 0u; tap_y < params.kernel; tap_y++) {
            for (var tap_x = 0u; tap_x < params.kernel; tap_x++) {
                anchors = aim_all(anchors, tap_y, tap_x);
                for (var channel = 0u; channel < channels; channel++) {
                    let at = Step(tap, channel, Pixel(), Pixel(), Pixel(), Pixel());
                    tile = tile_step(tile, anchors, at, load_columns(at, column_x, column_y));
                }
                tap++;
            }
        }
    }
    if (BIAS == 1u) {
        bias_x = bias[column_x];
        if (COLUMNS == 2u) {
            bias_y = bias[column_y];
        }
    }
    put_tile(place.row, tile);
}
