// kb REPS [filter]: gemm/conv through the crate, interleaved, cpu/2 min. Peak kernel first.
use predsim::gpu::*;
use predsim::kernels::{gemm::*, conv2d::*};
unsafe extern "C" { fn clock_gettime(c: i32, t: *mut [i64; 2]) -> i32; }
fn cpu() -> f64 { let mut t = [0i64; 2]; unsafe { clock_gettime(2, &mut t) }; t[0] as f64 + t[1] as f64 * 1e-9 }
const PEAK: &str = "struct P { n: u32 } @group(0) @binding(0) var<uniform> u: P; @group(0) @binding(1) var<storage, read_write> c: array<vec4<f32>>;
@compute @workgroup_size(8) fn main(@builtin(global_invocation_id) g: vec3<u32>) {
 let x = f32(g.x); let w = vec4<f32>(0.999); let d = vec4<f32>(x * 0.1);
 var p = vec4<f32>(x); var q = p + 1.0; var r = p + 2.0;
 for (var i = 0u; i < 1024u; i++) {
  p = p * w.x + d.x; q = q * w.x + d.x; r = r * w.x + d.x; p = p * w.x + d.x; q = q * w.x + d.x; r = r * w.x + d.x;
  p = p * w.x + d.x; q = q * w.x + d.x; r = r * w.x + d.x; p = p * w.x + d.x; q = q * w.x + d.x; r = r * w.x + d.x;
  p = p * w.x + d.x; q = q * w.x + d.x; r = r * w.x + d.x; p = p * w.x + d.x; }
 c[g.x] = p + q + r; }";
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let reps: usize = a[1].parse().unwrap();
    let filter = a.get(2).cloned().unwrap_or_default();
    let gpu = pollster::block_on(Gpu::open(&Wanted::Best)).unwrap();
    let tuning = match std::env::var("FAM").as_deref() { Ok("direct") => Tuning::portable(), Ok("sub") => Tuning { family: Family::Subgroup8, workgroups: 4 }, _ => Tuning::for_gpu(&gpu) };
    let mut lab = Lab::new(&gpu);
    let big = lab.tensor(&vec![0.37f32; 1 << 23]).unwrap();
    let big2 = lab.tensor(&vec![0.11f32; 1 << 23]).unwrap();
    let big3 = lab.tensor(&vec![0.0f32; 1 << 23]).unwrap();
    let ws = lab.tensor(&vec![0.0f32; 1 << 24]).unwrap();
    let part = |s: Slice, n: u32| Slice { bytes: 4 * n as u64, ..s };
    let mut cases: Vec<(String, Vec<Dispatch>)> = vec![];
    let pk = Pipeline { shader: Shader { name: "peak", parts: &[PEAK] }, entry: "main", constants: vec![], guarded: true };
    cases.push(("peak".into(), vec![Dispatch::new("peak", pk, &[0u32; 4], [256, 1, 1]).writes(big3).flops(256 * 8 * 1024 * 128)]));
    let mut g = |name: &str, m: u32, n: u32, k: u32, op: Op| {
        let gm = Gemm { m, n, k, op, tuning };
        cases.push((format!("gemm {name} {m}x{n}x{k} {op:?}"), gm.dispatches("g", [part(big, m * k), part(big2, n * k)], None, part(big3, m * n), Some(part(ws, (gm.workspace_bytes() / 4).max(4) as u32)))));
    };
    for op in [Op::Nn, Op::Nt, Op::Tn] { g("512", 512, 512, 512, op); }
    for op in [Op::Nn, Op::Nt, Op::Tn] { g("1024", 1024, 1024, 1024, op); }
    if filter.contains("sz") { for s in [448u32, 480, 528, 576, 640] { for op in [Op::Nn, Op::Nt, Op::Tn] { g("sz", s, s, s, op); } } }
    g("mlp fwd", 128, 1024, 1024, Op::Nn); g("mlp dX", 128, 1024, 1024, Op::Nt); g("mlp dW", 1024, 1024, 128, Op::Tn);
    g("pred fwd", 128, 12, 1024, Op::Nn); g("pred dX", 128, 1024, 12, Op::Nt); g("pred dW", 1024, 12, 128, Op::Tn);
    g("S", 128, 128, 1024, Op::Nt); g("Au", 128, 1024, 128, Op::Nn);
    for (name, batch, s, cin, cout, stride) in [("128-256@28", 32, 28, 128, 256, 1), ("256-512@14", 32, 14, 256, 512, 1), ("4-8@28", 24, 28, 4, 8, 1), ("8-16@28", 24, 28, 8, 16, 1), ("16-16@14", 24, 14, 16, 16, 1), ("16-32@14", 24, 14, 16, 32, 1), ("4-64@28", 64, 28, 4, 64, 1), ("64-128@14s2", 64, 28, 64, 128, 2)] {
        let c = Conv2d { batch, height: s, width: s, cin, cout, kernel: 3, stride, pad: 1, tuning };
        let nx = batch * s * s * cin; let ny = batch * c.out_height() * c.out_width() * cout; let nw = 9 * cin * cout;
        cases.push((format!("conv {name} fwd"), c.forward("f", part(big, nx), part(big2, nw), None, part(big3, ny))));
        cases.push((format!("conv {name} dX"), c.backward_input("f", part(big, ny), part(big2, nw), part(big3, nx))));
        cases.push((format!("conv {name} dW"), c.backward_weight("f", [part(big, nx), part(big2, ny)], part(big3, nw), Some(part(ws, (c.workspace_bytes() / 4).max(4) as u32)))));
    }
    cases.retain(|c| c.0 == "peak" || c.0.contains(&filter));
    let programs: Vec<_> = cases.iter().map(|(_, d)| { let t = std::time::Instant::now(); let r = lab.record(d.clone()).unwrap(); lab.replay(&r).unwrap(); gpu.device.poll(wgpu::PollType::wait_indefinitely()).unwrap(); (r, t.elapsed().as_secs_f64()) }).collect();
    if std::env::var("HOLD").is_ok() { let t = std::time::Instant::now(); while t.elapsed().as_secs() < 90 { for (p, _) in &programs[1..] { lab.replay(p).unwrap(); gpu.device.poll(wgpu::PollType::wait_indefinitely()).unwrap(); } } }
    let mut times = vec![vec![]; cases.len()];
    for _ in 0..reps { for (i, (p, _)) in programs.iter().enumerate() {
        let t = cpu(); lab.replay(p).unwrap(); gpu.device.poll(wgpu::PollType::wait_indefinitely()).unwrap(); times[i].push(cpu() - t);
    } }
    let mut peak = 0.0;
    for (i, (name, d)) in cases.iter().enumerate() {
        times[i].sort_by(f64::total_cmp);
        let fl: u64 = d.iter().map(|d| d.flops).sum();
        let (mn, md) = (times[i][0] / 2.0, times[i][reps / 2] / 2.0);
        let r = fl as f64 / mn / 1e9; if i == 0 { peak = r; }
        println!("{name:34} first {:5.2}s min {:8.3} ms {r:6.1} GF/s = {:4.1}%  med {:6.1}", programs[i].1, mn * 1e3, 100.0 * r / peak, fl as f64 / md / 1e9);
    }
}
