// How kernels over [rows, channels] share the work: one invocation takes four channels (a "group") of a run of
// consecutive rows (a "slot"). Neighbouring invocations take neighbouring groups, hence neighbouring vec4s in memory;
// with fewer than 64 groups the invocations of a workgroup spread over several slots.

struct Sweep {
    group: u32,
    slot: u32,
    // Rows from `first` up to, not including, `end`; none if `slot` lies past the work.
    first: u32,
    end: u32,
}

fn sweep(invocation: u32, groups: u32, rows: u32, span: u32) -> Sweep {
    let slot = invocation / groups;
    let first = min(slot * span, rows);
    return Sweep(invocation - slot * groups, slot, first, min(first + span, rows));
}
