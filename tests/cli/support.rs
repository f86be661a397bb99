//! Running the program, reading what a run left, making small data sets.

use std::fs;
use std::io::Write;
use std::path::Path;

use assert_cmd::Command;
use flate2::write::GzEncoder;
use serde_json::Value;

/// `predsim` with `arguments`.
pub fn predsim(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("predsim").expect("the program is built");
    command.args(arguments);
    command
}

/// Flags of a run that takes no time: a dense net of 16 features on 400 embedded digits.
pub const TINY: [&str; 12] = [
    "train",
    "--dataset",
    "mnist-mini",
    "--model",
    "mlp",
    "--num-hidden",
    "16",
    "--limit-train",
    "400",
    "--limit-test",
    "100",
    "--batch-size=50",
];

/// The tiny run with more flags, in `out`.
pub fn tiny(out: &Path, more: &[&str]) -> Command {
    let mut command = predsim(&TINY);
    command.arg("--out").arg(out).args(more);
    command
}

/// Standard output of a command that has to succeed.
pub fn stdout(command: &mut Command) -> String {
    let output = command.assert().success().get_output().stdout.clone();
    String::from_utf8(output).expect("text")
}

/// The one line in which a command that has to fail says why, and its exit code.
pub fn failure(command: &mut Command) -> (String, i32) {
    let output = command.assert().failure().get_output().clone();
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(text.lines().count(), 1, "one line is wanted, not: {text}");
    assert!(text.starts_with("predsim: "), "{text}");
    (text.trim_end().to_owned(), output.status.code().expect("an exit code"))
}

/// The objects of a JSON-lines text.
pub fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// The objects of a run's metrics.
pub fn metrics(run: &Path) -> Vec<Value> {
    objects(&fs::read_to_string(run.join("metrics.jsonl")).expect("metrics"))
}

/// A run's last checkpoint.
pub fn checkpoint(run: &Path) -> Vec<u8> {
    fs::read(run.join("checkpoint.safetensors")).expect("a checkpoint")
}

/// `bytes`, gzipped.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// An idx file of `n` pictures of 28x28.
pub fn idx_images(n: u32) -> Vec<u8> {
    let mut file: Vec<u8> = [0x0803u32, n, 28, 28].iter().flat_map(|word| word.to_be_bytes()).collect();
    file.extend((0..n * 784).map(|i| (i * 37 % 251) as u8));
    file
}

/// An idx file of labels.
pub fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let mut file: Vec<u8> = [0x0801u32, labels.len() as u32].iter().flat_map(|word| word.to_be_bytes()).collect();
    file.extend_from_slice(labels);
    file
}

/// The four files of a tiny MNIST in `folder`, gzipped.
pub fn tiny_mnist(folder: &Path) {
    let labels: Vec<u8> = (0..60).map(|i| i % 10).collect();
    for (name, content) in [
        ("train-images-idx3-ubyte", idx_images(60)),
        ("train-labels-idx1-ubyte", idx_labels(&labels)),
        ("t10k-images-idx3-ubyte", idx_images(20)),
        ("t10k-labels-idx1-ubyte", idx_labels(&labels[..20])),
    ] {
        fs::write(folder.join(format!("{name}.gz")), gzip(&content)).expect("a writable folder");
    }
}
