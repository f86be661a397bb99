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

// Three vec4s that do not wait for each other: enough to hide the latency of an addition, and few enough to stay within the
// sixteen vector registers of a CPU.
struct Chains {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
}

// What it takes is handed down: read in every step it would cost the software driver a tenth.
fn step(x: Chains, scale: vec4<f32>, shift: vec4<f32>) -> Chains {
    return Chains(fma(x.a, scale, shift), fma(x.b, scale, shift), fma(x.c, scale, shift));
}

fn four_steps(x: Chains, scale: vec4<f32>, shift: vec4<f32>) -> Chains {
    return step(step(step(step(x, scale, shift), scale, shift), scale, shift), scale, shift);
}

// Multiply-adds on registers only, 32 of each chain a round: what the driver adds to every turn of a loop, Mesa's software
// driver a blend of every vector, shall not count.
@compute @workgroup_size(64)
fn multiply_add(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear_group(group, groups) * 64u + local;
    let start = f32(index % 8u);
    var x = Chains(vec4<f32>(start), vec4<f32>(start + 8.0), vec4<f32>(start + 16.0));
    let scale = vec4<f32>(params.scale);
    let shift = vec4<f32>(params.shift);
    for (var round = 0u; round < params.count; round++) {
        x = four_steps(x, scale, shift);
        x = four_steps(x, scale, shift);
        x = four_steps(x, scale, shift);
        x = four_steps(x, scale, shift);
        x = four_steps(x, scale, shift);
        x = four_steps(x, scale, shift);
        x = four_steps(x, scale, shift);
        x = four_steps(x, scale, shift);
    }
    if (index < params.grid) {
        results[index] = x.a + x.b + x.c;
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
