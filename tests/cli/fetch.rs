//! `predsim data fetch`, against a server on this machine: whole files, broken connections, other files, none at all.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use predsim::data::fetch::{Event, FetchError, fetch_from};
use predsim::data::sources::{Form, Member, Remote, Source};
use predsim::data::sums;

use crate::server::{Manner, Server};
use crate::support::{failure, predsim, stdout};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// 100,000 bytes of a kind.
fn content(seed: usize) -> Vec<u8> {
    (0..100_000).map(|i| ((i * 31 + i / 251 + seed) % 256) as u8).collect()
}

fn md5(bytes: &[u8]) -> &'static str {
    sums::of(bytes).expect("memory").leak()
}

/// A data set of one file.
fn of_one(file: &'static str, bytes: &[u8], form: Form) -> Source {
    Source { base: "", files: Box::leak(Box::new([Remote { file, md5: md5(bytes), form }])) }
}

const PLAIN: Form = Form::Plain { unpacked: None };

/// Fetches the data set as `svhn` and returns what happened, without the bytes under way.
fn fetch(source: &Source, server: &Server, dir: &Path) -> Result<Vec<String>, FetchError> {
    let mut events = Vec::new();
    fetch_from("svhn", source, &server.address, dir, &mut |event| match event {
        Event::Bytes(_, done, total) => assert!(total.is_none_or(|total| done <= total), "{done} of {total:?}"),
        other => events.push(format!("{other:?}")),
    })?;
    Ok(events)
}

#[track_caller]
fn assert_whole(dir: &Path, bytes: &[u8]) {
    assert!(fs::read(dir.join("svhn/a.bin")).expect("the file") == bytes);
    assert!(!dir.join("svhn/a.bin.part").exists(), "no part is left");
}

#[test]
fn a_file_comes_whole_and_is_not_fetched_again() {
    let (dir, bytes) = (folder(), content(0));
    let server = Server::new(&[("a.bin", bytes.clone())], Manner::default());
    let source = of_one("a.bin", &bytes, PLAIN);
    let into = dir.path().join("new/folder");
    assert_eq!(fetch(&source, &server, &into).unwrap(), ["Done(\"a.bin\")"]);
    assert_whole(&into, &bytes);
    assert_eq!(fetch(&source, &server, &into).unwrap(), ["Kept(\"a.bin\")"]);
    assert_eq!(server.asked(), [("/a.bin".to_owned(), None)]);
    // A damaged file is replaced.
    fs::write(into.join("svhn/a.bin"), &bytes[1..]).unwrap();
    assert_eq!(fetch(&source, &server, &into).unwrap(), ["Done(\"a.bin\")"]);
    assert_whole(&into, &bytes);
}

#[test]
fn a_wrong_file_that_would_be_read_first_is_set_aside() {
    let (dir, bytes) = (folder(), content(0));
    let server = Server::new(&[("a.bin.gz", bytes.clone())], Manner::default());
    let unpacked = Some(md5(&content(1)));
    let source = of_one("a.bin.gz", &bytes, Form::Plain { unpacked });
    let plain = dir.path().join("svhn/a.bin");
    fs::create_dir_all(plain.parent().unwrap()).unwrap();
    fs::write(&plain, b"damaged").unwrap();
    let events = fetch(&source, &server, dir.path()).unwrap();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(events[0].starts_with("SetAside"), "{events:?}");
    assert!(!plain.exists() && fs::read(dir.path().join("svhn/a.bin.wrong")).unwrap() == b"damaged");
    assert_eq!(fetch(&source, &server, dir.path()).unwrap(), ["Kept(\"a.bin.gz\")"]);
}

#[test]
fn what_is_cut_off_is_gone_on_with() {
    let (dir, bytes) = (folder(), content(1));
    let manner = Manner { cuts: vec![30_000, 20_000], ..Manner::default() };
    let server = Server::new(&[("a.bin", bytes.clone())], manner);
    fetch(&of_one("a.bin", &bytes, PLAIN), &server, dir.path()).unwrap();
    assert_whole(dir.path(), &bytes);
    assert_eq!(server.asked().iter().map(|(_, from)| *from).collect::<Vec<_>>(), [None, Some(30_000), Some(50_000)]);
}

