//! Makes the static site in `target/web`: the page's files, the engine as WebAssembly, and the glue between them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;
use xtask::steps::{Failure, Step, run_all};
use xtask::{root, wasm};

/// The most that the engine may weigh, gzipped.
const MOST_BYTES: usize = 3_000_000;

/// Where the site is made.
pub fn site() -> PathBuf {
    root().join("target/web")
}

/// Builds all of it.
pub fn build() -> Result<(), Failure> {
    if !wasm::ensure_target() {
        let target = wasm::TARGET;
        return Err(Failure::step(format!("the target {target} is needed: rustup target add {target}")));
    }
    let arguments = ["rustc", "--lib", "--crate-type", "cdylib", "--profile", "web", "--target", wasm::TARGET];
    run_all(vec![Step::cargo("the engine for the browser (some minutes the first time)", &arguments)])?;
    let site = site();
    replace(&site).map_err(|error| Failure::step(format!("{}: {error}", site.display())))?;
    glue("predsim", "web", &site.join("engine"))?;
    let engine = site.join("engine/predsim_bg.wasm");
    let size = gzipped(&engine).map_err(|error| Failure::step(format!("{}: {error}", engine.display())))?;
    println!("the page is in {}; its engine weighs {:.2} MB gzipped", site.display(), size as f64 / 1e6);
    if size > MOST_BYTES {
        return Err(Failure::step(format!("the engine weighs {size} bytes gzipped; {MOST_BYTES} are allowed")));
    }
    Ok(())
}

/// wasm-bindgen's half of the work on the library `name`, built with `profile`, into `folder`.
pub fn glue(name: &str, profile: &str, folder: &Path) -> Result<(), Failure> {
    let module = root().join("target").join(wasm::TARGET).join(profile).join(format!("{name}.wasm"));
    let mut bindgen = Bindgen::new();
    bindgen.input_path(&module).typescript(false);
    let made = bindgen.web(true).and_then(|bindgen| bindgen.generate(folder));
    made.map_err(|error| Failure::step(format!("the glue of {}: {error:#}", module.display())))
}

/// Puts the page's files into a fresh `site`.
fn replace(site: &Path) -> io::Result<()> {
    match fs::remove_dir_all(site) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    copy(&root().join("assets/web"), site)
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn gzipped(path: &Path) -> io::Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&fs::read(path)?)?;
    Ok(encoder.finish()?.len())
}
