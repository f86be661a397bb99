//! What is timed. The names are those that the peers' programs know, too.

use xtask::steps::Failure;

/// A case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub work: Work,
}

/// What a case does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// One operation, by its name in `predsim bench`.
    Kernel(&'static str),
    /// One training step.
    Step(Model, Learning),
}

/// What is trained, on pictures of 28x28 pixels and one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// Three hidden layers of 1024 units, batch 128.
    Mlp,
    /// VGG8B with half the channels, batch 64.
    Vgg8b,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learning {
    /// One global loss.
    Backprop,
    /// `predsim`, every block detached.
    Local,
}

/// All of them.
const CASES: [Case; 12] = [
    Case { name: "gemm512", work: Work::Kernel("gemm 512x512x512") },
    Case { name: "gemm1024", work: Work::Kernel("gemm 1024x1024x1024") },
    Case { name: "conv-forward28", work: Work::Kernel("conv forward 3x3 128->256 at 28x28, batch 32") },
    Case { name: "conv-dx28", work: Work::Kernel("conv dX 3x3 128->256 at 28x28, batch 32") },
    Case { name: "conv-dw28", work: Work::Kernel("conv dW 3x3 128->256 at 28x28, batch 32") },
    Case { name: "conv-forward14", work: Work::Kernel("conv forward 3x3 256->512 at 14x14, batch 32") },
    Case { name: "conv-dx14", work: Work::Kernel("conv dX 3x3 256->512 at 14x14, batch 32") },
    Case { name: "conv-dw14", work: Work::Kernel("conv dW 3x3 256->512 at 14x14, batch 32") },
    Case { name: "mlp-backprop", work: Work::Step(Model::Mlp, Learning::Backprop) },
    Case { name: "mlp-local", work: Work::Step(Model::Mlp, Learning::Local) },
    Case { name: "vgg8b-backprop", work: Work::Step(Model::Vgg8b, Learning::Backprop) },
    Case { name: "vgg8b-local", work: Work::Step(Model::Vgg8b, Learning::Local) },
];

/// The cases whose names contain `filter`.
///
/// # Errors
/// If there is none, with the names there are.
pub fn select(filter: Option<&str>) -> Result<Vec<Case>, Failure> {
    let wanted = |case: &Case| filter.is_none_or(|filter| case.name.contains(filter));
    let selected: Vec<Case> = CASES.into_iter().filter(wanted).collect();
    if selected.is_empty() {
        let filter = filter.unwrap_or_default();
        let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        return Err(Failure::usage(format!(
            "--filter {filter}: no case has it in its name; there are {}",
            names.join(", ")
        )));
    }
    Ok(selected)
}

impl Case {
    /// What it is, for people.
    pub fn description(&self) -> String {
        match self.work {
            Work::Kernel(name) => name.to_owned(),
            Work::Step(model, learning) => format!("{} step of {}", learning.name(), model.description()),
        }
    }

    /// Arguments with which `predsim` times it.
    pub fn bench_arguments(&self) -> Vec<&'static str> {
        match self.work {
            Work::Kernel(name) => vec!["bench", "--wall", "--json", "--filter", name],
            Work::Step(model, learning) => {
                let mut arguments = vec!["bench", "step", "--wall", "--json", "--steps", model.steps()];
                arguments.extend(model.flags());
                arguments.extend(learning.flags());
                arguments
            }
        }
    }

    /// Arguments with which `predsim` trains for a few of its steps, for the memory that this takes. The run's folder comes
    /// behind them.
    pub fn train_arguments(&self) -> Option<Vec<&'static str>> {
        let Work::Step(model, learning) = self.work else { return None };
        let mut arguments = vec!["train", "--epochs", "1", "--limit-train", "512", "--limit-test", "128"];
        arguments.extend(model.flags());
        arguments.extend(learning.flags());
        arguments.extend(["--overwrite", "--out"]);
        Some(arguments)
    }
}

impl Model {
    fn description(self) -> &'static str {
        match self {
            Self::Mlp => "an mlp of 3x1024, 28x28 pictures, batch 128",
            Self::Vgg8b => "vgg8b with half the channels, 28x28 pictures, batch 64",
        }
    }

    fn flags(self) -> Vec<&'static str> {
        let data = ["--dataset", "mnist-mini", "--model"];
        let model: &[&str] = match self {
            Self::Mlp => &["mlp", "--num-layers", "3", "--num-hidden", "1024", "--batch-size", "128"],
            Self::Vgg8b => &["vgg8b", "--feat-mult", "0.5", "--batch-size", "64"],
        };
        [&data, model].concat()
    }

    /// Steps that `predsim bench step` times: enough for a second or so.
    fn steps(self) -> &'static str {
        match self {
            Self::Mlp => "20",
            Self::Vgg8b => "5",
        }
    }
}

impl Learning {
    fn name(self) -> &'static str {
        match self {
            Self::Backprop => "a backprop",
            Self::Local => "a local-loss",
        }
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Backprop => &["--backprop"],
            Self::Local => &["--loss-sup", "predsim"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_selects_by_name() {
        assert_eq!(select(None).unwrap().len(), CASES.len());
        let names: Vec<&str> = select(Some("mlp")).unwrap().iter().map(|case| case.name).collect();
        assert_eq!(names, ["mlp-backprop", "mlp-local"]);
        let failure = select(Some("resnet")).unwrap_err();
        assert!(failure.code() == 2 && failure.to_string().contains("gemm512"), "{failure}");
    }

    #[test]
    fn steps_are_those_of_the_cases_names() {
        let [case] = select(Some("vgg8b-backprop")).unwrap()[..] else { panic!("one") };
        let arguments = case.bench_arguments().join(" ");
        assert!(arguments.starts_with("bench step --wall --json") && arguments.ends_with("--backprop"), "{arguments}");
        assert!(arguments.contains("--feat-mult 0.5 --batch-size 64"), "{arguments}");
        assert!(case.train_arguments().unwrap().ends_with(&["--backprop", "--overwrite", "--out"]));
        assert_eq!(select(Some("gemm512")).unwrap()[0].train_arguments(), None);
    }
}
