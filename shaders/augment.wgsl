// Packed u8 pictures [N, H, W, C] to normalised f32 [N, H, W, pad4(C)]: shifted crop with black outside, then a
// horizontal flip, then (byte / 255 - mean) / std; and cutout of what that gave. Constants: THREADS, CHANNELS (1 or 3),
// ROWS: 1 writes a grey picture as a row [pad4(H W)] for a dense layer, without a map's pad lanes.

struct Params {
    mean: vec4<f32>,
    inverse_std: vec4<f32>,     // 0 in pad lanes
    batch: u32,
    height: u32,
    width: u32,
    row: u32,                   // floats of a sample
    first: u32,                 // which of all samples the pictures begin with
    spare0: u32,
    spare1: u32,
    spare2: u32,
}

struct CropFlip {
    dy: i32,
    dx: i32,
    flip: u32,
    pad: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
@group(0) @binding(2) var<storage, read> crops: array<CropFlip>;
@group(0) @binding(3) var<storage, read_write> pictures: array<f32>;

fn byte_at(index: u32) -> f32 {
    return f32((pixels[index >> 2u] >> (8u * (index & 3u))) & 255u);
}

// One invocation a pixel.
@compute @workgroup_size(THREADS)
fn augment(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * THREADS + local;
    if (index >= params.batch * params.height * params.width) {
        return;
    }
    let line = index / params.width;
    let sample = line / params.height;
    let crop = crops[params.first + sample];
    let column = index - line * params.width;
    let cropped = select(column, params.width - 1u - column, crop.flip != 0u);
    // A shift out of the picture on either side wraps to a large number and fails the comparison.
    let y = bitcast<u32>(i32(line - sample * params.height) + crop.dy);
    let x = bitcast<u32>(i32(cropped) + crop.dx);
    var bytes = vec4<f32>(0.0);
    if (y < params.height && x < params.width) {
        let at = (((params.first + sample) * params.height + y) * params.width + x) * CHANNELS;
        if (CHANNELS == 1u) {
            bytes.x = byte_at(at);
        } else {
            bytes = vec4<f32>(byte_at(at), byte_at(at + 1u), byte_at(at + 2u), 0.0);
        }
    }
    let values = (bytes / 255.0 - params.mean) * params.inverse_std;
    let pixels_of_one = params.height * params.width;
    let pixel = index - sample * pixels_of_one;
    if (ROWS == 1u) {
        let at = sample * params.row + pixel;
        pictures[at] = values.x;
        if (pixel + 1u == pixels_of_one) {
            for (var lane = pixels_of_one; lane < params.row; lane++) {
                pictures[sample * params.row + lane] = 0.0;
            }
        }
    } else {
        let at = sample * params.row + 4u * pixel;
        pictures[at] = values.x;
        pictures[at + 1u] = values.y;
        pictures[at + 2u] = values.z;
        pictures[at + 3u] = values.w;
    }
}

struct CutoutParams {
    batch: u32,
    height: u32,
    width: u32,
    row: u32,                   // floats of a sample
    holes: u32,                 // of a sample
    half: i32,                  // half the side of a hole
    first: u32,                 // which of all samples the pictures begin with
    spare: u32,
}

@group(0) @binding(0) var<uniform> cut: CutoutParams;
@group(0) @binding(1) var<storage, read> centres: array<vec2<i32>>;     // row, column
@group(0) @binding(2) var<storage, read_write> cut_pictures: array<f32>;

// One invocation a pixel, so that holes that overlap need no order.
@compute @workgroup_size(THREADS)
fn cutout(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * THREADS + local;
    if (index >= cut.batch * cut.height * cut.width) {
        return;
    }
    let line = index / cut.width;
    let sample = line / cut.height;
    let at = vec2<i32>(i32(line - sample * cut.height), i32(index - line * cut.width));
    var inside = false;
    for (var hole = 0u; hole < cut.holes; hole++) {
        let offset = at - centres[(cut.first + sample) * cut.holes + hole];
        inside = inside || (all(offset >= vec2<i32>(-cut.half)) && all(offset < vec2<i32>(cut.half)));
    }
    if (!inside) {
        return;
    }
    let pixel = index - sample * cut.height * cut.width;
    if (ROWS == 1u) {
        cut_pictures[sample * cut.row + pixel] = 0.0;
    } else {
        for (var lane = 0u; lane < 4u; lane++) {
            cut_pictures[sample * cut.row + 4u * pixel + lane] = 0.0;
        }
    }
}
