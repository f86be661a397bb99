//! Every mistake gets its one line and its exit code, and nothing is lost by it.

use std::fs;
use std::path::Path;

use crate::support::{checkpoint, failure, gzip, idx_images, idx_labels, predsim, tiny, tiny_mnist};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[track_caller]
fn refused(command: &mut assert_cmd::Command, code: i32, words: &[&str]) {
    let (text, found) = failure(command);
    assert_eq!(found, code, "{text}");
    for word in words {
        assert!(text.contains(word), "\"{word}\" is missing in: {text}");
    }
}

#[test]
fn numbers_out_of_range() {
    let resume = folder();
    let run = trained(resume.path());
    refused(&mut predsim(&["bench", "--models", "mlp", "--batch-size", "0"]), 2, &["--batch-size", "1..="]);
    refused(&mut predsim(&["bench", "step", "--steps", "99999999999"]), 2, &["--steps"]);
    refused(&mut predsim(&["depth-study", "--depths", "0"]), 2, &["--depths"]);
    refused(
        &mut predsim(&["train", "--dry-run", "--dataset", "mnist-mini", "--lr", "-1"]),
        2,
        &["--lr must be above 0"],
    );
    refused(&mut predsim(&["train", "--dry-run", "--epochs", "10000000000000000000"]), 2, &["--epochs must be"]);
    let recipe = resume.path().join("endless.toml");
    fs::write(&recipe, "[train]\nlr = inf\n").unwrap();
    refused(predsim(&["train", "--dry-run", "--recipe"]).arg(&recipe), 2, &["endless.toml", "lr = inf", "finite"]);
    refused(predsim(&["train", "--epochs", "2", "--optim", "amsgrad", "--resume"]).arg(&run), 2, &["--optim", "vmax"]);
    let both = ["train", "--epochs", "2", "--batch-size", "25", "--num-hidden", "32", "--resume"];
    refused(predsim(&both).arg(&run), 2, &["--num-hidden would make another network"]);
}

#[test]
fn a_step_that_cannot_be_bound_is_no_panic_when_kernels_are_timed() {
    let dir = folder();
    let flags = ["--epochs", "1", "--tune", "quick", "--max-binding", "1024"];
    let mut command = crate::support::tiny(&dir.path().join("run"), &flags);
    refused(&mut command, 2, &["larger than the device can bind"]);
}

#[test]
fn wrong_flags() {
    let dir = folder();
    let out = dir.path().join("run");
    refused(&mut tiny(&out, &["--dataset", "minst"]), 2, &["--dataset", "multiple times"]);
    refused(&mut predsim(&["train", "--dataset", "minst"]), 2, &["unknown data set \"minst\"", "mnist-mini"]);
    refused(&mut predsim(&["train", "--model", "vgg9"]), 2, &["unknown model 'vgg9'", "vgg8b", "--model"]);
    refused(&mut predsim(&["train", "--batch-size", "0"]), 2, &["--batch-size must be from 1"]);
    refused(&mut predsim(&["train", "--lr", "nan"]), 2, &["--lr", "finite"]);
    refused(&mut predsim(&["train", "--epochs", "0"]), 2, &["--epochs must be from 1"]);
    refused(&mut predsim(&["train", "--dropout", "1"]), 2, &["--dropout is 1", "below 1"]);
    refused(&mut predsim(&["train", "--modle", "mlp"]), 2, &["--modle", "--model"]);
    refused(&mut predsim(&["train", "--recipe", "quickstrat"]), 2, &["quickstrat", "quickstart"]);
    refused(&mut predsim(&["fly"]), 2, &["fly"]);
    refused(&mut predsim(&["train", "--dataset", "mnist", "--epochs", "1"]), 2, &["--data DIR"]);
    assert!(!out.exists(), "a wrong flag leaves nothing behind");
}

#[test]
fn adapters_that_are_not_there() {
    let dir = folder();
    refused(&mut tiny(&dir.path().join("a"), &["--adapter", "Voodoo2"]), 3, &["Voodoo2", "--adapter"]);
    refused(&mut tiny(&dir.path().join("b"), &["--adapter", "99"]), 3, &["index 99"]);
}

/// Trains on a tiny MNIST one of whose files was replaced by `content`.
fn with_file(name: &str, content: &[u8]) -> (String, i32) {
    let dir = folder();
    tiny_mnist(dir.path());
    let path = dir.path().join(format!("{name}.gz"));
    fs::write(&path, content).unwrap();
    let out = dir.path().join("run");
    let (text, code) = failure(
        predsim(&["train", "--dataset", "mnist", "--model", "mlp", "--epochs", "1", "--data"])
            .arg(dir.path())
            .arg("--out")
            .arg(&out),
    );
    assert!(text.contains(&path.display().to_string()), "the file is named: {text}");
    assert!(!out.exists(), "nothing is begun");
    (text, code)
}

