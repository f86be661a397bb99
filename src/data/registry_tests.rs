//! Tests of [`super`]: names, and data sets that are there, absent or wrong.

use super::*;
use crate::data::testing::{gzip, images_file, labels_file};
use std::fs;
use std::io::Write;

/// A tiny data set in `folder`, gzipped or not.
fn write(folder: &Path, gzipped: bool) {
    fs::create_dir_all(folder).unwrap();
    let put = |file: &str, bytes: Vec<u8>| {
        let (name, bytes) = if gzipped { (format!("{file}.gz"), gzip(&bytes)) } else { (file.into(), bytes) };
        fs::write(folder.join(name), bytes).unwrap();
    };
    put(mnist::FILES[0], images_file(3, 28, 28));
    put(mnist::FILES[1], labels_file(&[1, 2, 3]));
    put(mnist::FILES[2], images_file(2, 28, 28));
    put(mnist::FILES[3], labels_file(&[4, 5]));
}

fn message(name: &str, dir: Option<&Path>) -> String {
    load(name, dir).unwrap_err().to_string()
}

#[test]
fn the_published_names_and_ours_are_known_in_any_case() {
    for name in names() {
        assert_eq!(spec(name).unwrap().name, name);
        assert_eq!(spec(&name.to_ascii_uppercase()).unwrap().name, name);
    }
    let published = ["MNIST", "FashionMNIST", "KuzushijiMNIST", "CIFAR10", "CIFAR100", "SVHN", "STL10", "ImageNet"];
    let ours = ["mnist", "fashion-mnist", "kmnist", "cifar10", "cifar100", "svhn", "stl10", "imagenet"];
    for (published, ours) in published.into_iter().zip(ours) {
        assert_eq!(spec(published).unwrap().name, ours);
        assert_eq!(spec(&published.to_ascii_lowercase()).unwrap().name, ours);
    }
}

#[test]
fn every_spec_is_whole() {
    for name in names() {
        let spec = spec(name).unwrap();
        if spec.fit == Fit::Exact {
            assert_eq!(spec.class_names.len(), spec.num_classes as usize, "{name}");
        }
        let channels = spec.channels as usize;
        assert_eq!((spec.mean.len(), spec.std.len()), (channels, channels), "{name}");
    }
}

#[test]
fn an_unknown_name_lists_the_known() {
    assert_eq!(
        message("minst", None),
        "unknown data set \"minst\"; the known ones are mnist-mini, mnist, fashion-mnist, kmnist, cifar10, cifar100, svhn, \
         stl10, imagenet, image-folder"
    );
}

#[test]
fn a_data_set_of_files_asks_for_its_folder() {
    assert_eq!(
        message("CIFAR10", None),
        "data set cifar10 is read from files: give their folder with --data DIR, `predsim data fetch cifar10` gets them; \
         --dataset mnist-mini and --recipe quickstart need no files"
    );
}

#[test]
fn files_are_read_gzipped_or_not() {
    for (name, place) in
        [("mnist", ""), ("mnist", "MNIST/raw"), ("fashion-mnist", "FashionMNIST"), ("kmnist", "kmnist")]
    {
        for gzipped in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            write(&dir.path().join(place), gzipped);
            let data = load(name, Some(dir.path())).unwrap();
            assert_eq!((data.train.labels(), data.test.labels()), (&[1, 2, 3][..], &[4, 5][..]), "{place} {gzipped}");
        }
    }
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), true);
    let path = dir.path().join("train-labels-idx1-ubyte.gz");
    fs::write(&path, gzip(&labels_file(&[1, 10, 3]))).unwrap();
    let path = path.display();
    assert_eq!(
        message("mnist", Some(dir.path())),
        format!("{path}: label 10 at index 1 is out of range; labels go from 0 to 9")
    );
}

#[test]
fn folders_of_pictures_need_to_be_seen() {
    assert_eq!(spec_in("ImageNet", None, None).unwrap(), IMAGENET);
    let size = ImageSize { height: 64, width: 96 };
    let small = spec_in("imagenet", None, Some(size)).unwrap();
    assert_eq!((small.size(), small.num_classes), (size, 1000));
    let error = spec_in("image-folder", None, Some(size)).unwrap_err().to_string();
    assert!(error.starts_with("data set image-folder is read from picture files: give their folder"), "{error}");
    let names = ["cat".to_owned(), "owl".to_owned()];
    let known = recall("image-folder", size, 2, &names).unwrap();
    assert_eq!((known.size(), known.num_classes, known.class_names.get(1)), (size, 2, Some("owl")));
    assert_eq!(recall("cifar10", size, 2, &names).unwrap(), cifar::CIFAR10);
}

#[test]
fn pictures_of_a_fixed_size_are_not_resized() {
    let size = ImageSize { height: 64, width: 64 };
    assert_eq!(
        spec_in("cifar10", None, Some(size)).unwrap_err().to_string(),
        "--image-size: pictures of cifar10 are 32 as they are; only those of imagenet and image-folder are resized"
    );
    assert_eq!(spec_in("stl10", None, Some(ImageSize { height: 96, width: 96 })).unwrap(), stl10::STL10);
}

/// The official files, where the machine has them.
#[test]
fn the_whole_mnist_loads_and_begins_with_the_embedded_part() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !dir.is_dir() {
        // Not eprintln: the test runner hides that of tests that pass.
        writeln!(std::io::stderr(), "SKIPPED: the whole MNIST is not checked, no folder {}", dir.display()).unwrap();
        return;
    }
    let (whole, mini) = (load("mnist", Some(&dir)).unwrap(), mnist::embedded().unwrap());
    assert_eq!((whole.train.n(), whole.test.n()), (60_000, 10_000));
    for (mut whole, mini) in [(whole.train, mini.train), (whole.test, mini.test)] {
        whole.limit(mini.n());
        assert!(whole == mini);
    }
}
