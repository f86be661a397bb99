// The sum of a value over a workgroup. Constant: THREADS, a multiple of 8.

var<workgroup> part_sum: array<f32, THREADS>;
var<workgroup> block_sum: array<f32, THREADS / 8u>;

// In a fixed order, two levels deep; every invocation calls it, and gets it.
fn workgroup_sum(local: u32, value: vec4<f32>) -> f32 {
    part_sum[local] = (value.x + value.y) + (value.z + value.w);
    workgroupBarrier();
    if (local < THREADS / 8u) {
        var sum = 0.0;
        for (var i = 0u; i < 8u; i++) {
            sum += part_sum[local * 8u + i];
        }
        block_sum[local] = sum;
    }
    workgroupBarrier();
    if (local == 0u) {
        var total = 0.0;
        for (var i = 0u; i < THREADS / 8u; i++) {
            total += block_sum[i];
        }
        part_sum[0] = total;
    }
    return workgroupUniformLoad(&part_sum[0]);
}
