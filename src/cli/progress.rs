//! What a training run shows while it works: a bar with samples a second and the time left, a table an epoch, or one
//! JSON object a line for programs.

use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::train::{BlockReport, EpochReport};

use super::error::CliError;
use super::output;

/// Shortest time between two progress objects of `--json`.
const JSON_EVERY: Duration = Duration::from_secs(1);

/// How a run speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Voice {
    /// To a person, with the blocks' statistics or without.
    Text {
        /// A table of the blocks behind every epoch.
        blocks: bool,
    },
    /// One JSON object a line.
    Json,
}

/// An epoch that is under way.
#[derive(Debug)]
pub struct EpochProgress {
    voice: Voice,
    bar: ProgressBar,
    epoch: usize,
    steps: usize,
    done: usize,
    samples: usize,
    /// Steps since it was begun or gone on with.
    own: usize,
    busy: Option<f64>,
    start: Instant,
    last: Instant,
}

impl EpochProgress {
    /// Epoch `epoch` of `epochs`, `done` of whose `steps` steps are done already.
    pub fn new(voice: Voice, epoch: usize, epochs: usize, done: usize, steps: usize) -> Self {
        let bar = if voice == Voice::Json { ProgressBar::hidden() } else { ProgressBar::new(steps as u64) };
        let bar = styled(bar, "{prefix} {wide_bar} {pos}/{len}  {msg}  {eta} left");
        bar.set_prefix(format!("epoch {epoch}/{epochs}"));
        bar.set_position(done as u64);
        bar.reset_eta();
        let now = Instant::now();
        Self { voice, bar, epoch, steps, done, samples: 0, own: 0, busy: None, start: now, last: now }
    }

    /// A step of `samples` samples is on its way; `loss` is the output layer's mean so far, as last seen, `step_seconds` how
    /// long the GPU works on a step.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn step(&mut self, samples: usize, loss: Option<f64>, step_seconds: Option<f64>) -> Result<(), CliError> {
        self.done += 1;
        self.own += 1;
        self.samples += samples;
        self.busy = step_seconds.map(|seconds| (seconds * self.own as f64 / self.seconds()).min(1.0));
        let rate = self.samples_per_second();
        if self.voice == Voice::Json {
            if self.last.elapsed() >= JSON_EVERY {
                self.last = Instant::now();
                output::json(&json!({
                    "event": "progress", "epoch": self.epoch, "step": self.done, "steps": self.steps,
                    "loss_global": loss, "samples_per_second": rate, "gpu_busy": self.busy,
                }))?;
            }
            return Ok(());
        }
        let loss = loss.map(|loss| format!("loss {loss:.4}  ")).unwrap_or_default();
        self.bar.set_message(format!("{loss}{}", pace(rate, self.busy)));
        self.bar.inc(1);
        Ok(())
    }

    /// Samples a second since this epoch was begun or gone on with.
    pub fn samples_per_second(&self) -> f64 {
        self.samples as f64 / self.seconds().max(1e-9)
    }

    /// Seconds since then.
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// The share of that time in which the GPU was at work, if it can be told.
    pub fn gpu_busy(&self) -> Option<f64> {
        self.busy
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// `bar` as `template` says; a template that is none leaves it as it was.
pub fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A bar for [`Gpu::watch_compilation`](crate::gpu::Gpu::watch_compilation), gone when all kernels are compiled.
pub fn compilation() -> impl Fn(usize, usize) + Send + Sync {
    let bar = styled(ProgressBar::hidden(), "compiling kernels {wide_bar} {pos}/{len}");
    move |done, all| {
        if done == 0 {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.reset();
        }
        bar.set_length(all as u64);
        bar.set_position(done as u64);
        if done == all {
            bar.finish_and_clear();
        }
    }
}

/// Shows what an epoch came to.
///
/// # Errors
/// If standard output cannot be written.
pub fn epoch_table(
    voice: Voice,
    epochs: usize,
    train: &EpochReport,
    test: &EpochReport,
    rate: f64,
    gpu_busy: Option<f64>,
) -> Result<(), CliError> {
    let Voice::Text { blocks } = voice else { return Ok(()) };
    output::line(&format!(
        "epoch {}/{epochs}  test error {:.2} %  train error {:.2} %  loss {:.4}  lr {}  {}",
        train.epoch,
        test.error_percent,
        train.error_percent,
        train.loss_global,
        train.lr,
        pace(rate, gpu_busy),
    ))?;
    if !blocks {
        return Ok(());
    }
    let heads = ["block", "pred loss", "sim loss", "train error", "test error", "gradient"];
    output::table("    ", heads, train.blocks.iter().zip(&test.blocks).map(block_row))
}

fn pace(samples_per_second: f64, gpu_busy: Option<f64>) -> String {
    let busy = gpu_busy.map(|share| format!(", GPU {:.0} % busy", 100.0 * share)).unwrap_or_default();
    format!("{} samples/s{busy}", HumanCount(samples_per_second as u64))
}

fn block_row((train, test): (&BlockReport, &BlockReport)) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2} %"));
    vec![
        train.name.clone(),
        number(train.loss_pred),
        number(train.loss_sim),
        percent(train.error_percent),
        percent(test.error_percent),
        train.grad_norm.map_or("-".to_owned(), |norm| format!("{norm:.2e}")),
    ]
}
