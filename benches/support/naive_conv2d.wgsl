// The yardstick of the convolutions, written the obvious way: one invocation an element of the result, for which it runs
// over all that the element depends on. x [N, H, W, cin], w [K, K, cin, cout], y [N, OH, OW, cout]. On purpose without
// vec4s, tiles or split sums. Of stride 1.

struct Params {
    batch: u32,
    height: u32,
    width: u32,
    cin: u32,
    cout: u32,
    kernel: u32,
    pad: u32,
    out_height: u32,
    out_width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;

// An element's number; invocations of a workgroup have neighbours, that is channels of one pixel.
fn number(id: vec3<u32>, groups: vec3<u32>) -> u32 {
    return id.y * groups.x * 64u + id.x;
}

fn x_at(sample: u32, y: u32, x: u32) -> u32 {
    return ((sample * params.height + y) * params.width + x) * params.cin;
}

fn y_at(sample: u32, y: u32, x: u32) -> u32 {
    return ((sample * params.out_height + y) * params.out_width + x) * params.cout;
}

// y from x (a) and w (b).
@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = number(id, groups);
    if (index >= params.batch * params.out_height * params.out_width * params.cout) {
        return;
    }
    let channel = index % params.cout;
    let pixel = index / params.cout;
    let out_x = pixel % params.out_width;
    let out_y = pixel / params.out_width % params.out_height;
    let sample = pixel / params.out_width / params.out_height;
    var sum = 0.0;
    for (var tap_y = 0u; tap_y < params.kernel; tap_y++) {
        for (var tap_x = 0u; tap_x < params.kernel; tap_x++) {
            // Above and left of the picture wraps to a large number.
            let y = out_y + tap_y - params.pad;
            let x = out_x + tap_x - params.pad;
            if (y < params.height && x < params.width) {
                let w = (tap_y * params.kernel + tap_x) * params.cin;
                for (var i = 0u; i < params.cin; i++) {
                    sum += a[x_at(sample, y, x) + i] * b[(w + i) * params.cout + channel];
                }
            }
        }
    }
    result[index] = sum;
}

// dx from dy (a) and w (b).
@compute @workgroup_size(64)
fn backward_input(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = number(id, groups);
    if (index >= params.batch * params.height * params.width * params.cin) {
        return;
    }
    let channel = index % params.cin;
    let pixel = index / params.cin;
    let x = pixel % params.width;
    let y = pixel / params.width % params.height;
    let sample = pixel / params.width / params.height;
    var sum = 0.0;
    for (var tap_y = 0u; tap_y < params.kernel; tap_y++) {
        for (var tap_x = 0u; tap_x < params.kernel; tap_x++) {
            let out_y = y + params.pad - tap_y;
            let out_x = x + params.pad - tap_x;
            if (out_y < params.out_height && out_x < params.out_width) {
                let w = ((tap_y * params.kernel + tap_x) * params.cin + channel) * params.cout;
                for (var o = 0u; o < params.cout; o++) {
                    sum += a[y_at(sample, out_y, out_x) + o] * b[w + o];
                }
            }
        }
    }
    result[index] = sum;
}

// dw from x (a) and dy (b).
@compute @workgroup_size(64)
fn backward_weight(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let index = number(id, groups);
    if (index >= params.kernel * params.kernel * params.cin * params.cout) {
        return;
    }
    let out_channel = index % params.cout;
    let channel = index / params.cout % params.cin;
    let tap = index / params.cout / params.cin;
    var sum = 0.0;
    for (var sample = 0u; sample < params.batch; sample++) {
        for (var out_y = 0u; out_y < params.out_height; out_y++) {
            let y = out_y + tap / params.kernel - params.pad;
            for (var out_x = 0u; out_x < params.out_width; out_x++) {
                let x = out_x + tap % params.kernel - params.pad;
                if (y < params.height && x < params.width) {
                    sum += a[x_at(sample, y, x) + channel] * b[y_at(sample, out_y, out_x) + out_channel];
                }
            }
        }
    }
    result[index] = sum;
}
