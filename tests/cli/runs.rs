//! Training runs: what they leave in their folder, that they can be interrupted and gone on with to the same bits.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{checkpoint, failure, metrics, objects, predsim, stdout, tiny, tiny_mnist};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn a_run_leaves_its_settings_metrics_and_checkpoints() {
    let dir = folder();
    let run = dir.path().join("run");
    let text = stdout(&mut tiny(&run, &["--epochs", "2", "--loss-sup", "pred"]));
    assert!(text.contains("epoch 2/2  test error") && text.contains("fc1"), "{text}");
    for file in ["checkpoint.safetensors", "best.safetensors"] {
        assert!(run.join(file).is_file(), "{file}");
    }
    let config: toml::Table = fs::read_to_string(run.join("config.toml")).unwrap().parse().unwrap();
    assert_eq!(config["train"]["loss-sup"].as_str(), Some("pred"));
    assert_eq!(config["train"]["lr"].as_float(), Some(0.0005));
    assert_eq!(config["made-by"]["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    let rows = metrics(&run);
    let order: Vec<String> = rows.iter().map(|row| format!("{} {}", row["epoch"], row["split"])).collect();
    assert_eq!(order, ["1 \"train\"", "1 \"test\"", "2 \"train\"", "2 \"test\""]);
    for row in &rows {
        let train = row["split"] == "train";
        for key in ["error_percent", "loss_global", "seconds", "samples_per_second", "lr"] {
            assert!(row[key].is_f64(), "{key}: {row}");
        }
        let block = &row["blocks"][0];
        assert_eq!((block["index"].as_u64(), block["name"].as_str()), (Some(0), Some("fc1")));
        assert!(block["loss_pred"].is_f64() && block["error_percent"].is_f64(), "{row}");
        assert_eq!(block["loss_sim"], Value::Null, "a pred run has no sim loss");
        assert_eq!(block["grad_norm"].is_f64(), train, "{row}");
    }
}

#[test]
fn going_on_gives_the_bits_of_a_run_that_never_stopped() {
    let dir = folder();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let flags = ["--dropout", "0.2", "--lr-decay-milestones", "1", "2"];
    tiny(&whole, &flags).args(["--epochs", "3"]).assert().success();
    tiny(&parts, &flags).args(["--epochs", "1"]).assert().success();
    for (epochs, from) in [("2", parts.clone()), ("3", parts.join("checkpoint.safetensors"))] {
        predsim(&["train", "--epochs", epochs, "--resume"]).arg(from).assert().success();
    }
    assert!(checkpoint(&whole) == checkpoint(&parts), "the two checkpoints differ");
    let errors = |run: &Path| metrics(run).iter().map(|row| row["error_percent"].clone()).collect::<Vec<_>>();
    assert_eq!(errors(&whole), errors(&parts));
}

/// Sends the signal of Ctrl-C behind the first epoch's end and returns what the process printed.
#[cfg(unix)]
fn interrupted(run: &Path) -> String {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};

    let mut process = Command::new(assert_cmd::cargo::cargo_bin("predsim"))
        .args(["train", "--dataset", "mnist-mini", "--model", "mlp", "--num-hidden", "64", "--batch-size", "20"])
        .args(["--limit-train", "2000", "--limit-test", "100", "--epochs", "4", "--json", "--out"])
        .arg(run)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut reader = BufReader::new(process.stdout.take().expect("a pipe"));
    let mut text = String::new();
    while !text.contains("\"split\":\"test\"") {
        assert!(reader.read_line(&mut text).expect("a line") > 0, "it ended early: {text}");
    }
    let killed = Command::new("kill").args(["-INT", &process.id().to_string()]).status().expect("kill runs");
    assert!(killed.success());
    reader.read_to_string(&mut text).expect("the rest");
    assert!(process.wait().expect("it ends").success());
    text
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let dir = folder();
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    let text = interrupted(&parts);
    let last = objects(&text).pop().expect("objects");
    assert_eq!(last["event"], "stopped", "{text}");
    assert_eq!(last["resume"], format!("predsim train --resume {}", parts.display()));
    // Without --epochs the run goes on to where it was to go.
    predsim(&["train", "--resume"]).arg(&parts).assert().success();
    predsim(&["train", "--dataset", "mnist-mini", "--model", "mlp", "--num-hidden", "64", "--batch-size", "20"])
        .args(["--limit-train", "2000", "--limit-test", "100", "--epochs", "4", "--out"])
        .arg(&whole)
        .assert()
        .success();
    assert!(checkpoint(&whole) == checkpoint(&parts), "the two checkpoints differ");
    assert_eq!(metrics(&parts).len(), 8);
}

#[test]
fn json_is_one_object_a_line() {
    let dir = folder();
    let text = stdout(&mut tiny(&dir.path().join("run"), &["--epochs", "1", "--json", "--backprop"]));
    let objects = objects(&text);
    let events: Vec<&str> = objects.iter().filter_map(|object| object["event"].as_str()).collect();
    assert_eq!(events.len(), objects.len());
    assert_eq!((events[0], events[events.len() - 1]), ("start", "done"));
    assert_eq!(events.iter().filter(|event| **event == "epoch").count(), 2);
    assert_eq!(objects[0]["settings"]["backprop"], true);
    assert!(objects[objects.len() - 1]["error_percent"].is_f64());
}

#[test]
fn a_run_is_replaced_only_when_told_to() {
    let dir = folder();
    let run = dir.path().join("run");
    tiny(&run, &["--epochs", "1"]).assert().success();
    let (text, code) = failure(&mut tiny(&run, &["--epochs", "1"]));
    assert!(code == 2 && text.contains("holds a run already"), "{text}");
    tiny(&run, &["--epochs", "2", "--overwrite"]).assert().success();
    assert_eq!(metrics(&run).len(), 4);
}

