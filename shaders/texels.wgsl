// Where vec4 i of a mirrored slice lies in its texture (src/gpu/mirror.rs).
fn texel(i: u32) -> vec2<u32> {
    return vec2<u32>(i & 1023u, i >> 10u);
}
