//! The runner of the golden cases as WebAssembly, for the browser's tests: the very files of tests/golden.rs, with a page
//! instead of a folder to get the cases from. Elsewhere than in a browser it is empty.
#![cfg(target_arch = "wasm32")]

#[path = "../../golden/case.rs"]
mod case;
#[path = "../../golden/compare.rs"]
mod compare;
#[path = "../../golden/replay.rs"]
mod replay;

use std::rc::Rc;

use predsim::gpu::{Gpu, Wanted};
use predsim::kernels::tuning::Tuning;
use predsim::train::Goal;
use wasm_bindgen::prelude::wasm_bindgen;

use case::Case;

/// The device that all cases share, so that a kernel is compiled once.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Runner(Rc<Gpu>);

#[wasm_bindgen]
impl Runner {
    /// Opens the browser's adapter.
    ///
    /// # Errors
    /// A string: there is none.
    pub async fn open() -> Result<Runner, String> {
        Ok(Self(Rc::new(Gpu::open(&Wanted::Best).await.map_err(|error| error.to_string())?)))
    }

    /// Runs the case `name`, its files given; returns the line that the native runner prints.
    ///
    /// # Errors
    /// A string: what is over its bound, a line each.
    pub async fn run(&self, name: String, json: String, numbers: Vec<u8>) -> Result<String, String> {
        let case = Case::parse(&name, &json, &numbers)?;
        if let Some(what) = case.unsupported() {
            return Err(format!("unsupported: {what}"));
        }
        let findings = replay::replay(&self.0, &case, Tuning::for_gpu(&self.0), Goal::default()).await?;
        match findings.failures() {
            failures if failures.is_empty() => Ok(format!("{}: {}", case.name, findings.summary())),
            failures => Err(failures.join("\n")),
        }
    }
}
