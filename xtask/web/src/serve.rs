//! A server of static files on localhost, no more than the page needs: GET and HEAD, the right types, no caching.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};

use xtask::steps::Failure;

use crate::build::site;

/// Serves the built page until the process ends.
pub fn serve(port: u16) -> Result<(), Failure> {
    let folder = site();
    if !folder.join("index.html").is_file() {
        return Err(Failure::usage(format!("{}: holds no page yet; build it with: cargo xtask web", folder.display())));
    }
    let (address, serving) = start(folder, port)?;
    println!("the page is at http://localhost:{}/ (Ctrl-C ends it)", address.port());
    serving.join().map_err(|_| Failure::step("the server stopped".to_owned()))
}

/// Serves `folder` on `port` (0 for any that is free), in a thread that never ends of itself.
pub fn start(folder: PathBuf, port: u16) -> Result<(SocketAddr, std::thread::JoinHandle<()>), Failure> {
    let busy = |error: io::Error| Failure::step(format!("port {port}: {error}; name another with --port"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(busy)?;
    let address = listener.local_addr().map_err(busy)?;
    let serving = std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let folder = folder.clone();
            // A browser that hangs up early is no error of ours.
            std::thread::spawn(move || answer(&stream, &folder));
        }
    });
    Ok((address, serving))
}

/// Reads one request and answers it.
fn answer(stream: &TcpStream, folder: &Path) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines.by_ref() {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !matches!(method, "GET" | "HEAD") {
        return respond(stream, "405 Method Not Allowed", "text/plain", b"only GET and HEAD\n", true);
    }
    let file = local_path(folder, target).and_then(|path| Some((fs::read(&path).ok()?, mime(&path))));
    match file {
        Some((content, mime)) => respond(stream, "200 OK", mime, &content, method == "GET"),
        None => respond(stream, "404 Not Found", "text/plain", b"no such file\n", method == "GET"),
    }
}

fn respond(mut stream: &TcpStream, status: &str, mime: &str, content: &[u8], body: bool) -> io::Result<()> {
    let length = content.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {mime}\r\nContent-Length: {length}\r\nCache-Control: no-cache\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    if body {
        stream.write_all(content)?;
    }
    stream.flush()
}

/// The file that a request's target names in `folder`; `None` for one that would lead out of it.
fn local_path(folder: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split(['?', '#']).next()?.strip_prefix('/')?;
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    inside.then(|| folder.join(path))
}

/// Content type by the name's ending; browsers insist on those of scripts and WebAssembly.
fn mime(path: &Path) -> &'static str {
    match path.extension().and_then(|ending| ending.to_str()).unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" | "jsonl" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn nothing_outside_of_the_folder_is_named() {
        let path = |target| local_path(Path::new("/site"), target);
        assert_eq!(path("/"), Some(PathBuf::from("/site/index.html")));
        assert_eq!(path("/a/b.js?x=1#y"), Some(PathBuf::from("/site/a/b.js")));
        for target in ["/../secret", "/a/../../secret", "//etc/passwd", "etc", ""] {
            assert_eq!(path(target), None, "{target}");
        }
    }

    #[test]
    fn files_come_with_their_types() {
        let folder = std::env::temp_dir().join(format!("xtask-web-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.wasm"), b"\0asm").unwrap();
        let (address, _) = start(folder.clone(), 0).unwrap();
        let ask = |request: &str| {
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "{request} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let found = ask("GET /a.wasm");
        assert!(found.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/wasm\r\n"), "{found}");
        assert!(found.ends_with("\r\n\r\n\0asm"), "{found}");
        assert!(ask("HEAD /a.wasm").ends_with("\r\n\r\n"));
        assert!(ask("GET /b.wasm").starts_with("HTTP/1.1 404"));
        assert!(ask("POST /a.wasm").starts_with("HTTP/1.1 405"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
