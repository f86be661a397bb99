//! The target that browsers run: is it there, and how to get it.

use std::path::Path;

use crate::root;
use crate::steps::Step;

/// Its name.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Whether the target is there, after trying to install it where it is not.
pub fn ensure_target() -> bool {
    if installed() {
        return true;
    }
    println!("\n== install the target {TARGET}");
    if Step::new("rustup", "rustup", &["target", "add", TARGET]).succeeds() {
        return true;
    }
    let script = root().join("../shared/tools/wasm32-target.sh");
    script.is_file() && Step::new("target", "bash", &[&script.to_string_lossy()]).succeeds()
}

fn installed() -> bool {
    let output = std::process::Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()).output();
    let Ok(output) = output else { return false };
    let sysroot = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib").is_dir()
}
