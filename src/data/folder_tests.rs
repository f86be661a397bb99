//! Tests of [`super`], on folders of small pictures made here.

use super::*;
use crate::data::dataset::Pictures;
use crate::data::imagenet::{IMAGE_FOLDER, IMAGENET};
use image::{Rgb, RgbImage};

/// A folder with classes of flat pictures: the red value is 10 times the class, the green one the number in the class.
fn make(root: &Path, split: &str, classes: &[(&str, u8, u8)], [height, width]: [u32; 2]) {
    for &(class, red, count) in classes {
        let folder = root.join(split).join(class);
        fs::create_dir_all(&folder).unwrap();
        for green in 0..count {
            let picture = RgbImage::from_pixel(width, height, Rgb([red, green, 9]));
            let ending = ["png", "BMP", "qoi"][usize::from(green % 3)];
            picture.save(folder.join(format!("{green}.{ending}"))).unwrap();
        }
        fs::write(folder.join("notes.txt"), "no picture").unwrap();
        fs::write(folder.join(".hidden.png"), "no picture").unwrap();
    }
}

/// Two classes of training pictures, of which the test set has one.
fn two_classes() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "train", &[("owl", 20, 6), ("cat", 10, 8)], [4, 6]);
    make(dir.path(), "test", &[("owl", 20, 3)], [4, 6]);
    fs::create_dir(dir.path().join("train/.cache")).unwrap();
    dir
}

fn layout(dir: &Path) -> Result<Layout, DataError> {
    Layout::find("image-folder", &[dir.join("image-folder"), dir.to_path_buf()])
}

fn message(dir: &Path) -> String {
    layout(dir).unwrap_err().to_string()
}

#[test]
fn classes_sizes_and_padding_are_found() {
    let dir = two_classes();
    let spec = layout(dir.path()).unwrap().describe(&IMAGE_FOLDER, None).unwrap();
    assert_eq!((spec.num_classes, spec.height, spec.width, spec.channels), (2, 4, 6, 3));
    assert_eq!((spec.class_names.get(0), spec.class_names.get(1)), (Some("cat"), Some("owl")));
    let size = ImageSize { height: 32, width: 40 };
    let spec = layout(dir.path()).unwrap().describe(&IMAGE_FOLDER, Some(size)).unwrap();
    assert_eq!((spec.height, spec.width, spec.crop_pad), (32, 40, 4));
    let spec = layout(dir.path()).unwrap().describe(&IMAGENET, None).unwrap();
    assert_eq!((spec.height, spec.width, spec.crop_pad, spec.num_classes), (224, 224, 0, 2));
}

#[test]
fn every_picture_is_listed_once_with_its_class_and_the_first_are_mixed() {
    let dir = two_classes();
    let layout = layout(dir.path()).unwrap();
    let spec = layout.describe(&IMAGE_FOLDER, None).unwrap();
    let [train, test] = layout.pictures(&spec).unwrap();
    let seen = |files: &PictureFiles| {
        let pixel = |index| {
            let picture = files.decode(index, None).unwrap();
            assert_eq!(picture.len(), files.image_len());
            assert_eq!(picture, picture[..3].repeat(24));
            assert_eq!(u32::from(picture[0]) / 10 - 1, files.labels[index as usize]);
            (picture[0], picture[1])
        };
        (0..files.labels.len() as u32).map(pixel).collect::<Vec<_>>()
    };
    let order = seen(&train);
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq((0..8).map(|g| (10, g)).chain((0..6).map(|g| (20, g)))));
    assert!(!order.is_sorted() && order == seen(&layout.pictures(&spec).unwrap()[0]));
    assert_eq!(test.labels, [1, 1, 1]);
    let mut few = train;
    few.limit(5);
    assert_eq!(few.labels.len(), 5);
    assert!(few.labels.contains(&0) && few.labels.contains(&1));
}

#[test]
fn a_walk_gives_the_pictures_in_order_and_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path(), "train", &[("a", 10, 20), ("b", 20, 20)], [9, 12]);
    make(dir.path(), "val", &[("a", 10, 2), ("b", 20, 2)], [9, 12]);
    let layout = layout(dir.path()).unwrap();
    let spec = layout.describe(&IMAGENET, Some(ImageSize { height: 8, width: 8 })).unwrap();
    let [train, _] = layout.pictures(&spec).unwrap();
    let order: Arc<[u32]> = (0..40).rev().collect();
    let len = train.image_len();
    let pass = |from: usize, epoch| {
        let pictures = Pictures::Files(train.clone());
        let mut walk = pictures.walk(order.clone(), from, Some(Draw { seed: 1, epoch }));
        let (mut pixels, mut labels) = (vec![0; (40 - from) * len], vec![0; 40 - from]);
        // As batches are: in pieces.
        for (pixels, labels) in pixels.chunks_mut(7 * len).zip(labels.chunks_mut(7)) {
            walk.fill(pixels, labels).unwrap();
        }
        (pixels, labels)
    };
    let (pixels, labels) = pass(0, 1);
    assert!(labels.iter().zip(order.iter()).all(|(&label, &sample)| label == train.labels[sample as usize]));
    assert!(labels.iter().zip(pixels.chunks(len)).all(|(label, picture)| u32::from(picture[0]) == 10 * (label + 1)));
    let (rest, _) = pass(13, 1);
    assert!(rest == pixels[13 * len..]);
}

#[test]
fn what_is_missing_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().display();
    let needs = "; image-folder needs train and val or test, each with one subfolder of pictures a class";
    assert_eq!(message(dir.path()), format!("{path}: there is no folder train{needs}"));
    make(dir.path(), "train", &[("owl", 20, 1)], [4, 6]);
    assert_eq!(message(dir.path()), format!("{path}: beside train there is neither val nor test{needs}"));
    make(dir.path(), "val", &[("owl", 20, 1), ("emu", 30, 1)], [4, 6]);
    assert!(message(dir.path()).contains("train has 1 subfolders, one a class, and needs two at least"));
    make(dir.path(), "train", &[("cat", 10, 1)], [4, 6]);
    let layout = layout(dir.path()).unwrap();
    let spec = layout.describe(&IMAGE_FOLDER, None).unwrap();
    let emu = dir.path().join("val").join("emu");
    let error = layout.pictures(&spec).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}: is a class that ", emu.display())), "{error}");
    fs::create_dir(dir.path().join("train/dog")).unwrap();
    let error = super::Layout::find("image-folder", &[dir.path().to_path_buf()])
        .unwrap()
        .pictures(&DatasetSpec { num_classes: 3, ..spec });
    assert!(error.unwrap_err().to_string().ends_with("dog: holds no pictures; at least one is needed"));
}

#[test]
fn a_damaged_picture_is_named() {
    let dir = two_classes();
    fs::write(dir.path().join("train/cat/0.png"), "broken").unwrap();
    let layout = layout(dir.path()).unwrap();
    let error = layout.describe(&IMAGE_FOLDER, None).unwrap_err().to_string();
    assert!(error.contains("0.png: is not a readable picture ("), "{error}");
}
