//! Runs on folders of pictures: that they train and resume to the same bits, what they remember, what a bad picture does.

use std::fs;
use std::path::Path;

use image::{Rgb, RgbImage};

use crate::support::{checkpoint, failure, metrics, objects, predsim, stdout};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// 60 training and 20 test pictures of owls, which are dark above, and of emus, which are bright above; of several sizes and
/// formats.
fn birds(root: &Path) {
    for (split, count) in [("train", 30), ("val", 10)] {
        for (class, above) in [("owl", 20u8), ("emu", 220)] {
            let into = root.join(split).join(class);
            fs::create_dir_all(&into).unwrap();
            for number in 0..count {
                let (width, height) = (12 + number % 5, 12 + number % 3);
                let picture = RgbImage::from_fn(width, height, |x, y| {
                    let noise = ((x * 7 + y * 13 + number * 29) % 30) as u8;
                    let value = if y < height / 2 { above } else { 240 - above };
                    Rgb([value.saturating_sub(noise), value, noise])
                });
                let ending = ["png", "jpg", "bmp", "webp"][(number % 4) as usize];
                picture.save(into.join(format!("{number}.{ending}"))).unwrap();
            }
        }
    }
}

/// `predsim train` on the birds, resized to 16 x 16.
fn train(data: &Path, out: &Path, more: &[&str]) -> assert_cmd::Command {
    let flags = ["--model", "mlp", "--num-hidden", "16", "--batch-size", "16"];
    let mut command = predsim(&["train", "--dataset", "image-folder", "--image-size", "16", "--lr", "0.005"]);
    command.args(flags).arg("--data").arg(data).arg("--out").arg(out).args(more);
    command
}

#[test]
fn a_folder_trains_and_resumes_to_the_same_bits() {
    let dir = folder();
    let (data, whole, parts) = (dir.path().join("birds"), dir.path().join("whole"), dir.path().join("parts"));
    birds(&data);
    train(&data, &whole, &["--epochs", "4"]).assert().success();
    train(&data, &parts, &["--epochs", "1"]).assert().success();
    predsim(&["train", "--epochs", "4", "--resume"]).arg(&parts).assert().success();
    assert!(checkpoint(&whole) == checkpoint(&parts), "the two checkpoints differ");
    let last = metrics(&whole).pop().expect("rows");
    assert!(last["split"] == "test" && last["error_percent"].as_f64().unwrap() <= 20.0, "{last}");

    let report = stdout(predsim(&["eval", "--json"]).arg(&whole));
    assert_eq!(objects(&report)[0]["error_percent"], last["error_percent"]);
    // A picture of another size and form, and the names of the classes.
    let path = dir.path().join("large.png");
    RgbImage::from_fn(50, 40, |_, y| Rgb([if y < 20 { 215 } else { 15 }; 3])).save(&path).unwrap();
    let answer = stdout(predsim(&["predict", "--json"]).arg(&whole).arg(&path));
    assert_eq!(objects(&answer)[0]["classes"][0]["class"], "emu");

    let other = dir.path().join("other");
    birds(&other);
    for split in ["train", "val"] {
        fs::rename(other.join(split).join("emu"), other.join(split).join("auk")).unwrap();
    }
    let (text, code) = failure(predsim(&["eval", "--data"]).arg(&other).arg(&whole));
    assert!(code == 2 && text.contains("a class auk where the checkpoint's network has emu"), "{text}");
    let (text, code) = failure(predsim(&["train", "--image-size", "20", "--epochs", "5", "--resume"]).arg(&whole));
    assert!(code == 2 && text.contains("--image-size would make another network"), "{text}");
}

#[test]
fn the_other_name_and_a_folder_inside_will_do() {
    let dir = folder();
    birds(&dir.path().join("folder"));
    let text = stdout(
        predsim(&["train", "--dataset", "folder", "--image-size=16", "--model", "vgg4", "--dry-run", "--data"])
            .arg(dir.path()),
    );
    assert!(text.contains("dataset = \"image-folder\""), "{text}");
}

#[test]
fn a_bad_picture_is_named_and_leaves_the_run_sound() {
    let dir = folder();
    let (data, run) = (dir.path().join("birds"), dir.path().join("run"));
    birds(&data);
    let bad = data.join("train/owl/4.png");
    let whole = fs::read(&bad).unwrap();
    fs::write(&bad, &whole[..whole.len() / 2]).unwrap();
    let named = |(text, code): (String, i32)| {
        assert!(code == 2 && text.contains(&format!("{}: is not a readable picture (", bad.display())), "{text}");
    };
    named(failure(&mut train(&data, &run, &["--epochs", "1"])));
    named(failure(predsim(&["data", "verify", "image-folder", "--data"]).arg(&data)));
    fs::write(&bad, &whole).unwrap();
    let text = stdout(predsim(&["data", "verify", "--data"]).arg(&data));
    assert!(text.contains("image-folder: 60 training and 20 test pictures of "), "{text}");

    fs::write(data.join("val/emu/3.webp"), "no picture").unwrap();
    let (text, code) = failure(&mut train(&data, &run, &["--epochs", "1", "--overwrite"]));
    assert!(code == 2 && text.contains("3.webp: is not a readable picture ("), "{text}");
    let (text, code) = failure(predsim(&["train", "--dataset", "image-folder", "--data"]).arg(dir.path().join("gone")));
    assert!(code == 2 && text.contains("is not a folder"), "{text}");
    let (text, code) = failure(&mut predsim(&["train", "--dataset", "image-folder"]));
    assert!(code == 2 && text.contains("--data DIR"), "{text}");
}