#[test]
fn a_later_call_goes_on_too() {
    let (dir, bytes) = (folder(), content(2));
    let source = of_one("a.bin", &bytes, PLAIN);
    let broken = Server::new(&[("a.bin", bytes.clone())], Manner { cuts: vec![40_000, 0], ..Manner::default() });
    let error = fetch(&source, &broken, dir.path()).unwrap_err();
    assert!(matches!(error, FetchError::Network { kept: 40_000, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("40000 bytes are kept") && !text.contains('\n'), "{text}");
    assert!(!dir.path().join("svhn/a.bin").exists(), "half a file has no right to the name");
    let server = Server::new(&[("a.bin", bytes.clone())], Manner::default());
    fetch(&source, &server, dir.path()).unwrap();
    assert_whole(dir.path(), &bytes);
    assert_eq!(server.asked(), [("/a.bin".to_owned(), Some(40_000))]);
}

#[test]
fn a_server_without_ranges_gives_all_of_it_again() {
    let (dir, bytes) = (folder(), content(3));
    let server = Server::new(&[("a.bin", bytes.clone())], Manner { no_ranges: true, cuts: vec![30_000] });
    fetch(&of_one("a.bin", &bytes, PLAIN), &server, dir.path()).unwrap();
    assert_whole(dir.path(), &bytes);
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_part_of_another_file_is_thrown_away() {
    for length in [10_000, 100_000, 200_000] {
        let (dir, bytes) = (folder(), content(4));
        fs::create_dir(dir.path().join("svhn")).unwrap();
        fs::write(dir.path().join("svhn/a.bin.part"), vec![7; length]).unwrap();
        let server = Server::new(&[("a.bin", bytes.clone())], Manner::default());
        fetch(&of_one("a.bin", &bytes, PLAIN), &server, dir.path()).unwrap();
        assert_whole(dir.path(), &bytes);
        assert_eq!(server.asked().iter().map(|(_, from)| *from).collect::<Vec<_>>(), [Some(length), None]);
    }
}

#[test]
fn a_part_that_is_whole_already_gets_its_name() {
    let (dir, bytes) = (folder(), content(5));
    fs::create_dir(dir.path().join("svhn")).unwrap();
    fs::write(dir.path().join("svhn/a.bin.part"), &bytes).unwrap();
    let server = Server::new(&[("a.bin", bytes.clone())], Manner::default());
    fetch(&of_one("a.bin", &bytes, PLAIN), &server, dir.path()).unwrap();
    assert_whole(dir.path(), &bytes);
}

#[test]
fn another_file_than_the_published_is_refused() {
    let (dir, bytes) = (folder(), content(6));
    let server = Server::new(&[("a.bin", content(7))], Manner::default());
    let error = fetch(&of_one("a.bin", &bytes, PLAIN), &server, dir.path()).unwrap_err();
    assert!(matches!(error, FetchError::WrongSum { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path().join("svhn")).unwrap().count(), 0, "nothing is left of it");
}

/// A gzipped tar archive of files.
fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, *bytes).expect("memory");
    }
    tar.into_inner().expect("memory").finish().expect("memory")
}

const TWO: Form = Form::Archive(&[Member { file: "train.bin", md5: None }, Member { file: "test.bin", md5: None }]);

#[test]
fn archives_are_unpacked() {
    let dir = folder();
    let bytes = archive(&[("top/readme.html", b"no"), ("top/train.bin", b"123"), ("top/in/test.bin", b"45")]);
    let source = of_one("x.tar.gz", &bytes, TWO);
    let server = Server::new(&[("x.tar.gz", bytes)], Manner::default());
    assert_eq!(fetch(&source, &server, dir.path()).unwrap(), ["Unpacks(\"x.tar.gz\")", "Done(\"x.tar.gz\")"]);
    let into = dir.path().join("svhn");
    let there = || {
        let mut names: Vec<_> = fs::read_dir(&into).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(there(), ["md5.txt", "test.bin", "train.bin"]);
    assert_eq!(fs::read(into.join("train.bin")).unwrap(), b"123");
    assert_eq!(fetch(&source, &server, dir.path()).unwrap(), ["Kept(\"x.tar.gz\")"]);
    // What is not what was unpacked is fetched again.
    fs::write(into.join("test.bin"), "46").unwrap();
    assert_eq!(fetch(&source, &server, dir.path()).unwrap().len(), 2);
    assert_eq!(fs::read(into.join("test.bin")).unwrap(), b"45");
}

#[test]
fn an_archive_that_lacks_a_file_is_refused() {
    let dir = folder();
    let bytes = archive(&[("top/train.bin", b"123")]);
    let server = Server::new(&[("x.tar.gz", bytes.clone())], Manner::default());
    let error = fetch(&of_one("x.tar.gz", &bytes, TWO), &server, dir.path()).unwrap_err().to_string();
    assert!(error.contains("x.tar.gz: there is no test.bin in it"), "{error}");
    let other = b"no archive".to_vec();
    let server = Server::new(&[("x.tar.gz", other.clone())], Manner::default());
    let error = fetch(&of_one("x.tar.gz", &other, TWO), &server, folder().path()).unwrap_err().to_string();
    assert!(error.contains("cannot be unpacked") && !error.contains('\n'), "{error}");
}

/// Runs `predsim data fetch NAME` from `mirror`: the line that it ends with, and its exit code.
fn refused(name: &str, mirror: &str, dir: &Path) -> (String, i32) {
    failure(predsim(&["data", "fetch", name, "--mirror", mirror, "--data"]).arg(dir))
}

#[test]
fn the_program_says_what_went_wrong() {
    let dir = folder();
    let file = "train-images-idx3-ubyte.gz";
    let server = Server::new(&[(file, content(8))], Manner::default());
    let (text, code) = refused("mnist", &server.address, dir.path());
    assert!(
        code == 1 && text.contains(md5(&content(8))) && text.contains("f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        "{text}"
    );
    assert!(text.contains(&format!("{}/{file}", server.address)), "{text}");

    let (text, code) = refused("svhn", &server.address, dir.path());
    assert!(code == 1 && text.contains("/train_32x32.mat: the server answers with status 404"), "{text}");

    // A port that was free a moment ago: nobody listens there.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (text, code) = refused("KMNIST", &format!("http://{address}/x/"), dir.path());
    assert!(code == 1 && text.contains("refused") && text.contains("check the network"), "{text}");
    assert!(text.contains(&format!("http://{address}/x/train-images")), "{text}");

    for (name, words) in [("imagenet", "https://image-net.org"), ("mnist-mini", "in the program"), ("minst", "unknown")]
    {
        let (text, code) = refused(name, &server.address, dir.path());
        assert!(code == 2 && text.contains(words), "{text}");
    }
    let path = dir.path().join("file");
    fs::write(&path, "x").unwrap();
    let (text, code) = refused("mnist", &server.address, &path);
    assert!(code == 2 && text.contains("cannot be written"), "{text}");
}

#[test]
fn the_program_leaves_what_is_right_alone() {
    let dir = folder();
    // A record of CIFAR-10 in each file.
    let record = [&[3][..], &[9; 3072]].concat();
    let names = ["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"];
    let members: Vec<Member> =
        names.into_iter().chain(["test_batch.bin"]).map(|file| Member { file, md5: None }).collect();
    let files: Vec<(&str, &[u8])> = members.iter().map(|member| (member.file, record.as_slice())).collect();
    let bytes = archive(&files);
    let source = of_one("cifar-10-binary.tar.gz", &bytes, Form::Archive(members.leak()));
    let server = Server::new(&[("cifar-10-binary.tar.gz", bytes)], Manner::default());
    fetch_from("cifar10", &source, &server.address, dir.path(), &mut |_| ()).unwrap();
    let text = stdout(predsim(&["data", "fetch", "cifar10", "--data"]).arg(dir.path()));
    assert!(text.contains("cifar-10-binary.tar.gz: there already") && text.contains("--dataset cifar10"), "{text}");
}
