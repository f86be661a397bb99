//! `predsim recipes`: the built-in recipes with the errors that the paper reports.

use clap::Args;
use serde_json::json;

use super::error::CliError;
use super::output;
use super::recipe::{Recipe, built_in};

/// Flags of `predsim recipes`.
#[derive(Debug, Args)]
pub struct RecipesArgs {
    /// Print this recipe's file instead of the list
    pub name: Option<String>,
    /// Print one JSON object a recipe
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`CliError`].
pub fn run(args: &RecipesArgs) -> Result<(), CliError> {
    if let Some(name) = &args.name {
        let Some((_, text)) = built_in().find(|(known, _)| known == name) else {
            return Recipe::find(name).and_then(|recipe| output::json(&recipe));
        };
        return output::line(text.trim_end());
    }
    let recipes = built_in().map(|(name, _)| Ok((name, Recipe::find(name)?))).collect::<Result<Vec<_>, CliError>>()?;
    if args.json {
        return recipes.iter().try_for_each(|(name, recipe)| {
            let mut object = serde_json::to_value(recipe).map_err(|error| CliError::Failed(error.to_string()))?;
            object["name"] = json!(name);
            output::json(&object)
        });
    }
    let mut rows = vec![["recipe", "paper", "about"].map(str::to_owned).to_vec()];
    let row = |(name, recipe): &(&str, Recipe)| {
        let paper = recipe.paper_error_percent.map_or("-".to_owned(), |error| format!("{error} %"));
        vec![(*name).to_owned(), paper, recipe.about.clone().unwrap_or_default()]
    };
    rows.extend(recipes.iter().map(row));
    left(&rows).iter().try_for_each(|row| output::line(row))
}

/// The last column is prose and stands to the left.
fn left(rows: &[Vec<String>]) -> Vec<String> {
    let numbers: Vec<Vec<String>> = rows.iter().map(|row| row[..2].to_vec()).collect();
    output::columns(&numbers).iter().zip(rows).map(|(line, row)| format!("{line}  {}", row[2])).collect()
}
