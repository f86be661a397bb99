//! The published program's experiments as command lines: each flag verbatim, through `--dry-run`.

use crate::support::{predsim, stdout};

#[test]
fn every_published_command_line_is_taken_verbatim() {
    let file: serde_json::Value = serde_json::from_str(include_str!("experiments.json")).unwrap();
    let experiments = file["experiments"].as_array().unwrap();
    assert_eq!(experiments.len(), 86);
    for experiment in experiments {
        let flags = experiment["flags"].as_object().unwrap();
        let mut command = predsim(&["train", "--dry-run"]);
        for (name, value) in flags {
            command.arg(format!("--{name}"));
            match value {
                serde_json::Value::Bool(true) => {}
                serde_json::Value::Array(many) => {
                    command.args(many.iter().map(ToString::to_string));
                }
                serde_json::Value::String(text) => {
                    command.arg(text);
                }
                other => {
                    command.arg(other.to_string());
                }
            }
        }
        let resolved: toml::Table = stdout(&mut command).parse().unwrap();
        let train = resolved["train"].as_table().unwrap();
        for (name, value) in flags.iter().filter(|(name, _)| *name != "dataset") {
            let got = serde_json::to_value(&train[name.as_str()]).unwrap();
            let same = got == *value || got.as_f64().is_some_and(|number| Some(number) == value.as_f64());
            assert!(same, "--{name}: asked for {value}, resolved to {got} in {flags:?}");
        }
    }
}
