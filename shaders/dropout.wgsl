// Dropout without stored masks: whether an element stays is a hash of the seed, the step, the stream and the element's
// number, so the backward pass is the forward pass on the gradient.

struct Params {
    batch: u32,
    spatial: u32,
    groups: u32,
    span: u32,
    // Slots of `span` rows a sample; a slot never straddles two samples.
    slots: u32,
    stream: u32,
    // An element stays when the upper 24 bits of its hash are below this.
    threshold: u32,
    scale: f32,
    // Number of the first sample of x in its batch.
    first: u32,
    spare0: u32,
    spare1: u32,
    spare2: u32,
}

@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: Step;
// Binding 2 is the input x, updated in place.

// Finaliser of MurmurHash3 (Appleby): every input bit flips every output bit with probability near one half.
fn scramble(word: u32) -> u32 {
    var h = word;
    h = (h ^ (h >> 16u)) * 0x85ebca6bu;
    h = (h ^ (h >> 13u)) * 0xc2b2ae35u;
    return h ^ (h >> 16u);
}

// Absorbs one word into a state; the odd constant (2^32 over the golden ratio) keeps runs of zeros apart.
fn absorb(state: u32, word: u32) -> u32 {
    return scramble(state * 5u + word + 0x9e3779b9u);
}

// 0 or `scale` for four neighbouring elements, the first of them number `element`.
fn mask(key_a: u32, key_b: u32, element: u32) -> vec4<f32> {
    var kept: vec4<f32>;
    for (var i = 0u; i < 4u; i += 1u) {
        // Two keys, one on each side of a round, so that no two steps' masks are shifts or permutations of each other.
        let bits = scramble(scramble((element + i) ^ key_a) + key_b);
        kept[i] = select(0.0, p.scale, (bits >> 8u) < p.threshold);
    }
    return kept;
}

@compute @workgroup_size(64)
fn dropout(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let invocation = linear_group(wid, groups) * 64u + lane;
    let run = invocation / p.groups;
    let group = invocation - run * p.groups;
    let sample = run / p.slots;
    if (sample >= p.batch) {
        return;
    }
    let first = (run - sample * p.slots) * p.span;
    let end = min(first + p.span, p.spatial);
    let key_a = absorb(absorb(absorb(absorb(0u, step.seed_low), step.seed_high), step.number), p.stream);
    let key_b = absorb(key_a, p.stream);
    let map_mask = mask(key_a, key_b, 4u * ((p.first + sample) * p.groups + group));
    for (var at = first; at < end; at += 1u) {
        let i = (sample * p.spatial + at) * p.groups + group;
        if (WHOLE_MAPS != 0u) {
            x_buffer[i] = x(i) * map_mask;
        } else {
            x_buffer[i] = x(i) * mask(key_a, key_b, 4u * (i + p.first * p.spatial * p.groups));
        }
    }
}
