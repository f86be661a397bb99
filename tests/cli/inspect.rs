//! The commands that look at things: plan, devices, recipes, eval, predict, help.

use std::fs;

use crate::support::{objects, predsim, stdout, tiny};

#[test]
fn a_plan_needs_no_adapter_and_compares_with_backpropagation() {
    let text = stdout(&mut predsim(&["plan", "--model", "vgg8b", "--adapter", "none", "--json"]));
    let plan = &objects(&text)[0];
    let bytes = |key: &str| plan[key].as_u64().unwrap_or_else(|| panic!("{key}: {plan}"));
    let (local, backprop) = (bytes("activation_bytes_local"), bytes("activation_bytes_backprop"));
    let ratio = plan["activation_ratio"].as_f64().unwrap();
    assert!((ratio - local as f64 / backprop as f64).abs() < 1e-12);
    assert_eq!(plan["plan"]["stages"].as_array().map(Vec::len), Some(8));
    let text = stdout(&mut predsim(&["plan", "--model", "mlp", "--adapter", "none", "--tensors"]));
    for word in ["fc1", "output", "fc1.y", "local/backprop"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn devices_are_listed_and_shaders_dumped() {
    let dir = tempfile::tempdir().unwrap();
    let text = stdout(predsim(&["devices", "--json", "--dump-shaders"]).arg(dir.path()));
    let adapters = objects(&text).pop().unwrap();
    assert!(!adapters.as_array().unwrap().is_empty());
    for key in ["name", "kind", "backend", "max_binding_bytes", "features"] {
        assert!(!adapters[0][key].is_null(), "{key}: {adapters}");
    }
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(files.len(), predsim::kernels::all_variants().len());
    let all_complete = files.iter().all(|file| fs::read_to_string(file).unwrap().contains("@compute"));
    assert!(all_complete, "every file holds an entry point");
}

#[test]
fn recipes_are_listed_and_shown() {
    let text = stdout(&mut predsim(&["recipes"]));
    assert!(text.contains("quickstart"), "{text}");
    let recipe = stdout(&mut predsim(&["recipes", "quickstart"]));
    assert!(recipe.parse::<toml::Table>().unwrap().contains_key("train"));
}

#[test]
fn pictures_are_classified_by_every_block() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    tiny(&run, &["--epochs", "1", "--num-layers", "2"]).assert().success();
    let data = predsim::data::load("mnist-mini", None).unwrap();
    let paths: Vec<_> = (0..3)
        .map(|index| {
            let path = dir.path().join(format!("digit{index}.{}", ["png", "bmp", "gif"][index as usize]));
            let picture = image::GrayImage::from_raw(
                28,
                28,
                data.test.in_memory().expect("it is embedded").image(index).to_vec(),
            )
            .unwrap();
            image::DynamicImage::from(picture).into_rgb8().save(&path).unwrap();
            path
        })
        .collect();
    let text = stdout(predsim(&["predict", "--json", "--top", "10"]).arg(&run).args(&paths));
    let answers = objects(&text);
    assert_eq!(answers.len(), 3);
    for (answer, path) in answers.iter().zip(&paths) {
        assert_eq!(answer["image"], path.display().to_string());
        let sum = |guesses: &serde_json::Value| -> f64 {
            guesses.as_array().unwrap().iter().map(|guess| guess["probability"].as_f64().unwrap()).sum()
        };
        assert!((sum(&answer["classes"]) - 1.0).abs() < 1e-6);
        let names: Vec<_> = answer["blocks"].as_array().unwrap().iter().map(|block| block["by"].clone()).collect();
        assert_eq!(names, ["fc1", "fc2"]);
    }
    let one = stdout(predsim(&["predict"]).arg(&run).arg(&paths[0]));
    assert!(one.contains("digit0.png: ") && one.contains(" %") && one.contains("fc2"), "{one}");
}

#[test]
fn help_teaches() {
    let text = stdout(&mut predsim(&["--help"]));
    assert!(text.contains("Exit codes") && text.contains("--recipe quickstart"), "{text}");
    let text = stdout(&mut predsim(&["train", "--help"]));
    for flag in ["--model", "--lr-decay-milestones", "--no-batch-norm", "--save-dir", "[default: 0.0005]"] {
        assert!(text.contains(flag), "{flag}");
    }
}

#[test]
fn kernels_are_timed_and_compared_with_an_earlier_run() {
    let dir = tempfile::tempdir().unwrap();
    let text = stdout(&mut predsim(&["bench", "--filter", "512x512", "--json"]));
    let results = &objects(&text)[0];
    let case = &results["cases"][0];
    assert_eq!(case["flops"].as_u64(), Some(2 << 27));
    assert!(case["seconds"].as_f64().unwrap() > 0.0 && case["limits"]["flops"].as_f64().unwrap() > 0.0);
    let file = dir.path().join("old.json");
    fs::write(&file, &text).unwrap();
    let text = stdout(predsim(&["bench", "--filter", "512x512", "--compare"]).arg(&file));
    assert!(text.contains(" x as fast") && text.contains("the adapter's limit") && text.contains(" % of "), "{text}");
    let step =
        ["bench", "step", "--model", "mlp", "--num-hidden", "16", "--batch-size", "32", "--dataset", "mnist-mini"];
    let text = stdout(&mut predsim(&step));
    assert!(text.contains("a step of 32 samples") && text.contains("linear forward"), "{text}");
}

#[test]
fn the_host_clock_times_kernels_and_steps_for_other_engines_to_compare_with() {
    let text = stdout(&mut predsim(&["bench", "--wall", "--filter", "512x512", "--json"]));
    assert!(objects(&text)[0]["cases"][0]["seconds"].as_f64().unwrap() > 0.0, "{text}");
    let step = ["bench", "step", "--wall", "--json", "--model", "mlp", "--num-hidden", "16", "--dataset", "mnist-mini"];
    let text = stdout(predsim(&step).args(["--batch-size", "32", "--steps", "2"]));
    let result = &objects(&text)[0];
    assert_eq!(result["samples"].as_u64(), Some(32));
    assert!(result["seconds"].as_f64().unwrap() > 0.0, "{text}");
}
