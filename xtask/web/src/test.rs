//! `cargo xtask web --test`: the page in a real Chromium, driven by Playwright (tests/web). Finds or installs what that
//! needs, builds the page, the native program and the golden cases' runner, serves them, and hands over to node.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::steps::{Failure, Step, run_all};
use xtask::{apt, root, vulkan, wasm};

use crate::build::{build, copy, glue, site};
use crate::serve::start;

/// The version that the tests are written for.
const PLAYWRIGHT: &str = "playwright-core@1.65.1";

/// Names under which Chromium goes.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Builds everything and runs the tests; `filter` is a part of the names of those to run.
pub fn test(filter: Option<&str>) -> Result<(), Failure> {
    // The native program runs beside the page.
    vulkan::ensure_adapter()?;
    let browser = browser()?;
    need("node", &["nodejs", "npm"])?;
    need("npm", &["npm"])?;
    let place = root().join("target/web-test");
    let playwright = playwright(&place)?;
    build()?;
    let golden = ["build", "--release", "--package", "golden-web", "--target", wasm::TARGET];
    run_all(vec![
        // As `cargo xtask test` builds it, so that behind that nothing is left to build.
        Step::cargo("the native program", &["test", "--release", "--workspace", "--no-run", "--test", "cli"]),
        Step::cargo("the golden cases' runner for the browser", &golden),
    ])?;
    let served = place.join("site");
    assemble(&served).map_err(|error| Failure::step(format!("{}: {error}", served.display())))?;
    glue("golden_web", "release", &served.join("golden/engine"))?;
    let (address, _) = start(served, 0)?;
    let shots = place.join("shots");
    let script = root().join("tests/web/run.mjs");
    let node = Step::new("the page in Chromium", "node", &[&script.to_string_lossy()])
        .env("PREDSIM_PAGE", &format!("http://127.0.0.1:{}/", address.port()))
        .env("PREDSIM_BINARY", &root().join("target/release/predsim").to_string_lossy())
        .env("PREDSIM_BROWSER", &browser)
        .env("PREDSIM_PLAYWRIGHT", &playwright.to_string_lossy())
        .env("PREDSIM_SHOTS", &shots.to_string_lossy());
    run_all(vec![node.args(filter)])
}

/// A folder with the page, and beside it the golden cases.
fn assemble(served: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(served) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    copy(&site(), served)?;
    let folder = served.join("golden");
    fs::create_dir_all(&folder)?;
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("tests/golden"))? {
        let path = entry?.path();
        let (Some(stem), Some(ending)) = (path.file_stem(), path.extension()) else { continue };
        if ending == "json" {
            names.push(stem.to_string_lossy().into_owned());
        }
        if ending == "json" || ending == "safetensors" {
            fs::copy(&path, folder.join(path.file_name().unwrap_or_default()))?;
        }
    }
    names.sort();
    fs::write(folder.join("cases.txt"), names.join("\n"))?;
    fs::write(folder.join("index.html"), "<!doctype html><title>golden cases</title>")
}

/// Chromium's name, after installing Debian's where there is none.
fn browser() -> Result<String, Failure> {
    let found = || BROWSERS.into_iter().find(|name| Step::new(name, name, &["--version"]).succeeds());
    if let Some(name) = found() {
        return Ok(name.to_owned());
    }
    apt::install("Chromium", &["chromium"])?;
    found().map(str::to_owned).ok_or_else(|| Failure::step("chromium is installed, but does not start".to_owned()))
}

/// Sees to it that `program` is there, from Debian's `packages` where it is not.
fn need(program: &str, packages: &[&str]) -> Result<(), Failure> {
    if Step::new(program, program, &["--version"]).succeeds() {
        return Ok(());
    }
    apt::install(program, packages)
}

/// The module of playwright-core, fetched by npm where it is not in `place` yet.
fn playwright(place: &Path) -> Result<PathBuf, Failure> {
    let package = place.join("node_modules/playwright-core");
    let version = PLAYWRIGHT.rsplit('@').next().unwrap_or_default();
    let wanted = format!("\"version\": \"{version}\"");
    if !fs::read_to_string(package.join("package.json")).is_ok_and(|text| text.contains(&wanted)) {
        fs::create_dir_all(place).map_err(|error| Failure::step(format!("{}: {error}", place.display())))?;
        let place = place.to_string_lossy();
        let arguments = ["install", "--no-save", "--no-audit", "--no-fund", "--prefix", &place, PLAYWRIGHT];
        run_all(vec![Step::new("playwright-core, from npm", "npm", &arguments)])?;
    }
    Ok(package.join("index.mjs"))
}
