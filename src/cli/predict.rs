//! `predsim predict`: classes and probabilities of picture files, and what each block's own classifier says of them.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::data::{AugmentParams, load_picture};
use crate::gpu::{Wanted, block_on};
use crate::kernels::precision::Precision;
use crate::train::{Mode, Samples, Trainer, softmax};

use super::engine;
use super::error::CliError;
use super::output;
use crate::run::engine::Capabilities;
use crate::run::settings::{Settings, wanted};

/// Most pictures in one step.
const BATCH: usize = 64;

/// Flags of `predsim predict`.
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// A run's folder (its last checkpoint is taken) or a checkpoint
    pub path: PathBuf,
    /// Pictures in any common format, of the data set's size; a network of an image folder takes any size
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// How many classes to print for each picture, the likeliest first
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub top: usize,
    /// Adapter to run on: a part of its name or its number in `predsim devices`
    #[arg(long, value_name = "NAME|INDEX")]
    pub adapter: Option<String>,
    /// Print one JSON object a picture
    #[arg(long)]
    pub json: bool,
}

/// A class with its probability.
#[derive(Debug, Clone, Serialize)]
struct Guess {
    class: String,
    probability: f64,
}

/// What one classifier says.
#[derive(Debug, Serialize)]
struct Opinion {
    /// `output`, or the block's name.
    by: String,
    /// Likeliest first.
    guesses: Vec<Guess>,
}

#[derive(Debug, Serialize)]
struct Answer {
    image: String,
    classes: Vec<Guess>,
    blocks: Vec<Opinion>,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &PredictArgs) -> Result<(), CliError> {
    let checkpoint = engine::read_checkpoint(&args.path)?;
    let stored = Settings::of_state(&checkpoint.1.state)?;
    let adapter = args.adapter.as_deref().map_or(Wanted::Best, wanted);
    let mut settings = Settings { adapter, ..stored };
    settings.train.batch_size = BATCH.min(args.images.len());
    let pictures = args.images.iter().map(|path| load_picture(path, &settings.spec)).collect::<Result<Vec<_>, _>>()?;
    let gpu = engine::open_gpu(&settings.adapter)?;
    let plans = [(Mode::Evaluate, settings.train.batch_size as u32)];
    let mut trainer =
        engine::trainer(&gpu, &Capabilities::of(&gpu, Precision::F32)?, &settings, &plans, Some(&checkpoint))?;
    for (paths, batch) in args.images.chunks(BATCH).zip(pictures.chunks(BATCH)) {
        let opinions = block_on(&gpu, ask(&mut trainer, batch))?;
        for (index, path) in paths.iter().enumerate() {
            if opinions.iter().any(|(_, rows)| rows[index].iter().any(|p| !p.is_finite())) {
                let file = checkpoint.0.display();
                return Err(CliError::Failed(format!("{file}: its network's answers are no numbers; it is damaged")));
            }
            let answer = answer(path.display().to_string(), &opinions, index, &settings, args.top);
            if args.json { output::json(&answer)? } else { print(&answer)? }
        }
    }
    Ok(())
}

/// Probabilities `[classifier][picture][class]`, by the classifier's name; the output layer is the last.
type Opinions = Vec<(String, Vec<Vec<f64>>)>;

async fn ask(trainer: &mut Trainer, pictures: &[Vec<u8>]) -> Result<Opinions, CliError> {
    let pixels = pictures.concat();
    let crops = vec![AugmentParams::IDENTITY; pictures.len()];
    let labels = vec![0; pictures.len()];
    let samples = Samples::Pixels { pixels: &pixels, crops: bytemuck::cast_slice(&crops), holes: &[] };
    trainer.evaluate(samples, &labels).await?;
    let mut opinions = Vec::new();
    for owner in 0..=trainer.network().output() {
        let logits = trainer.logits(owner, pictures.len()).await?;
        if !logits.is_empty() {
            let name = trainer.network().title(owner).to_owned();
            opinions.push((name, logits.iter().map(|row| softmax(row)).collect()));
        }
    }
    Ok(opinions)
}

fn answer(image: String, opinions: &Opinions, index: usize, settings: &Settings, top: usize) -> Answer {
    let guesses = |rows: &Vec<Vec<f64>>| {
        let mut guesses: Vec<Guess> = rows[index]
            .iter()
            .enumerate()
            .map(|(class, &probability)| {
                let name = settings.spec.class_names.get(class).map_or_else(|| class.to_string(), ToString::to_string);
                Guess { class: name, probability }
            })
            .collect();
        guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability));
        guesses.truncate(top.max(1));
        guesses
    };
    let (output, blocks) = opinions.split_last().map_or((None, opinions.as_slice()), |(last, rest)| (Some(last), rest));
    let opinion = |(name, rows): &(String, Vec<Vec<f64>>)| Opinion { by: name.clone(), guesses: guesses(rows) };
    Answer {
        image,
        classes: output.map(|(_, rows)| guesses(rows)).unwrap_or_default(),
        blocks: blocks.iter().map(opinion).collect(),
    }
}

fn print(answer: &Answer) -> Result<(), CliError> {
    let list = |guesses: &[Guess]| {
        let each = guesses.iter().map(|guess| format!("{} {:.1} %", guess.class, 100.0 * guess.probability));
        each.collect::<Vec<_>>().join("   ")
    };
    output::line(&format!("{}: {}", answer.image, list(&answer.classes)))?;
    let rows: Vec<Vec<String>> =
        answer.blocks.iter().map(|block| vec![block.by.clone(), list(&block.guesses)]).collect();
    output::columns(&rows).iter().try_for_each(|row| output::line(&format!("    {row}")))
}
