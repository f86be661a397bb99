//! A small HTTP server on this machine, which can be told to misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What a server does besides giving its files.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// It knows nothing of ranges and always gives the whole file.
    pub no_ranges: bool,
    /// Bytes after which it breaks the first answers off, in order; those behind are whole.
    pub cuts: Vec<usize>,
}

/// A path, and the first byte that is wanted of it.
type Asked = (String, Option<usize>);

/// A server that runs until the process ends.
pub struct Server {
    /// Its address, as `http://127.0.0.1:PORT`.
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Serves `files` by name.
    pub fn new(files: &[(&str, Vec<u8>)], manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let files: Vec<(String, Vec<u8>)> =
            files.iter().map(|(name, bytes)| (format!("/{name}"), bytes.clone())).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut cuts = manner.cuts.into_iter();
            for stream in listener.incoming().flatten() {
                let (path, from) = request(&stream);
                log.lock().unwrap().push((path.clone(), from));
                let from = from.filter(|_| !manner.no_ranges);
                let bytes = files.iter().find(|(name, _)| *name == path).map(|(_, bytes)| bytes.as_slice());
                // Who breaks a connection off does not care that the other side has gone too.
                let _ = answer(stream, bytes, from, cuts.next());
            }
        });
        Self { address, asked }
    }

    /// What was asked for so far: paths, and the first byte where a range was wanted.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn request(stream: &TcpStream) -> Asked {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next().and_then(|line| line.split(' ').nth(1).map(str::to_owned)).unwrap_or_default();
    let headers: Vec<String> =
        lines.take_while(|line| !line.is_empty()).map(|line| line.to_ascii_lowercase()).collect();
    let range = headers.iter().find_map(|line| line.strip_prefix("range: bytes="));
    (path, range.and_then(|range| range.trim_end_matches('-').parse().ok()))
}

fn answer(mut stream: TcpStream, bytes: Option<&[u8]>, from: Option<usize>, cut: Option<usize>) -> std::io::Result<()> {
    let (status, rest, range) = match (bytes, from) {
        (None, _) => ("404 Not Found", &b"no such file"[..], String::new()),
        (Some(bytes), Some(from)) if from >= bytes.len() => ("416 Range Not Satisfiable", &b""[..], String::new()),
        (Some(bytes), Some(from)) => {
            let range = format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
            ("206 Partial Content", &bytes[from..], range)
        }
        (Some(bytes), None) => ("200 OK", bytes, String::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{range}Connection: close\r\n\r\n", rest.len())?;
    stream.write_all(&rest[..cut.unwrap_or(rest.len()).min(rest.len())])
}