#[test]
fn damaged_data_files() {
    let labels: Vec<u8> = (0..60).map(|i| i % 10).collect();
    let whole = gzip(&idx_images(60));
    let too_large = { labels.iter().map(|&label| if label == 7 { 11 } else { label }).collect::<Vec<u8>>() };
    let mut wrong_size = idx_images(60);
    wrong_size[11] = 27;
    for (name, content, words) in [
        ("train-images-idx3-ubyte", whole[..whole.len() / 2].to_vec(), "cut off"),
        ("train-images-idx3-ubyte", gzip(&idx_labels(&labels)), "begins with 0x00000801"),
        ("train-labels-idx1-ubyte", gzip(&idx_labels(&too_large)), "label 11 at index 7 is out of range"),
        ("train-labels-idx1-ubyte", gzip(&idx_labels(&labels[..59])), "59 labels"),
        ("t10k-images-idx3-ubyte", gzip(&wrong_size), "27x28"),
    ] {
        let (text, code) = with_file(name, &content);
        assert!(code == 2 && text.contains(words), "{words}: {text}");
    }
}

#[test]
fn missing_data_files() {
    let dir = folder();
    tiny_mnist(dir.path());
    fs::remove_file(dir.path().join("t10k-labels-idx1-ubyte.gz")).unwrap();
    refused(
        predsim(&["train", "--dataset", "mnist", "--epochs", "1", "--data"]).arg(dir.path()),
        2,
        &["lacks its file t10k-labels-idx1-ubyte", "--data"],
    );
    refused(
        predsim(&["train", "--dataset", "mnist", "--epochs", "1", "--data"]).arg(dir.path().join("nowhere")),
        2,
        &["is not a folder"],
    );
}

#[test]
fn places_that_cannot_be_written() {
    let dir = folder();
    let file = dir.path().join("a-file");
    fs::write(&file, "in the way").unwrap();
    refused(&mut tiny(&file.join("run"), &["--epochs", "1"]), 2, &["cannot be written", "--out"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "in the way");
}

fn trained(dir: &Path) -> std::path::PathBuf {
    let run = dir.join("trained");
    tiny(&run, &["--epochs", "1"]).assert().success();
    run
}

#[test]
fn checkpoints_that_are_none_or_of_another_model() {
    let dir = folder();
    let run = trained(dir.path());
    let whole = checkpoint(&run);
    let bad = dir.path().join("bad.safetensors");
    let mut flipped = whole.clone();
    flipped[20] ^= 0xff;
    for (content, words) in [
        (whole[..whole.len() - 10].to_vec(), "cut off or damaged"),
        (b"not a checkpoint at all".to_vec(), "cut off or damaged"),
        (flipped, "cut off or damaged"),
    ] {
        fs::write(&bad, content).unwrap();
        for command in ["eval", "predict"] {
            let picture = dir.path().join("none.png");
            let mut command = predsim(&[command]);
            command.arg(&bad);
            if command.get_args().any(|argument| argument == "predict") {
                command.arg(&picture);
            }
            refused(&mut command, 2, &["bad.safetensors", words]);
        }
    }
    refused(predsim(&["eval"]).arg(dir.path().join("nowhere")), 2, &["nowhere", "cannot be read"]);
    refused(predsim(&["train", "--model", "vgg8b", "--resume"]).arg(&run), 2, &["--model", "another network"]);
    refused(predsim(&["train", "--epochs", "1", "--resume"]).arg(&run), 2, &["has its 1 epochs", "--epochs 2"]);
    // Settings of one network, tensors of another.
    let setting = br#"num_hidden\":16"#;
    let at = whole.windows(setting.len()).position(|bytes| bytes == setting).expect("the settings are in the header");
    let mut other = whole.clone();
    other[at + setting.len() - 1] = b'7';
    fs::write(&bad, other).unwrap();
    refused(predsim(&["eval"]).arg(&bad), 2, &["bad.safetensors", "belongs to another model"]);
    assert!(checkpoint(&run) == whole, "nothing was lost");
}

#[test]
fn pictures_that_do_not_fit() {
    let dir = folder();
    let run = trained(dir.path());
    let picture = dir.path().join("small.png");
    image::GrayImage::new(27, 28).save(&picture).unwrap();
    refused(predsim(&["predict"]).arg(&run).arg(&picture), 2, &["small.png", "28x27", "28x28"]);
    fs::write(&picture, "no picture").unwrap();
    refused(predsim(&["predict"]).arg(&run).arg(&picture), 2, &["small.png", "not a readable picture"]);
    refused(predsim(&["predict"]).arg(&run), 2, &["IMAGE"]);
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_keeps_what_was_saved() {
    let dir = folder();
    let run = trained(dir.path());
    let good = checkpoint(&run);
    refused(
        predsim(&["train", "--epochs", "2", "--lr", "1e30", "--resume"]).arg(&run),
        1,
        &["is not finite at step 1", "epoch 2", "nothing is saved", "--lr"],
    );
    assert!(checkpoint(&run) == good, "the checkpoint was replaced");
}
