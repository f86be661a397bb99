//! Results, their medians and ratios, and how they are printed.

use serde_json::Value;

use crate::contestants::Contestant;

/// A warm-up that is worth a remark, in seconds.
const LONG_WARM_UP: f64 = 30.0;

/// One run's measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Median time of what was timed, in seconds.
    pub seconds: f64,
    /// Adapter or processor that it ran on.
    pub adapter: String,
    /// Seconds of warming up.
    pub warm_up: f64,
}

impl Run {
    /// Reads the last line that a contestant printed, a JSON object: a peer's, `predsim bench step`'s, or
    /// `predsim bench`'s with one case.
    ///
    /// # Errors
    /// What is missing in it.
    pub fn parse(stdout: &str) -> Result<Self, String> {
        let line = stdout.lines().next_back().unwrap_or_default();
        let object: Value = serde_json::from_str(line).map_err(|error| format!("{line:?} is no JSON: {error}"))?;
        let cases = object["cases"].as_array();
        let seconds = match cases.map(Vec::as_slice) {
            None => &object["seconds"],
            Some([case]) => &case["seconds"],
            Some(cases) => return Err(format!("there is one case to be timed, not {}", cases.len())),
        };
        let seconds = seconds.as_f64().filter(|seconds| *seconds > 0.0).ok_or(format!("no seconds in {line}"))?;
        let adapter = object["adapter"].as_str().unwrap_or("an unknown adapter").to_owned();
        Ok(Self { seconds, adapter, warm_up: object["warmup_seconds"].as_f64().unwrap_or(0.0) })
    }
}

/// One contestant's rounds on one case.
#[derive(Debug)]
pub struct Results {
    name: &'static str,
    rounds: Vec<Result<Run, String>>,
    peaks: Vec<u64>,
}

impl Results {
    /// None yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, rounds: Vec::new(), peaks: Vec::new() }
    }

    /// Adds a round.
    pub fn push(&mut self, run: Result<Run, String>, peak_bytes: Option<u64>) {
        // A run that did not come to its end has no peak that means anything.
        self.peaks.extend(peak_bytes.filter(|_| run.is_ok()));
        self.rounds.push(run);
    }

    /// Median of the rounds that came to an end, in seconds.
    fn seconds(&self) -> Option<f64> {
        median(self.rounds.iter().flatten().map(|run| run.seconds).collect())
    }

    /// Median over the rounds of its time over that of `base` in the same round.
    fn ratio(&self, base: &Self) -> Option<f64> {
        let both = self.rounds.iter().zip(&base.rounds);
        median(both.filter_map(|(run, base)| Some(run.as_ref().ok()?.seconds / base.as_ref().ok()?.seconds)).collect())
    }

    /// The smallest of the rounds' peaks in bytes: that of one which found everything tuned.
    fn peak(&self) -> Option<u64> {
        self.peaks.iter().copied().min()
    }

    fn adapter(&self) -> Option<&str> {
        self.rounds.iter().flatten().map(|run| run.adapter.as_str()).next()
    }

    /// What a reader of the figures has to know besides.
    fn remarks(&self, base: &Self) -> Vec<String> {
        let Self { name, rounds, .. } = self;
        let mut remarks = Vec::new();
        let failed: Vec<&String> = rounds.iter().filter_map(|run| run.as_ref().err()).collect();
        if let Some(reason) = failed.first() {
            remarks.push(format!("{name}: {} of {} rounds came to nothing: it {reason}", failed.len(), rounds.len()));
        }
        let warm_up = rounds.iter().flatten().map(|run| run.warm_up).fold(0.0, f64::max);
        if warm_up > LONG_WARM_UP {
            remarks.push(format!("{name}: warmed up for {warm_up:.0} s in one round"));
        }
        if let (Some(adapter), Some(other)) = (self.adapter(), base.adapter())
            && adapter != other
        {
            remarks.push(format!("{name}: ran on {adapter}, {} on {other}", base.name));
        }
        remarks
    }
}

