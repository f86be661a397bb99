//! One file by HTTP: resumed where it was cut off, checked before it gets its name.
//!
//! Bytes go into `NAME.part`. Only when all of them are there and have the right sum does the file become `NAME`, so
//! whatever has that name is whole. A part that is there from an earlier time is gone on with (HTTP's Range); if the
//! sum is wrong in the end, it is taken from the beginning once more, for the part may have been of another file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::StatusCode;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use ureq::{Agent, Body, http::Response};

use super::fetch::FetchError;
use super::sums::Sum;
use crate::text::one_line;

/// Longest wait for a connection, and for the next bytes of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes read at once.
const CHUNK: usize = 1 << 16;

/// A file to get.
#[derive(Debug, Clone, Copy)]
pub struct Download<'a> {
    /// Its address.
    pub url: &'a str,
    /// Its MD5 sum.
    pub md5: &'a str,
    /// Where it is put.
    pub to: &'a Path,
}

/// How an attempt ended.
enum Attempt {
    /// At the end of the file. `resumed` if its beginning was there before.
    Whole { sum: String, resumed: bool },
    /// Before it.
    Cut(String),
}

/// A program's way of asking, with its patience.
pub fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .accept_encoding("identity")
        .user_agent(concat!("predsim/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The name of a file that is not whole yet.
pub fn part(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

impl Download<'_> {
    /// Gets the file. `progress` hears how many bytes are there, and of how many.
    ///
    /// # Errors
    /// See [`FetchError`]; what has come is kept, except when its sum is wrong.
    pub fn run(&self, agent: &Agent, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<(), FetchError> {
        let part = part(self.to);
        let mut longest = length(&part);
        loop {
            match self.attempt(agent, &part, progress)? {
                Attempt::Whole { sum, .. } if sum == self.md5 => {
                    return fs::rename(&part, self.to).map_err(|reason| FetchError::unwritable(self.to, reason));
                }
                Attempt::Whole { sum, resumed } => {
                    fs::remove_file(&part).map_err(|reason| FetchError::unwritable(&part, reason))?;
                    if !resumed {
                        let (url, expected) = (self.url.to_owned(), self.md5.to_owned());
                        return Err(FetchError::WrongSum { url, found: sum, expected });
                    }
                }
                // As long as each attempt comes further than all before it, the next one may come to the end.
                Attempt::Cut(_) if length(&part) > longest => longest = length(&part),
                Attempt::Cut(reason) => return Err(self.network(&part, &reason)),
            }
        }
    }

    fn attempt(
        &self,
        agent: &Agent,
        path: &Path,
        progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Attempt, FetchError> {
        let unwritable = |reason| FetchError::unwritable(path, reason);
        let (mut sum, mut done) = (Sum::default(), 0);
        if path.exists() {
            done = io::copy(&mut File::open(path).map_err(unwritable)?, &mut sum).map_err(unwritable)?;
        }
        let request = agent.get(self.url);
        let request = if done > 0 { request.header(RANGE, format!("bytes={done}-")) } else { request };
        let response = request.call().map_err(|error| self.network(path, &error.to_string()))?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if done > 0 && first_byte(&response) == Some(done) => {}
            // The answer to a question for a range is the whole file where the server knows no ranges.
            StatusCode::OK => (sum, done) = (Sum::default(), 0),
            // There is nothing behind what is there.
            StatusCode::RANGE_NOT_SATISFIABLE if done > 0 => {
                return Ok(Attempt::Whole { sum: sum.hex(), resumed: true });
            }
            // Another range than was asked for: of no use, and neither is going on with what is there.
            StatusCode::PARTIAL_CONTENT if done > 0 => return Ok(Attempt::Whole { sum: String::new(), resumed: true }),
            status => return Err(FetchError::Status { url: self.url.to_owned(), status: status.as_u16() }),
        }
        let resumed = done > 0;
        let mut options = OpenOptions::new();
        let mut file =
            options.create(true).write(true).append(resumed).truncate(!resumed).open(path).map_err(unwritable)?;
        let total = content_length(&response).map(|rest| done + rest);
        let mut body = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        loop {
            progress(done, total);
            let count = match body.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => return Ok(Attempt::Cut(error.to_string())),
            };
            file.write_all(&chunk[..count]).map_err(unwritable)?;
            sum.update(&chunk[..count]);
            done += count as u64;
        }
        match total {
            Some(total) if done < total => {
                Ok(Attempt::Cut(format!("the connection ended after {done} of {total} bytes")))
            }
            _ => {
                file.sync_all().map_err(unwritable)?;
                Ok(Attempt::Whole { sum: sum.hex(), resumed })
            }
        }
    }

    fn network(&self, part: &Path, reason: &str) -> FetchError {
        FetchError::Network { url: self.url.to_owned(), reason: one_line(reason), kept: length(part) }
    }
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

fn content_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Where the range of an answer begins: `Content-Range: bytes 100-199/200` (RFC 9110, section 14.4).
fn first_byte(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
