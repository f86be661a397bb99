//! Which variant of the products is fastest for a network on an adapter: timed once, and remembered in the user's cache
//! folder.
//!
//! Winners are kept by adapter, driver and version of predsim, and by the products of the network's plan. A winner that
//! another process has written meanwhile counts, so that two runs side by side compute alike.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use indicatif::ProgressBar;
use serde_json::json;

use crate::bench::{self, Case, Clock, Effort, cases};
use crate::gpu::Gpu;
use crate::kernels::precision::Precision;
use crate::kernels::tuning::{FORCE, Tuning};
use crate::run::engine::{self, Capabilities};
use crate::run::{Settings, Tune};

use super::error::CliError;
use super::output;
use super::progress::{self, Voice};

/// Seconds that `--tune quick` spends on timing, as far as one product tells how long the next will take.
const QUICK_SECONDS: f64 = 8.0;

/// Products with less than this share of the largest one's arithmetic are not timed by `--tune quick`.
const WORTH_TIMING: f64 = 0.01;

/// What suits the adapter stays unless another variant takes less than this share of its time: the same machine should
/// not come to another answer on another day.
const WORTH_CHANGING: f64 = 0.95;

/// What was found.
#[derive(Debug)]
pub struct Tuned {
    /// With the variant chosen.
    pub capabilities: Capabilities,
    found: Option<Found>,
}

/// How it was found.
#[derive(Debug)]
struct Found {
    variant: String,
    /// Seconds for all products timed, by variant; empty if they were timed in an earlier run.
    seconds: BTreeMap<&'static str, f64>,
    cache: Option<PathBuf>,
}

/// Winners by the digest of a network's products, by adapter.
type Winners = BTreeMap<String, BTreeMap<String, String>>;

impl Tuned {
    /// Says what was chosen.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn announce(&self, voice: Voice) -> Result<(), CliError> {
        let Some(Found { variant, seconds, cache }) = &self.found else { return Ok(()) };
        if voice == Voice::Json {
            return output::json(&json!({ "event": "tuning", "variant": variant, "seconds": seconds, "cache": cache }));
        }
        if seconds.is_empty() {
            return output::line(&format!("kernels: {variant}, as timed in an earlier run"));
        }
        let times: Vec<String> = seconds.iter().map(|(name, s)| format!("{name} {:.1} ms", s * 1e3)).collect();
        let kept = cache.as_ref().map_or_else(String::new, |path| format!("; kept in {}", path.display()));
        output::line(&format!("kernels: {variant} (this network's products take: {}){kept}", times.join(", ")))
    }
}

/// Chooses the variant of the products for `settings` on `gpu`, as `--tune` says.
///
/// # Errors
/// A usage error for settings that make no network or a forced variant that cannot be had, and what the device reports.
pub fn choose(gpu: &Gpu, settings: &Settings) -> Result<Tuned, CliError> {
    let precision = settings.train.precision;
    let mut capabilities = Capabilities::of(gpu, precision)?;
    let software = gpu.info.device_type == wgpu::DeviceType::Cpu;
    let tune = settings.tune.unwrap_or(if software { Tune::Off } else { Tune::Quick });
    if tune == Tune::Off || std::env::var_os(FORCE).is_some() {
        return Ok(Tuned { capabilities, found: None });
    }
    let Some(products) = products(settings, &capabilities)? else {
        // What does not fit is for the trainer to say.
        return Ok(Tuned { capabilities, found: None });
    };
    let (adapter, digest) = (identity(gpu, precision), digest(&products));
    let cache = dirs::cache_dir().map(|folder| folder.join("predsim/tuning.json"));
    let remembered = || {
        let winners = read(cache.as_deref()?)?;
        let variant = winners.get(&adapter)?.get(&digest)?.clone();
        Some((Tuning::named(&variant, gpu).ok()?, variant))
    };
    if let Some((tuning, variant)) = remembered().filter(|_| tune == Tune::Quick) {
        capabilities.tuning = tuning;
        return Ok(Tuned { capabilities, found: Some(Found { variant, seconds: BTreeMap::new(), cache }) });
    }
    let seconds = time(gpu, settings, &capabilities, tune, &products)?;
    let (mut tuning, mut variant) = winner(&capabilities, &seconds);
    match remembered().filter(|_| tune == Tune::Quick) {
        Some(first) => (tuning, variant) = first,
        None => keep(cache.as_deref(), &adapter, &digest, &variant),
    }
    capabilities.tuning = tuning;
    Ok(Tuned { capabilities, found: Some(Found { variant, seconds, cache }) })
}

/// The variants that may be fastest on `gpu` in `precision`: in `f32`, those that read as the adapter likes it.
fn candidates(gpu: &Gpu, precision: Precision) -> impl Iterator<Item = (&'static str, Tuning)> {
    let reads_well = move |tuning: &Tuning| precision == Precision::F16 || tuning.mirrored == gpu.prefers_mirrors();
    Tuning::all_in(precision).filter(move |(_, tuning)| tuning.family.lacks(gpu).is_none() && reads_well(tuning))
}

/// The different products of a training step, the lightest first; `None` where the step does not fit the adapter.
fn products(settings: &Settings, capabilities: &Capabilities) -> Result<Option<Vec<Case>>, CliError> {
    let network = engine::network(settings, capabilities)?;
    let Ok(mut products) = cases::of_network("", &network, settings.train.batch_size as u32) else { return Ok(None) };
    products.retain(Case::has_variants);
    products.sort_by_key(|product| product.flops);
    Ok(Some(products))
}

