// The sum of a value over the 64 invocations of a workgroup, in a fixed order.

var<workgroup> lane_values: array<f32, 64>;
var<workgroup> eight_values: array<f32, 8>;

// Added up in two levels of eight; invocation 0 gets the sum. All invocations have to call it.
fn workgroup_total(lane: u32, value: f32) -> f32 {
    lane_values[lane] = value;
    workgroupBarrier();
    if (lane < 8u) {
        var eight = 0.0;
        for (var other = 0u; other < 8u; other += 1u) {
            eight += lane_values[8u * lane + other];
        }
        eight_values[lane] = eight;
    }
    workgroupBarrier();
    var total = 0.0;
    if (lane == 0u) {
        for (var eight = 0u; eight < 8u; eight += 1u) {
            total += eight_values[eight];
        }
    }
    return total;
}