#[test]
fn what_is_refused_leaves_the_earlier_run_as_it_was() {
    let dir = folder();
    let run = dir.path().join("run");
    tiny(&run, &["--epochs", "1"]).assert().success();
    let all = || {
        ["checkpoint.safetensors", "best.safetensors", "metrics.jsonl", "config.toml"].map(|f| fs::read(run.join(f)))
    };
    let before = all().map(Result::unwrap);
    let small = ["--epochs", "2", "--memory-budget", "1KiB"];
    let (text, code) = failure(tiny(&run, &small).arg("--overwrite"));
    assert!(code == 2 && text.contains("--memory-budget"), "{text}");
    let (text, code) = failure(predsim(&["train"]).args(small).arg("--resume").arg(&run));
    assert!(code == 2 && text.contains("--memory-budget"), "{text}");
    assert!(all().map(Result::unwrap) == before, "a refused command has changed the run");
}

#[cfg(unix)]
#[test]
fn a_run_outlives_whoever_reads_its_output() {
    use std::process::Stdio;
    let dir = folder();
    let run = dir.path().join("run");
    let mut process = std::process::Command::new(assert_cmd::cargo::cargo_bin("predsim"))
        .args(crate::support::TINY)
        .args(["--epochs", "2", "--json", "--out"])
        .arg(&run)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let mut reader = std::io::BufReader::new(process.stdout.take().expect("a pipe"));
    while !line.contains("\"memory\"") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut reader, &mut line).expect("a line") > 0, "it ended early");
    }
    drop(reader);
    assert!(process.wait().expect("it ends").success());
    assert!(!checkpoint(&run).is_empty() && metrics(&run).len() == 4);
}

#[test]
fn a_run_goes_on_in_its_folder_by_either_name_and_takes_its_best_along() {
    let dir = folder();
    let (run, other) = (dir.path().join("run"), dir.path().join("other"));
    tiny(&run, &["--epochs", "1"]).assert().success();
    predsim(&["train", "--epochs", "2", "--resume"]).arg(&run).arg("--out").arg(&run).assert().success();
    assert_eq!(metrics(&run).len(), 4);
    // At this rate nothing gets better.
    predsim(&["train", "--epochs", "3", "--lr", "1e-12", "--resume"])
        .arg(&run)
        .arg("--out")
        .arg(&other)
        .assert()
        .success();
    assert!(other.join("best.safetensors").is_file());
    // In the current folder, beside the settings of another program.
    fs::remove_file(other.join("metrics.jsonl")).unwrap();
    fs::write(other.join("config.toml"), "title = 'mine'").unwrap();
    predsim(&["eval", "best.safetensors", "--limit-test", "10"]).current_dir(&other).assert().success();
}

#[test]
fn a_greedy_run_is_asked_gone_on_with_and_complete() {
    let dir = folder();
    let run = dir.path().join("run");
    tiny(&run, &["--num-layers", "2", "--schedule", "greedy", "--epochs", "1"]).assert().success();
    let picture = dir.path().join("digit.png");
    image::GrayImage::from_fn(28, 28, |x, y| image::Luma([((x * y) % 256) as u8])).save(&picture).unwrap();
    let answer = objects(&stdout(predsim(&["predict", "--json"]).arg(&run).arg(&picture))).remove(0);
    let by = |answer: &Value| {
        let blocks = answer["blocks"].as_array().unwrap().clone();
        blocks.iter().map(|block| block["guesses"][0]["probability"].as_f64().unwrap()).collect::<Vec<_>>()
    };
    // A classifier that is not reached would find all ten classes as likely.
    assert!(by(&answer).iter().all(|&probability| probability > 0.101), "{answer}");
    assert!(answer["classes"][0]["probability"].as_f64().unwrap() > 0.101, "{answer}");
    let (text, code) = failure(predsim(&["train", "--resume"]).arg(&run));
    assert!(code == 2 && text.contains("greedy") && !text.contains("--epochs"), "{text}");
}

#[test]
fn a_config_is_a_recipe() {
    let dir = folder();
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    tiny(&first, &["--epochs", "1", "--nonlin", "leakyrelu"]).assert().success();
    let config = first.join("config.toml");
    predsim(&["train", "--recipe"]).arg(config).arg("--out").arg(&second).assert().success();
    assert!(checkpoint(&first) == checkpoint(&second));
    let switched = stdout(
        predsim(&["train", "--dry-run", "--backprop=false", "--lr", "0.25", "--recipe"]).arg(first.join("config.toml")),
    );
    assert!(switched.contains("backprop = false") && switched.contains("lr = 0.25"), "{switched}");
}

#[test]
fn real_files_are_found_in_the_data_folder() {
    let dir = folder();
    tiny_mnist(dir.path());
    let run = dir.path().join("run");
    predsim(&["train", "--dataset", "MNIST", "--model", "vgg4", "--feat-mult", "0.0625", "--num-hidden", "16"])
        .args(["--batch-size", "20", "--epochs", "1", "--data"])
        .arg(dir.path())
        .arg("--out")
        .arg(&run)
        .assert()
        .success();
    assert_eq!(metrics(&run)[0]["samples"], 60);
    // The folder of the data is remembered.
    let text = stdout(predsim(&["eval", "--json"]).arg(&run));
    assert_eq!(objects(&text)[0]["error_percent"], metrics(&run)[1]["error_percent"]);
}