/// Seconds that each candidate takes for as many of the products as there is time for, the same ones for all.
fn time(
    gpu: &Gpu,
    settings: &Settings,
    capabilities: &Capabilities,
    tune: Tune,
    products: &[Case],
) -> Result<BTreeMap<&'static str, f64>, CliError> {
    let largest = products.last().map_or(0, |product| product.flops);
    let worth = |case: &&Case| tune == Tune::Full || case.flops as f64 >= WORTH_TIMING * largest as f64;
    let effort = if tune == Tune::Full { Effort::THOROUGH } else { Effort::QUICK };
    let mut contestants = Vec::new();
    for (name, tuning) in candidates(gpu, settings.train.precision) {
        let own = Capabilities { tuning, ..capabilities.clone() };
        contestants.extend(self::products(settings, &own)?.map(|products| (name, products, 0.0)));
    }
    let timed: Vec<&Case> = products.iter().filter(worth).collect();
    let bar = ProgressBar::new(timed.len() as u64);
    let bar = progress::styled(bar, "timing kernels {wide_bar} {pos}/{len}");
    let start = Instant::now();
    for (number, product) in timed.iter().enumerate() {
        let begun = Instant::now();
        let same = |cases: &[Case]| cases.iter().position(|case| case.name == product.name);
        // A product that not all of them do is no comparison.
        let all: Option<Vec<usize>> = contestants.iter().map(|(_, cases, _)| same(cases)).collect();
        for ((_, cases, seconds), index) in contestants.iter_mut().zip(all.into_iter().flatten()) {
            *seconds += bench::seconds(gpu, &cases[index], Clock::of(gpu), effort)?;
        }
        bar.inc(1);
        let next = timed.get(number + 1).map_or(0.0, |next| next.flops as f64 / product.flops as f64);
        let expected = start.elapsed() + begun.elapsed().mul_f64(next);
        if tune == Tune::Quick && expected.as_secs_f64() > QUICK_SECONDS {
            break;
        }
    }
    bar.finish_and_clear();
    Ok(contestants.into_iter().map(|(name, _, seconds)| (name, seconds)).collect())
}

/// The fastest, if it is faster by more than chance than what suits the adapter.
fn winner(capabilities: &Capabilities, seconds: &BTreeMap<&'static str, f64>) -> (Tuning, String) {
    let named = |tuning: Tuning| Tuning::NAMED.into_iter().find(|(_, known)| *known == tuning);
    let usual = named(capabilities.tuning).and_then(|(name, _)| Some((name, *seconds.get(name)?)));
    let fastest = seconds.iter().min_by(|a, b| a.1.total_cmp(b.1));
    match (usual, fastest) {
        (Some((_, usual)), Some((name, fastest))) if *fastest < WORTH_CHANGING * usual => {
            let (_, tuning) = Tuning::NAMED.into_iter().find(|(known, _)| known == name).expect("it is one of them");
            (tuning, (*name).to_owned())
        }
        _ => {
            let name = named(capabilities.tuning).map_or("the usual", |(name, _)| name);
            (capabilities.tuning, name.to_owned())
        }
    }
}

/// What the winners hold for.
fn identity(gpu: &Gpu, precision: Precision) -> String {
    let info = &gpu.info;
    format!("{}, {} {}, predsim {}, {precision}", info.name, info.driver, info.driver_info, env!("CARGO_PKG_VERSION"))
}

fn digest(products: &[Case]) -> String {
    let mut hasher = DefaultHasher::new();
    for case in products {
        (&case.name, case.flops, case.bytes).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// The winners of earlier runs; a file that cannot be read or understood counts as none, and is written anew.
fn read(path: &Path) -> Option<Winners> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Adds a winner. A cache folder that cannot be written costs the next run some seconds, and that is all.
fn keep(cache: Option<&Path>, adapter: &str, digest: &str, variant: &str) {
    let Some(path) = cache else { return };
    let mut winners = read(path).unwrap_or_default();
    winners.entry(adapter.to_owned()).or_default().insert(digest.to_owned(), variant.to_owned());
    if let Err(error) = replace(path, &winners) {
        tracing::warn!("{}: the kernels' times are not kept: {error}", path.display());
    }
}

fn replace(path: &Path, winners: &Winners) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer_pretty(&mut file, winners)?;
    file.flush()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_suits_the_adapter_stays_unless_another_is_clearly_faster() {
        let capabilities = Capabilities::webgpu(Precision::F32);
        let choice = |direct, workgroup| {
            let seconds = BTreeMap::from([("direct", direct), ("workgroup", workgroup)]);
            winner(&capabilities, &seconds).1
        };
        assert_eq!(choice(1.0, 0.5), "workgroup");
        assert_eq!(choice(1.0, 0.97), "direct");
        assert_eq!(choice(1.0, 2.0), "direct");
        assert_eq!(winner(&capabilities, &BTreeMap::new()).0, capabilities.tuning);
    }

    #[test]
    fn winners_are_kept_and_a_damaged_file_is_written_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("deep/tuning.json");
        keep(Some(&path), "a", "1", "direct");
        keep(Some(&path), "b", "1", "workgroup");
        let winners = read(&path).expect("winners");
        assert_eq!((winners["a"]["1"].as_str(), winners["b"]["1"].as_str()), ("direct", "workgroup"));
        std::fs::write(&path, "{ \"a\": ").expect("a damaged file");
        assert_eq!(read(&path), None);
        keep(Some(&path), "c", "2", "direct-narrow");
        assert_eq!(read(&path).expect("winners").len(), 1);
    }
}
