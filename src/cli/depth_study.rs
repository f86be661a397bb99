//! `predsim depth-study`: does a local loss keep gradients from vanishing or exploding? Trains plain nets of growing
//! depth by backpropagation and by local losses for a short time, and draws the gradients' norms over depth for both.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args;
use image::ImageFormat;
use serde::Serialize;

use crate::gpu::{Gpu, block_on};
use crate::nn::Architecture;
use crate::run::engine::Capabilities;
use crate::run::{Settings, TrainFlags};
use crate::train::{Position, Session};

use super::chart::{self, Line, Panel, Scale};
use super::engine;
use super::error::CliError;
use super::output;
use super::recipe::Recipe;
use super::run_folder::writable;

/// Name of both files that a study leaves, before their endings.
const STEM: &str = "depth-study";

/// Flags of `predsim depth-study`.
#[derive(Debug, Args)]
pub struct DepthStudyArgs {
    /// Numbers of blocks of the nets; flags of `predsim train` but --model and --backprop may follow
    #[arg(
        long,
        value_name = "N",
        num_args = 1..,
        default_values_t = [5, 10, 20, 40],
        value_parser = clap::value_parser!(u32).range(1..),
    )]
    pub depths: Vec<u32>,
    /// A recipe's name or its TOML file; flags given besides go over it
    #[arg(long, value_name = "NAME|FILE", default_value = "depth-study")]
    pub recipe: String,
    /// Folder for depth-study.png and depth-study.csv
    #[arg(long, value_name = "DIR", default_value = "runs/depth-study")]
    pub out: PathBuf,
    /// Print one JSON object a run instead of text
    #[arg(long)]
    pub json: bool,
    /// The settings themselves.
    #[command(flatten)]
    pub flags: TrainFlags,
}

/// One net, trained.
#[derive(Debug, Serialize)]
struct Run {
    /// `backprop`, or the local loss.
    method: String,
    /// Number of blocks.
    depth: u32,
    /// Of the output layer on the test split, behind the last epoch.
    test_error_percent: f64,
    /// Of the last epoch, one row a block.
    blocks: Vec<Norms>,
}

/// Norms of a block's trunk, means over the steps of an epoch.
#[derive(Debug, Clone, Copy, Serialize)]
struct Norms {
    gradient: f64,
    update: f64,
    weights: f64,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &DepthStudyArgs) -> Result<(), CliError> {
    let (mut gpu, mut runs) = (None, Vec::new());
    let plans = plans(args)?;
    writable(&args.out)?;
    output::outlive_readers();
    for settings in plans {
        let gpu: &Rc<Gpu> = match &mut gpu {
            Some(gpu) => gpu,
            none => none.insert(engine::open_gpu(&settings.adapter)?),
        };
        let run = train(gpu, &settings)?;
        if args.json {
            output::json(&run)?;
        } else {
            let trained = format!("{} blocks, {}", run.depth, run.method);
            output::line(&format!("{trained:<24} test error {:.1} %", run.test_error_percent))?;
        }
        runs.push(run);
    }
    let files = write(&args.out, &runs)?;
    if args.json {
        return Ok(());
    }
    table(&runs)?;
    output::line(&format!("written: {} and {}", files[0].display(), files[1].display()))
}

/// The settings of every run, checked before the first one begins: by backpropagation, then by local losses.
fn plans(args: &DepthStudyArgs) -> Result<Vec<Settings>, CliError> {
    if args.flags.model.is_some() || args.flags.backprop.is_some() {
        return Err(CliError::usage(
            "a depth study sets --model and --backprop itself; leave them out and give the numbers of blocks to --depths",
        ));
    }
    let mut plans = Vec::new();
    for backprop in [true, false] {
        for depth in &args.depths {
            let model: Architecture = format!("plain:{depth}").parse()?;
            let flags = TrainFlags {
                model: Some(model),
                backprop: Some(backprop),
                grad_stats: Some(true),
                ..args.flags.clone()
            };
            let (_, settings) = Recipe::with_flags(Some(&args.recipe), &flags)?;
            plans.push(settings);
        }
    }
    Ok(plans)
}

fn train(gpu: &Rc<Gpu>, settings: &Settings) -> Result<Run, CliError> {
    let data = engine::load_data(settings)?;
    let plans = Session::plans(&data, settings.train.batch_size);
    let capabilities = Capabilities::of(gpu, settings.train.precision)?;
    let trainer = engine::trainer(gpu, &capabilities, settings, &plans, None)?;
    let mut session = Session::new(trainer, &data, Position { epoch: 1, step: 0 });
    let mut blocks = Vec::new();
    for _ in 0..settings.epochs {
        while block_on(gpu, session.step())?.is_some() {}
        let report = block_on(gpu, session.close_epoch())?;
        let number = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let norms = |block: &crate::train::BlockReport| Norms {
            gradient: number(block.grad_norm),
            update: number(block.update_norm),
            weights: number(block.weight_norm),
        };
        blocks = report.blocks.iter().map(norms).collect();
    }
    let test = block_on(gpu, session.test(settings.epochs))?;
    let depth = blocks.len() as u32;
    Ok(Run { method: settings.loss(), depth, test_error_percent: test.error_percent, blocks })
}

/// Writes the picture and the numbers; their paths.
fn write(folder: &Path, runs: &[Run]) -> Result<[PathBuf; 2], CliError> {
    let picture = folder.join(STEM).with_extension("png");
    let numbers = folder.join(STEM).with_extension("csv");
    chart::draw(&panels(runs), "block", "gradient norm", Scale::Logarithmic)
        .save_with_format(&picture, ImageFormat::Png)
        .map_err(|error| CliError::unwritable(&picture, error))?;
    fs::write(&numbers, csv(runs)).map_err(|error| CliError::unwritable(&numbers, error))?;
    Ok([picture, numbers])
}

/// One panel a method, one line a net.
fn panels(runs: &[Run]) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for run in runs {
        let points = run.blocks.iter().zip(1u32..).map(|(norms, block)| (f64::from(block), norms.gradient)).collect();
        let line = Line { label: format!("{} blocks", run.depth), points };
        match panels.last_mut().filter(|panel| panel.title == run.method) {
            Some(panel) => panel.lines.push(line),
            None => panels.push(Panel { title: run.method.clone(), lines: vec![line] }),
        }
    }
    panels
}

fn csv(runs: &[Run]) -> String {
    let mut text = "method,depth,block,gradient_norm,update_norm,weight_norm\n".to_owned();
    for run in runs {
        for (norms, block) in run.blocks.iter().zip(1..) {
            let Norms { gradient, update, weights } = norms;
            text += &format!("{},{},{block},{gradient:e},{update:e},{weights:e}\n", run.method, run.depth);
        }
    }
    text
}

/// For each net the gradient's norm in the first, the middle and the last block, and how far apart the smallest and the
/// largest are.
fn table(runs: &[Run]) -> Result<(), CliError> {
    let head = ["method", "blocks", "first", "middle", "last", "largest/smallest", "test error"];
    let row = |run: &Run| {
        let gradients: Vec<f64> = run.blocks.iter().map(|norms| norms.gradient).collect();
        let at = |index: usize| format!("{:.1e}", gradients[index]);
        let smallest = gradients.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = gradients.iter().copied().fold(0.0, f64::max);
        vec![
            run.method.clone(),
            run.depth.to_string(),
            at(0),
            at(gradients.len() / 2),
            at(gradients.len() - 1),
            format!("{:.1e}", largest / smallest),
            format!("{:.1} %", run.test_error_percent),
        ]
    };
    output::table("", head, runs.iter().map(row))
}
