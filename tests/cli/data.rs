//! `predsim data list | verify | preview`: what is there, whether it is right, what training sees of it.

use std::fs;
use std::path::Path;

use predsim::data::sums;

use crate::support::{failure, objects, predsim, stdout, tiny_mnist};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// CIFAR-100 of one picture each, with a list of sums as unpacking leaves it.
fn tiny_cifar100(dir: &Path) {
    let into = dir.join("cifar100");
    fs::create_dir(&into).unwrap();
    let record = [&[1, 42][..], &[9; 3072]].concat();
    let names = ["train.bin", "test.bin"];
    names.iter().for_each(|name| fs::write(into.join(name), &record).unwrap());
    let sum = sums::of(record.as_slice()).unwrap();
    sums::record(&into, &names.map(|name| (name.to_owned(), sum.clone()))).unwrap();
}

#[test]
fn the_list_says_what_is_there() {
    let dir = folder();
    let list = |dir: &Path| objects(&stdout(predsim(&["data", "list", "--json", "--data"]).arg(dir)));
    let state = |name: &str| {
        let entries = list(dir.path());
        let entry = entries.iter().find(|entry| entry["name"] == name).expect("every data set is listed").clone();
        (entry["state"].as_str().unwrap().to_owned(), entry["about"].as_str().unwrap().to_owned())
    };
    assert_eq!(list(&dir.path().join("nowhere")).len(), predsim::data::names().count());
    assert_eq!(state("mnist-mini").0, "ready");
    assert_eq!(state("cifar10"), ("absent".into(), "predsim data fetch cifar10".into()));
    tiny_cifar100(dir.path());
    assert_eq!(state("cifar100"), ("verified".into(), "2 files, as published".into()));
    fs::write(dir.path().join("cifar100/test.bin"), "other").unwrap();
    assert_eq!(state("cifar100"), ("other".into(), "test.bin is not the published file".into()));
    fs::remove_file(dir.path().join("cifar100/md5.txt")).unwrap();
    assert_eq!(state("cifar100").0, "unverified");
    fs::remove_file(dir.path().join("cifar100/test.bin")).unwrap();
    assert_eq!(state("cifar100"), ("incomplete".into(), "lacks test.bin".into()));
    tiny_mnist(dir.path());
    assert_eq!(state("mnist"), ("other".into(), "train-images-idx3-ubyte.gz is not the published file".into()));
    let text = stdout(predsim(&["data", "list", "--data"]).arg(dir.path()));
    assert!(
        text.lines().any(|line| line.starts_with("stl10 ") && line.ends_with("predsim data fetch stl10")),
        "{text}"
    );
}

#[test]
fn verifying_reads_everything() {
    let dir = folder();
    let verify = || {
        let mut command = predsim(&["data", "verify", "--data"]);
        command.arg(dir.path());
        command
    };
    let (text, code) = failure(&mut verify());
    assert!(code == 2 && text.contains("holds no data set"), "{text}");
    tiny_cifar100(dir.path());
    let text = stdout(&mut verify());
    assert_eq!(text, "cifar100: 2 files, as published; 1 training and 1 test pictures of 32 in 100 classes read\n");
    tiny_mnist(dir.path());
    let (text, code) = failure(&mut verify());
    assert!(
        code == 2 && text.contains("train-images-idx3-ubyte.gz: is not the published file, its md5 sum is "),
        "{text}"
    );
    let (text, code) = failure(verify().arg("svhn"));
    assert!(code == 2 && text.contains("data set svhn lacks its file train_32x32.mat"), "{text}");
}

#[test]
fn a_preview_shows_pictures_as_training_sees_them() {
    let dir = folder();
    let preview = |name: &str, more: &[&str]| {
        let path = dir.path().join(name);
        let flags = ["data", "preview", "mnist-mini", "--samples", "3", "--epochs", "4", "--out"];
        stdout(predsim(&flags).arg(&path).args(more));
        image::open(&path).expect("a picture").into_rgb8()
    };
    let sheet = preview("a.png", &[]);
    // Three rows of five pictures of three times 28 pixels.
    assert_eq!(sheet.dimensions(), (4 + 5 * 88, 3 * (16 + 84 + 12) + 4));
    let cell = |row: u32, column: u32| {
        image::imageops::crop_imm(&sheet, 4 + column * 88, 24 + row * 112, 84, 84).to_image().into_raw()
    };
    // The first column is the pictures of the data set.
    let data = predsim::data::load("mnist-mini", None).unwrap();
    let samples = predsim::data::epoch_order(1, 1, data.train.n());
    for row in 0..3 {
        let picture = data.train.in_memory().expect("it is embedded").image(samples[row as usize]);
        let shown: Vec<u8> = (0..784).map(|at| cell(row, 0)[3 * (84 * 3 * (at / 28) + 3 * (at % 28))]).collect();
        assert_eq!(shown, picture, "row {row}");
        assert!((1..5).any(|epoch| cell(row, epoch) != cell(row, 0)), "training moves it");
    }
    assert!(preview("b.png", &[]) == sheet, "the same again");
    assert!(preview("c.png", &["--seed", "2"]) != sheet && preview("d.png", &["--cutout"]) != sheet);
    let (text, code) = failure(&mut predsim(&["data", "preview", "mnist-mini", "--out", "no/such/folder/x.png"]));
    assert!(code == 2 && text.contains("no/such/folder/x.png: cannot be written"), "{text}");
    let (text, code) = failure(predsim(&["data", "preview", "stl10", "--out", "x.png", "--data"]).arg(dir.path()));
    assert!(code == 2 && text.contains("lacks its file train_X.bin"), "{text}");
}
