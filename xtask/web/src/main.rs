//! The page's commands, called by `cargo xtask web | serve`: building the static site, serving it, testing it.
//!
//! A crate of its own, because making wasm-bindgen's glue needs far more than the other commands do.

mod build;
mod serve;
mod test;

use std::process::ExitCode;

use xtask::steps::Failure;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["web"] => build::build(),
        ["web", "--test"] => test::test(None),
        ["web", "--test", filter] => test::test(Some(filter)),
        ["serve"] => serve::serve(8000),
        ["serve", "--port", port] => match port.parse() {
            Ok(port) => serve::serve(port),
            Err(_) => Err(Failure::usage(format!("--port is {port}; it must be a number from 0 to 65535"))),
        },
        _ => Err(Failure::usage(format!(
            "unknown arguments {words:?}; known: web, web --test [FILTER], serve, serve --port N"
        ))),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(failure.code())
        }
    }
}