/// The middle one, or the mean of the middle two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// Names above the columns.
pub fn header(contestants: &[Contestant]) -> String {
    let names = contestants.iter().map(|contestant| format!("{:>11}         ", contestant.name));
    format!("{:<16}{}", "case", names.collect::<String>()).trim_end().to_owned()
}

/// A case's times in ms, those of the peers with their ratio to the first contestant's.
pub fn times(case: &str, results: &[Results]) -> String {
    row(case, results, |result| Some(1e3 * result.seconds()?), Results::ratio, 2)
}

/// A case's peaks of memory in MiB, in the same form.
pub fn peaks(case: &str, results: &[Results]) -> String {
    let mebibytes = |result: &Results| Some(result.peak()? as f64 / f64::from(1 << 20));
    let ratio = |result: &Results, base: &Results| Some(mebibytes(result)? / mebibytes(base)?);
    row(case, results, mebibytes, ratio, 0)
}

fn row(
    case: &str,
    results: &[Results],
    value: impl Fn(&Results) -> Option<f64>,
    ratio: impl Fn(&Results, &Results) -> Option<f64>,
    decimals: usize,
) -> String {
    let mut line = format!("{case:<16}");
    for (column, result) in results.iter().enumerate() {
        let number = value(result).map_or("-".to_owned(), |value| format!("{value:.decimals$}"));
        let factor = if column == 0 { None } else { ratio(result, &results[0]) };
        let factor = factor.map_or(String::new(), |factor| format!("({factor:.2})"));
        line.push_str(&format!("{number:>11} {factor:<8}"));
    }
    line.trim_end().to_owned()
}

/// Lines below a case's row: rounds that failed, long warm-ups, different adapters.
pub fn remarks(results: &[Results]) -> Vec<String> {
    results.iter().flat_map(|result| result.remarks(&results[0])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(name: &'static str, seconds: &[Option<f64>]) -> Results {
        let mut results = Results::new(name);
        for seconds in seconds {
            let run = Run { seconds: seconds.unwrap_or(0.0), adapter: "llvmpipe".to_owned(), warm_up: 0.0 };
            results.push(seconds.map(|_| run).ok_or("took more than 9 s and was stopped".to_owned()), Some(3 << 20));
        }
        results
    }

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![5.0]), Some(5.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn all_contestants_are_read() {
        let peer = Run::parse("a note\n{\"adapter\":\"llvmpipe\",\"seconds\":0.5,\"warmup_seconds\":40}\n").unwrap();
        assert_eq!(peer, Run { seconds: 0.5, adapter: "llvmpipe".to_owned(), warm_up: 40.0 });
        let kernel = Run::parse("{\"adapter\":\"llvmpipe\",\"cases\":[{\"name\":\"gemm\",\"seconds\":0.25}]}").unwrap();
        assert_eq!(kernel.seconds, 0.25);
        for wrong in ["", "no json", "{}", "{\"seconds\":0}", "{\"cases\":[{\"seconds\":1},{\"seconds\":1}]}"] {
            assert!(Run::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ratios_are_those_of_the_same_rounds() {
        let ours = results("predsim", &[Some(1.0), Some(2.0), Some(4.0)]);
        // Paired: 3, 3 and 2. The ratio of the medians would be 3 too, were it not for the round that is missing.
        let theirs = results("burn", &[Some(3.0), Some(6.0), Some(8.0)]);
        assert_eq!(theirs.ratio(&ours), Some(3.0));
        let stopped = results("burn", &[None, Some(6.0), Some(8.0)]);
        assert_eq!(stopped.ratio(&ours), Some(2.5));
        assert_eq!(results("burn", &[None, None, None]).ratio(&ours), None);
    }

    #[test]
    fn rows_show_times_ratios_and_what_is_missing() {
        let all = [results("predsim", &[Some(0.001)]), results("burn", &[Some(0.0025)]), results("PyTorch", &[None])];
        assert_eq!(times("gemm512", &all), "gemm512                1.00                2.50 (2.50)            -");
        assert_eq!(peaks("gemm512", &all), "gemm512                   3                   3 (1.00)            -");
        assert_eq!(remarks(&all), ["PyTorch: 1 of 1 rounds came to nothing: it took more than 9 s and was stopped"]);
    }
}
