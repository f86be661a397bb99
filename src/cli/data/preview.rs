//! `predsim data preview`: training pictures as the network sees them, made by the kernels that training uses.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use image::RgbImage;

use crate::data::{AugmentParams, Cutout, Dataset, Draw, Hole, ImageSize, augment_params, epoch_order, open, spec_in};
use crate::gpu::{Gpu, Lab, Wanted, block_on};
use crate::kernels::augment;
use crate::run::settings::wanted;

use super::super::engine::open_gpu;
use super::super::error::CliError;
use super::super::output;
use super::Folder;
use super::sheet::{Row, draw};

/// Flags of `predsim data preview`.
#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// Data set, as --dataset of `predsim train` takes it
    #[arg(value_name = "DATASET")]
    name: String,
    #[command(flatten)]
    folder: Folder,
    /// The sheet, in a format that its ending names
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Pictures, each in a row of its own
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=64))]
    samples: u32,
    /// Epochs, in each of which a picture looks another way; before them stands the picture as evaluation sees it
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=64))]
    epochs: u32,
    /// Seed of the choice and of what happens to the pictures
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Size that pictures of imagenet and image-folder are brought to, as of `predsim train`
    #[arg(long, value_name = "SIZE")]
    image_size: Option<ImageSize>,
    /// Cut square holes out of the pictures
    #[arg(long)]
    cutout: bool,
    /// Holes that --cutout cuts out of a picture
    #[arg(long = "n_holes", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    n_holes: u32,
    /// Side of such a hole in pixels
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    length: u32,
    /// Adapter to run on: a part of its name or its number in `predsim devices`
    #[arg(long, value_name = "NAME|INDEX")]
    adapter: Option<String>,
}

/// Pictures as bytes, with what happens to each.
#[derive(Debug, Default)]
struct Batch {
    pixels: Vec<u8>,
    crops: Vec<AugmentParams>,
    holes: Vec<Hole>,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &PreviewArgs) -> Result<(), CliError> {
    let dir = Some(args.folder.data.as_path());
    let data = open(&spec_in(&args.name, dir, args.image_size)?, dir)?;
    let gpu = open_gpu(&args.adapter.as_deref().map_or(Wanted::Best, wanted))?;
    let mut samples = epoch_order(args.seed, 1, data.train.n());
    samples.truncate(args.samples as usize);
    let samples: Arc<[u32]> = samples.into();
    let cutout = args.cutout.then_some(Cutout { holes: args.n_holes, length: args.length });
    let plain = batch(&data, &samples, None, None)?;
    let mut columns = vec![seen(&gpu, &data, &plain, None)?];
    for epoch in 1..=u64::from(args.epochs) {
        let batch = batch(&data, &samples, Some(Draw { seed: args.seed, epoch }), cutout)?;
        columns.push(seen(&gpu, &data, &batch, cutout)?);
    }
    let rows: Vec<Row> = samples
        .iter()
        .enumerate()
        .map(|(index, &sample)| Row {
            caption: caption(&data, sample),
            pictures: columns.iter().map(|column| column[index].clone()).collect(),
        })
        .collect();
    draw(&rows).save(&args.out).map_err(|error| CliError::unwritable(&args.out, error))?;
    output::line(&format!(
        "{}: {} training pictures of {}, first as they are, then as in epochs 1 to {}",
        args.out.display(),
        samples.len(),
        data.spec.name,
        args.epochs
    ))
}

fn caption(data: &Dataset, sample: u32) -> String {
    let label = data.train.labels()[sample as usize];
    data.spec.class_names.get(label as usize).map_or_else(|| format!("class {label}"), str::to_owned)
}

/// The pictures of `samples` with what training draws for them, or without anything.
fn batch(data: &Dataset, samples: &Arc<[u32]>, draw: Option<Draw>, cutout: Option<Cutout>) -> Result<Batch, CliError> {
    let mut batch = Batch { pixels: vec![0; samples.len() * data.train.image_len()], ..Batch::default() };
    let mut labels = vec![0; samples.len()];
    data.train.walk(samples.clone(), 0, draw).fill(&mut batch.pixels, &mut labels)?;
    let Draw { seed, epoch } = draw.unwrap_or(Draw { seed: 0, epoch: 0 });
    for &sample in samples.iter() {
        batch.crops.push(augment_params(&data.spec, seed, epoch, sample, draw.is_some()));
        let shape = [data.spec.height, data.spec.width];
        batch.holes.extend(cutout.iter().flat_map(|cutout| cutout.centres(shape, seed, epoch, sample)));
    }
    Ok(batch)
}

/// What the network sees of a batch, without the normalisation.
fn seen(gpu: &Gpu, data: &Dataset, batch: &Batch, cutout: Option<Cutout>) -> Result<Vec<RgbImage>, CliError> {
    let spec = &data.spec;
    let [height, width, channels] = [spec.height, spec.width, spec.channels];
    let [mean, std] = spec.normalisation();
    let count = batch.crops.len() as u32;
    let kernel = augment::Augment { batch: count, height, width, channels, rows: false, mean, std };
    let mut lab = Lab::new(gpu);
    let out = lab.poisoned(kernel.out_bytes())?;
    let mut dispatches = vec![kernel.dispatch(lab.tensor(&batch.pixels)?, lab.tensor(&batch.crops)?, out)];
    if let Some(cutout) = cutout {
        let (holes, half) = (cutout.holes, cutout.half());
        let kernel = augment::Cutout { batch: count, height, width, rows: false, holes, half };
        dispatches.push(kernel.dispatch(lab.tensor(&batch.holes)?, out));
    }
    lab.run(dispatches)?;
    let values: Vec<f32> = block_on(gpu, lab.read(out))?;
    let byte = |value: f32, channel: usize| ((value * std[channel] + mean[channel]) * 255.0).round() as u8;
    // Grey pictures have one channel, which is shown as all three.
    let pixel = |lanes: &[f32]| std::array::from_fn(|c| if channels == 1 { 0 } else { c }).map(|c| byte(lanes[c], c));
    let picture = |values: &[f32]| {
        let lanes = |x: u32, y: u32| &values[4 * (y * width + x) as usize..][..4];
        RgbImage::from_fn(width, height, |x, y| image::Rgb(pixel(lanes(x, y))))
    };
    Ok(values.chunks(4 * (height * width) as usize).map(picture).collect())
}
