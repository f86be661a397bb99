//! Installing Debian's packages, for what a machine lacks.

use crate::steps::{Failure, Step, run_all};

/// Installs `packages`, which together are `what`, and says so.
///
/// # Errors
/// There is no apt-get or no way to be root, or it fails; the message has the command to run by hand.
pub fn install(what: &str, packages: &[&str]) -> Result<(), Failure> {
    let names = packages.join(" ");
    println!("Installing {what} through apt: {names}");
    let root = is_root();
    let by_hand = format!("sudo apt-get update && sudo apt-get install -y {names}");
    if !Step::new("apt-get", "apt-get", &["--version"]).succeeds() {
        return Err(Failure::step(format!("{what} is missing and there is no apt-get; install it by hand")));
    }
    if !root && !Step::new("sudo", "sudo", &["--version"]).succeeds() {
        return Err(Failure::step(format!("this needs root, and there is no sudo; run: {by_hand}")));
    }
    let apt = |arguments: &[&str]| {
        let title = format!("apt-get {}", arguments[0]);
        let environment = ["DEBIAN_FRONTEND=noninteractive", "apt-get"];
        let (program, first) = if root { ("env", None) } else { ("sudo", Some("env")) };
        Step::new(&title, program, &[]).args(first).args(environment).args(arguments)
    };
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    run_all(vec![apt(&["update"]), apt(&install)])
        .map_err(|failure| Failure::step(format!("{failure}; by hand it would be: {by_hand}")))
}

/// Whether we are root, as `id` sees it.
fn is_root() -> bool {
    let output = std::process::Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
