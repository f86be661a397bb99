//! Variants of the kernels: forced, timed, remembered.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{checkpoint, failure, objects, predsim, stdout, tiny};

/// A run that times its kernels, with its caches in `home`; the object that says what came of it.
fn tuned(home: &Path, tune: &str) -> Option<Value> {
    let mut command = tiny(&home.join("run"), &["--epochs", "1", "--overwrite", "--json", "--tune", tune]);
    // Where caches lie on Linux, on macOS and on Windows.
    command.env("XDG_CACHE_HOME", home).env("HOME", home).env("LOCALAPPDATA", home);
    objects(&stdout(&mut command)).into_iter().find(|object| object["event"] == "tuning")
}

fn timed(tuning: &Value) -> usize {
    tuning["seconds"].as_object().expect("times").len()
}

#[test]
fn kernels_are_timed_once_and_a_damaged_cache_is_made_again() {
    let home = tempfile::tempdir().expect("a folder");
    assert_eq!(tuned(home.path(), "off"), None);
    let first = tuned(home.path(), "quick").expect("kernels are timed");
    assert!(timed(&first) > 1, "{first}");
    let second = tuned(home.path(), "quick").expect("times are remembered");
    assert_eq!((timed(&second), &second["variant"]), (0, &first["variant"]));

    let cache = Path::new(first["cache"].as_str().expect("a cache"));
    fs::write(cache, "{ \"llvm").expect("a damaged cache");
    let third = tuned(home.path(), "quick").expect("kernels are timed again");
    assert_eq!(timed(&third), timed(&first));
    assert_eq!(timed(&tuned(home.path(), "quick").expect("times are remembered")), 0);
    let full = tuned(home.path(), "full").expect("kernels are timed");
    assert_eq!(timed(&full), timed(&first), "full does so in every run");
}

#[test]
fn a_variant_can_be_forced_and_an_unknown_one_is_refused_before_anything_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let forced = |name: &str| {
        let mut command = tiny(&out, &["--epochs", "1", "--overwrite"]);
        command.env("PREDSIM_FORCE_VARIANT", name);
        command
    };
    stdout(&mut forced("workgroup"));
    let (line, code) = failure(&mut forced("warpgroup"));
    assert_eq!(code, 2);
    assert!(
        line.contains("warpgroup") && line.contains(" workgroup,") && line.ends_with("cooperative16-f16"),
        "{line}"
    );
    assert!(out.join("checkpoint.safetensors").exists(), "the earlier run is still there");
}

#[test]
fn products_in_f16_train_and_resume_to_the_same_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    let [single, whole, parts] = ["single", "whole", "parts"].map(|name| folder.path().join(name));
    let run = |out: &Path, epochs, precision| tiny(out, &["--epochs", epochs, "--precision", precision, "--tune=off"]);
    let adapters = stdout(&mut predsim(&["devices", "--json"]));
    if !objects(&adapters)[0].to_string().contains("\"f16\"") {
        let (line, code) = failure(&mut run(&whole, "2", "f16"));
        assert!(code == 2 && line.contains("f32 works everywhere"), "{line}");
        return;
    }
    stdout(&mut run(&single, "2", "f32"));
    stdout(&mut run(&whole, "2", "f16"));
    stdout(&mut run(&parts, "1", "f16"));
    let config = fs::read_to_string(parts.join("config.toml")).expect("a config");
    assert!(config.contains("precision = \"f16\""), "{config}");
    stdout(predsim(&["train", "--epochs", "2", "--tune=off", "--resume"]).arg(&parts));
    assert!(checkpoint(&whole) == checkpoint(&parts), "the two checkpoints differ");
    assert!(checkpoint(&whole) != checkpoint(&single), "nothing was rounded");

    // Two precisions do not go together, and what is asked for last counts.
    let mut forced = run(&single, "2", "f16");
    let (line, code) = failure(forced.arg("--overwrite").env("PREDSIM_FORCE_VARIANT", "direct"));
    assert!(code == 2 && line.contains("direct computes in f32") && line.contains("workgroup-f16"), "{line}");
    stdout(predsim(&["eval"]).arg(&whole));
}
