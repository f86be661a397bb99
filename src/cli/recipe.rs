//! Recipes: settings with a name, built in or in a file, and what the paper says of them.
//!
//! A recipe is a TOML file: a table `[train]` with flags of `predsim train`, and before it what is known about the
//! result. A run's `config.toml` has the same form, so it can be given to `--recipe` too.

use std::path::Path;

use include_dir::{Dir, include_dir};
use serde::{Deserialize, Serialize};

use crate::run::{Settings, TrainFlags};
use crate::text::one_line;

use super::error::CliError;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets/recipes");

/// A named set of settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Recipe {
    /// One line about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Test error in percent that the paper reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper_error_percent: Option<f64>,
    /// Millions of parameters of trunk and output layer that the paper reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper_million_parameters: Option<f64>,
    /// What made a run's `config.toml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<MadeBy>,
    /// The settings.
    pub train: TrainFlags,
}

/// Program and adapter of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct MadeBy {
    /// Version of predsim.
    pub version: String,
    /// The adapter's name.
    pub adapter: String,
    /// Its driver.
    pub driver: String,
}

impl Recipe {
    /// The built-in recipe of this name, or the file at this path.
    ///
    /// # Errors
    /// A usage error for an unknown name or a file that is not a recipe.
    pub fn find(name: &str) -> Result<Self, CliError> {
        if let Some(recipe) = built_in().find(|(known, _)| *known == name) {
            return Self::parse(name, recipe.1);
        }
        let path = Path::new(name);
        if !path.exists() {
            return Err(CliError::usage(format!(
                "there is no recipe and no file \"{name}\"; `predsim recipes` lists the recipes{}",
                closest(name).map(|known| format!(", one of them is {known}")).unwrap_or_default()
            )));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| CliError::usage(format!("{name}: cannot be read ({error}); a recipe is a TOML file")))?;
        Self::parse(name, &text)
    }

    /// The recipe that is asked for, if one is, and the settings that it makes with `flags` over it.
    ///
    /// # Errors
    /// As [`Recipe::find`] and [`Settings::resolve`].
    pub fn with_flags(name: Option<&str>, flags: &TrainFlags) -> Result<(Self, Settings), CliError> {
        let recipe = name.map(Self::find).transpose()?.unwrap_or_default();
        let settings = Settings::resolve(&flags.over(&recipe.train))?;
        Ok((recipe, settings))
    }

    /// The recipe in `text`, which came from `name`.
    ///
    /// # Errors
    /// A usage error that names the line.
    pub fn parse(name: &str, text: &str) -> Result<Self, CliError> {
        // TOML knows infinities and NaN; no setting does.
        let train = text.parse::<toml::Table>().ok().and_then(|mut table| table.remove("train"));
        let endless = |value: &toml::Value| value.as_float().is_some_and(|number| !number.is_finite());
        if let Some((key, value)) =
            train.iter().filter_map(|train| train.as_table()).flatten().find(|(_, v)| endless(v))
        {
            return Err(CliError::usage(format!("{name}: {key} = {value} is no finite number, which it must be")));
        }
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            let reason = one_line(error.message());
            CliError::usage(format!(
                "{name}, line {line}: {reason}; a recipe holds flags of `predsim train` in [train]"
            ))
        })
    }
}

/// Names and texts of the built-in recipes, by name.
pub fn built_in() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut files: Vec<_> = BUILT_IN
        .files()
        .filter_map(|file| Some((file.path().file_name()?.to_str()?.strip_suffix(".toml")?, file.contents_utf8()?)))
        .collect();
    files.sort_unstable();
    files.into_iter()
}

/// The built-in name that shares the longest beginning with `name`, if that is more than two letters.
fn closest(name: &str) -> Option<&'static str> {
    let shared = |known: &str| known.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    built_in().map(|(known, _)| (shared(known), known)).filter(|(length, _)| *length > 2).max().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::Model;
    use crate::run::Settings;
    use crate::run::engine::Capabilities;
    use crate::run::memory::Planned;

    #[test]
    fn mistakes_in_a_file_are_placed() {
        let error = Recipe::parse("mine.toml", "about = \"x\"\n[train]\nlr = 1.0\nlearning-rate = 2.0\n").unwrap_err();
        assert!(error.to_string().starts_with("mine.toml, line 4: unknown field `learning-rate`"), "{error}");
        let error = Recipe::find("quickstrat").unwrap_err().to_string();
        assert!(error.contains("one of them is quickstart"), "{error}");
    }

    #[test]
    fn every_recipe_builds_its_network_of_the_papers_size_and_its_plan() {
        for (name, text) in built_in() {
            let recipe = Recipe::parse(name, text).unwrap();
            let settings = Settings::resolve(&recipe.train).unwrap();
            let model = Model::build(settings.model.clone()).unwrap();
            if let Some(millions) = recipe.paper_million_parameters {
                // The paper gives one digit behind the point, and none where there are three before it.
                let half = if millions.fract() == 0.0 { 0.5 } else { 0.05 };
                // Of the CIFAR-100 mlp it gives the size of the CIFAR-10 one, which has 90 outputs less.
                let outputs =
                    if name.starts_with("cifar100-mlp") { 90 * (settings.model.num_hidden as u64 + 1) } else { 0 };
                let built = (model.trunk_parameters() - outputs) as f64 / 1e6;
                assert!(
                    (built - millions).abs() <= half + 1e-9,
                    "{name}: {built} million parameters, paper {millions}"
                );
            }
            let planned = Planned::new(&settings, &Capabilities::webgpu(settings.train.precision));
            let planned = planned.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(planned.plan.flops() > 0, "{name}");
        }
    }
}
