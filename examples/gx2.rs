// gx2 REPS SPEC...: SPEC = file,m,n,k,gx,cols,op,w,pad ; interleaved, min and median of cpu/2
use predsim::gpu::*;
unsafe extern "C" { fn clock_gettime(c: i32, t: *mut [i64; 2]) -> i32; }
fn cpu() -> f64 { let mut t = [0i64; 2]; unsafe { clock_gettime(2, &mut t) }; t[0] as f64 + t[1] as f64 * 1e-9 }
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let reps: usize = args[1].parse().unwrap();
    let ad = pollster::block_on(choose(&Wanted::Best)).unwrap();
    let (gpu, queue) = pollster::block_on(ad.request_device(&wgpu::DeviceDescriptor { required_features: wgpu::Features::SUBGROUP, required_limits: ad.limits(), ..Default::default() })).unwrap();
    let (gpu, queue) = (&gpu, &queue);
    let mut runs: Vec<(String, f64, Box<dyn Fn()>, Vec<f64>, f64)> = vec![];
    for spec in &args[2..] {
        let f: Vec<&str> = spec.split(',').collect();
        let src = std::fs::read_to_string(f[0]).unwrap();
        let n: Vec<u32> = f[1..].iter().map(|x| x.parse().unwrap()).collect();
        let (m, nn, k, gx, cols, op, w, pad) = (n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]);
        let md = unsafe { gpu.create_shader_module_trusted(wgpu::ShaderModuleDescriptor { label: None, source: wgpu::ShaderSource::Wgsl(src.into()) }, wgpu::ShaderRuntimeChecks::unchecked()) };
    let mut ents = vec![wgpu::BindGroupLayoutEntry { binding: 0, visibility: wgpu::ShaderStages::COMPUTE, ty: wgpu::BindingType::Buffer { ty: wgpu::BufferBindingType::Uniform, has_dynamic_offset: false, min_binding_size: None }, count: None }];
    for b in [1, 2] { ents.push(wgpu::BindGroupLayoutEntry { binding: b, visibility: wgpu::ShaderStages::COMPUTE, ty: if false { wgpu::BindingType::Texture { sample_type: wgpu::TextureSampleType::Float { filterable: false }, view_dimension: wgpu::TextureViewDimension::D2, multisampled: false } } else { wgpu::BindingType::StorageTexture { access: wgpu::StorageTextureAccess::ReadOnly, format: wgpu::TextureFormat::Rgba32Float, view_dimension: wgpu::TextureViewDimension::D2 } }, count: None }); }
    ents.push(wgpu::BindGroupLayoutEntry { binding: 4, visibility: wgpu::ShaderStages::COMPUTE, ty: wgpu::BindingType::Buffer { ty: wgpu::BufferBindingType::Storage { read_only: false }, has_dynamic_offset: false, min_binding_size: None }, count: None });
    let bl = gpu.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &ents });
    let pl = gpu.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor { label: None, bind_group_layouts: &[Some(&bl)], immediate_size: 0 });
    let p = gpu.create_compute_pipeline(&wgpu::ComputePipelineDescriptor { label: None, layout: Some(&pl), module: &md, entry_point: Some("main"), compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() }, cache: None });
    let val = |i: u32, s: u32| ((i.wrapping_mul(2654435761).wrapping_add(s) >> 8) % 1001) as f32 / 500.0 - 1.0;
    let da: Vec<f32> = (0..m * k).map(|i| val(i, 77)).collect();
    let db: Vec<f32> = (0..nn * k).map(|i| val(i, 991)).collect();
    let tex = |d: &[f32]| {
        let rows = (d.len() / 4).div_ceil(w as usize) as u32;
        let mut d = d.to_vec(); d.resize(rows as usize * w as usize * 4, 0.0);
        let t = gpu.create_texture(&wgpu::TextureDescriptor { label: None, size: wgpu::Extent3d { width: w + pad, height: rows, depth_or_array_layers: 1 }, mip_level_count: 1, sample_count: 1, dimension: wgpu::TextureDimension::D2, format: wgpu::TextureFormat::Rgba32Float, usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::STORAGE_BINDING | wgpu::TextureUsages::COPY_DST, view_formats: &[] });
        queue.write_texture(t.as_image_copy(), bytemuck::cast_slice(&d), wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(w * 16), rows_per_image: None }, wgpu::Extent3d { width: w, height: rows, depth_or_array_layers: 1 });
        t.create_view(&Default::default())
    };
    let (va, vb) = (tex(&da), tex(&db));
    let cb = (m * nn * 4) as u64;
    let c = gpu.create_buffer(&wgpu::BufferDescriptor { label: None, size: cb, usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC, mapped_at_creation: false });
    let rb = gpu.create_buffer(&wgpu::BufferDescriptor { label: None, size: cb, usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST, mapped_at_creation: false });
    let ub = gpu.create_buffer(&wgpu::BufferDescriptor { label: None, size: 32, usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST, mapped_at_creation: false });
    queue.write_buffer(&ub, 0, bytemuck::cast_slice(&[m, nn / 4, k, k, (nn / 4).div_ceil(8 * cols), 1, gx, 1]));
    let bg = gpu.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &bl, entries: &[
        wgpu::BindGroupEntry { binding: 0, resource: ub.as_entire_binding() }, wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&va) }, wgpu::BindGroupEntry { binding: 2, resource: wgpu::BindingResource::TextureView(&vb) }, wgpu::BindGroupEntry { binding: 4, resource: c.as_entire_binding() }] });
    let (g2, q2) = (gpu.clone(), queue.clone());
    let (c2, rb2) = (c.clone(), rb.clone());
    let run = move |last: bool| {
        let mut enc = g2.create_command_encoder(&Default::default());
        { let mut pass = enc.begin_compute_pass(&Default::default()); pass.set_pipeline(&p); pass.set_bind_group(0, &bg, &[]); pass.dispatch_workgroups(gx, 1, 1); }
        if last { enc.copy_buffer_to_buffer(&c2, 0, &rb2, 0, cb); }
        q2.submit([enc.finish()]);
        g2.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    };
    run(true);
    rb.slice(..).map_async(wgpu::MapMode::Read, |_| ());
    gpu.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let got: Vec<f32> = bytemuck::cast_slice(&rb.slice(..).get_mapped_range().unwrap()).to_vec();
    let mut worst = 0f64;
    for s in 0..4000u32 {
        let (r, cc) = (s.wrapping_mul(2654435761) % m, s.wrapping_mul(40503).wrapping_add(s >> 3) % nn);
        let (r, cc) = if s < 64 { (m - 1 - s % 8, nn - 1 - s / 8) } else { (r, cc) };
        let mut w = 0f64;
        for i in 0..k { let x = if op == 2 { da[(i * m + r) as usize] } else { da[(r * k + i) as usize] }; let y = if op == 1 { db[(cc * k + i) as usize] } else { db[(i * nn + cc) as usize] }; w += x as f64 * y as f64; }
        worst = worst.max((w - got[(r * nn + cc) as usize] as f64).abs());
    }
    let fl = 2.0 * m as f64 * nn as f64 * k as f64 / 1e9;
    runs.push((spec.clone(), fl, Box::new(move || run(false)), vec![], worst));
    }
    for _ in 0..reps { for r in &mut runs { let t = cpu(); (r.2)(); r.3.push(cpu() - t); } }
    for r in &mut runs { r.3.sort_by(f64::total_cmp); let (a, b) = (r.3[0] / 2.0, r.3[reps / 2] / 2.0); println!("{:44} min {:7.2} ms {:6.1} GF/s   med {:6.1} GF/s  err {:.0e}", r.0.replace("/tmp/", ""), a * 1e3, r.1 / a, r.1 / b, r.4); }
}
