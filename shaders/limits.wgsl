// The yardsticks that kernels are measured against: what the adapter's arithmetic and its memory give at most.

struct Params {
    count: u32,     // rounds of multiply-adds, or vec4s to copy
    grid: u32,      // invocations
    scale: f32,
    shift: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> copied: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> results: array<vec4<f32>>;

// Multiply-adds on registers only: three vec4s that do not wait for each other, eight times a round. That is enough to hide
// the latency of an addition, and few enough to stay within the sixteen vector registers of a CPU.
@compute @workgroup_size(64)
fn multiply_add(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * 64u + local;
    let start = f32(index % 8u);
    let scale = vec4<f32>(params.scale);
    let shift = vec4<f32>(params.shift);
    var a = vec4<f32>(start);
    var b = vec4<f32>(start + 8.0);
    var c = vec4<f32>(start + 16.0);
    for (var round = 0u; round < params.count; round++) {
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
        a = fma(a, scale, shift);
        b = fma(b, scale, shift);
        c = fma(c, scale, shift);
    }
    if (index < params.grid) {
        results[index] = a + b + c;
    }
}

// One vec4 an invocation and turn, neighbours side by side.
@compute @workgroup_size(64)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    for (var i = linear_group(group, groups) * 64u + local; i < params.count; i += params.grid) {
        copied[i] = source[i];
    }
}
