// Third part of similarity matching, behind similarity.wgsl: from the gradient of the deviations to that of z.

@group(0) @binding(1) var<storage, read> apply_df: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> apply_stats: array<vec4<f32>>;
// Binding 3 is the input apply_z, updated in place.

// z becomes its own gradient: df/dz = (z - mean) / (f (spatial - 1)); a constant map has none. A workgroup takes `slab`
// positions of THREADS channel groups, or fewer groups and several positions at once.
@compute @workgroup_size(THREADS)
fn apply(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let lanes = min(params.groups, THREADS);
    let slices = THREADS / lanes;
    let blocks = ceil_div(params.groups, lanes);
    let slabs = ceil_div(params.spatial, params.slab);
    let tile = linear_group(group, groups);
    let local_sample = tile / (blocks * slabs);
    let sample = params.first + local_sample;
    let channel = ((tile / slabs) % blocks) * lanes + local % lanes;
    let slice = local / lanes;
    if (local_sample >= params.count || channel >= params.groups || slice >= slices) {
        return;
    }
    let f = apply_stats[deviation_at(sample) + channel];
    let divisor = f * f32(max(params.spatial, 2u) - 1u);
    let df = apply_df[sample * params.groups + channel];
    let coefficient = select(df / divisor, vec4<f32>(0.0), f == vec4<f32>(0.0));
    let mean = apply_stats[mean_at(sample) + channel];
    let start = (tile % slabs) * params.slab;
    let end = min(start + params.slab, params.spatial);
    for (var position = start + slice; position < end; position += slices) {
        let at = (local_sample * params.spatial + position) * params.groups + channel;
        apply_z_buffer[at] = coefficient * (apply_z(at) - mean);
    }
}
