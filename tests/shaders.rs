//! Every shader variant that the engine can ask for goes through naga to SPIR-V (Vulkan), MSL (Metal) and HLSL
//! (DirectX 12), whatever this machine has.

use std::collections::HashSet;

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};
use predsim::gpu::Pipeline;
use predsim::kernels::all_variants;

fn parse(pipeline: &Pipeline) -> Result<(Module, ModuleInfo), String> {
    let source = pipeline.source();
    let module = naga::front::wgsl::parse_str(&source).map_err(|error| error.emit_to_string(&source))?;
    let info = Validator::new(ValidationFlags::all(), Capabilities::all())
        .validate(&module)
        .map_err(|error| error.emit_to_string(&source))?;
    Ok((module, info))
}

fn to_spirv(module: &Module, info: &ModuleInfo, entry: &str) -> Result<(), String> {
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.to_owned() };
    let words = spv::write_vec(module, info, &options, Some(&pipeline)).map_err(|error| format!("SPIR-V: {error}"))?;
    (words.len() > 5).then_some(()).ok_or_else(|| "SPIR-V: nothing but a header".to_owned())
}

fn to_msl(module: &Module, info: &ModuleInfo, entry: &str) -> Result<(), String> {
    let options = msl::Options { lang_version: (2, 4), ..msl::Options::default() };
    let entry_point = Some((ShaderStage::Compute, entry.to_owned()));
    let pipeline = msl::PipelineOptions { entry_point, ..msl::PipelineOptions::default() };
    let (text, _) = msl::write_string(module, info, &options, &pipeline).map_err(|error| format!("MSL: {error}"))?;
    text.contains("kernel void").then_some(()).ok_or_else(|| "MSL: no kernel in it".to_owned())
}

fn to_hlsl(module: &Module, info: &ModuleInfo, entry: &str) -> Result<(), String> {
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_2, ..hlsl::Options::default() };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((ShaderStage::Compute, entry.to_owned())) };
    let mut text = String::new();
    hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .map_err(|error| format!("HLSL: {error}"))?;
    text.contains("numthreads").then_some(()).ok_or_else(|| "HLSL: no compute shader in it".to_owned())
}

/// DirectX has none, so that no adapter of it is ever asked to run these.
fn has_cooperative_matrices(pipeline: &Pipeline) -> bool {
    pipeline.shader.extensions.contains(&"wgpu_cooperative_matrix")
}

#[test]
fn every_variant_compiles_for_vulkan_metal_and_directx() {
    let mut failures = Vec::new();
    for pipeline in all_variants() {
        let outcome = parse(&pipeline).and_then(|(module, info)| {
            to_spirv(&module, &info, pipeline.entry)?;
            to_msl(&module, &info, pipeline.entry)?;
            if has_cooperative_matrices(&pipeline) { Ok(()) } else { to_hlsl(&module, &info, pipeline.entry) }
        });
        if let Err(message) = outcome {
            failures.push(format!("{}: {message}", pipeline.label()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn variants_are_told_apart_by_their_labels() {
    let labels: Vec<String> = all_variants().iter().map(Pipeline::label).collect();
    let unique: HashSet<&String> = labels.iter().collect();
    assert_eq!(unique.len(), labels.len());
    assert!(labels.len() > 50, "only {} variants are listed", labels.len());
}
