//! A client of the REST API over the Unix socket or over HTTP. Owns connections and the meaning of status
//! codes for whoever typed a command; refuses to interpret what it fetched.

use std::io::{self, BufRead, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::exit::{Exit, Failure};

/// How long one answer may take; a tail waits for as long as it likes.
const PATIENCE: Duration = Duration::from_secs(70);
/// Longest answer that is read into memory.
const ANSWER_BYTES: u64 = 64 << 20;
/// Headers of one answer.
const HEADERS: usize = 100;

/// Where the daemon is, and how its answers are shown.
#[derive(Debug, Clone, Args)]
pub struct Connection {
    /// Unix socket of the daemon [default: /run/lanlord/api.sock, for `serve` what the configuration says]
    #[arg(long, global = true, value_name = "PATH", conflicts_with = "url")]
    pub socket: Option<PathBuf>,
    /// Address of the daemon instead of its socket, such as http://127.0.0.1:8080; needs a token
    #[arg(long, global = true, value_name = "URL")]
    pub url: Option<String>,
    /// File that holds the token for --url
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    pub token_file: Option<PathBuf>,
    /// Print JSON as the API answers it
    #[arg(long, global = true)]
    pub json: bool,
}

const SOCKET: &str = "/run/lanlord/api.sock";

/// One request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    pub method: &'a str,
    pub path: String,
    /// Content type and bytes.
    pub body: Option<(&'a str, Vec<u8>)>,
    /// Further headers.
    pub headers: Vec<(&'a str, String)>,
}

impl<'a> Request<'a> {
    pub fn get(path: impl Into<String>) -> Request<'a> {
        Request { method: "GET", path: path.into(), body: None, headers: Vec::new() }
    }

    pub fn with(method: &'a str, path: impl Into<String>, body: &Value) -> Request<'a> {
        let body = Some(("application/json", body.to_string().into_bytes()));
        Request { method, path: path.into(), body, headers: Vec::new() }
    }

    pub fn delete(path: impl Into<String>) -> Request<'a> {
        Request { method: "DELETE", path: path.into(), body: None, headers: Vec::new() }
    }
}

/// An answer with a status below 400.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body as JSON; an empty one is null.
    pub fn json(&self) -> Result<Value, Failure> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.body)
            .map_err(|e| Failure::new(Exit::Failed, format!("the daemon's answer is not JSON: {e}")))
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Connection {
    /// Sends, and reads the whole answer. A status of 400 and above is a failure with the daemon's reason.
    pub fn call(&self, request: &Request<'_>) -> Result<Answer, Failure> {
        let mut reader = self.send(request, Some(PATIENCE))?;
        let head = head(&mut reader).map_err(|e| self.unreachable(&e))?;
        let body = body(&mut reader, &head).map_err(|e| self.unreachable(&e))?;
        let body = String::from_utf8_lossy(&body).into_owned();
        if head.status >= 400 { Err(refusal(head.status, &body)) } else { Ok(Answer { status: head.status, body }) }
    }

    /// Follows a `text/event-stream`: `each` gets every event's data and says whether to go on.
    pub fn follow(
        &self,
        request: &Request<'_>,
        mut each: impl FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let mut reader = self.send(request, None)?;
        let head = head(&mut reader).map_err(|e| self.unreachable(&e))?;
        if head.status >= 400 {
            let body = body(&mut reader, &head).map_err(|e| self.unreachable(&e))?;
            return Err(refusal(head.status, &String::from_utf8_lossy(&body)));
        }
        let mut lines: Box<dyn BufRead> =
            if head.chunked { Box::new(io::BufReader::new(Chunks::new(reader))) } else { Box::new(reader) };
        let (mut data, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            if lines.read_line(&mut line).map_err(|e| self.unreachable(&e))? == 0 {
                return Ok(());
            }
            match line.trim_end_matches(['\r', '\n']) {
                "" if data.is_empty() => {}
                "" => {
                    if !each(data.trim_end_matches('\n'))? {
                        return Ok(());
                    }
                    data.clear();
                }
                text => {
                    if let Some(value) = text.strip_prefix("data:") {
                        data.push_str(value.strip_prefix(' ').unwrap_or(value));
                        data.push('\n');
                    }
                }
            }
        }
    }

    fn send(
        &self,
        request: &Request<'_>,
        patience: Option<Duration>,
    ) -> Result<io::BufReader<Box<dyn Stream>>, Failure> {
        let (mut stream, host) = self.connect(patience)?;
        let bytes = self.written(request, &host)?;
        stream.write_all(&bytes).map_err(|e| self.unreachable(&e))?;
        Ok(io::BufReader::new(stream))
    }

    fn connect(&self, patience: Option<Duration>) -> Result<(Box<dyn Stream>, String), Failure> {
        let Some(url) = &self.url else {
            let stream = UnixStream::connect(self.path()).map_err(|e| self.unreachable(&e))?;
            stream.set_read_timeout(patience).map_err(|e| self.unreachable(&e))?;
            return Ok((Box::new(stream), "localhost".to_owned()));
        };
        let host = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/')).filter(|h| !h.contains('/'));
        let host = host.ok_or_else(|| {
            Failure::new(Exit::Usage, format!("--url must look like http://127.0.0.1:8080, not `{url}`"))
        })?;
        let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
        let stream = TcpStream::connect(address).map_err(|e| self.unreachable(&e))?;
        stream.set_read_timeout(patience).map_err(|e| self.unreachable(&e))?;
        Ok((Box::new(stream), host.to_owned()))
    }

    fn written(&self, request: &Request<'_>, host: &str) -> Result<Vec<u8>, Failure> {
        let Request { method, path, body, headers } = request;
        let mut out = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        if let Some(token) = self.token()? {
            out += &format!("Authorization: Bearer {token}\r\n");
        }
        for (name, value) in headers {
            out += &format!("{name}: {value}\r\n");
        }
        let (kind, bytes) = body.as_ref().map_or(("", &[][..]), |(kind, bytes)| (*kind, &bytes[..]));
        if !kind.is_empty() {
            out += &format!("Content-Type: {kind}\r\n");
        }
        if *method != "GET" {
            out += &format!("Content-Length: {}\r\n", bytes.len());
        }
        let mut out = (out + "\r\n").into_bytes();
        out.extend_from_slice(bytes);
        Ok(out)
    }

    fn path(&self) -> &Path {
        self.socket.as_deref().unwrap_or(Path::new(SOCKET))
    }

    fn token(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.token_file else { return Ok(None) };
        let text = std::fs::read_to_string(file).map_err(|e| unreadable(file, &e))?;
        Ok(Some(text.trim().to_owned()))
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let place = self.url.clone().unwrap_or_else(|| self.path().display().to_string());
        let advice = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "is the daemon running? Another place can be given with --socket or --url"
            }
            io::ErrorKind::PermissionDenied => "only root and members of lanlord-admin may use it",
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "it did not answer in time",
            _ => "the connection broke",
        };
        Failure::new(Exit::Unreachable, format!("{place}: {error}; {advice}"))
    }
}

/// A file that a command was given cannot be read.
pub fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Usage, format!("{}: {error}", file.display()))
}

/// Percent-encodes one segment of a path or one value of a query.
pub fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            _ => out += &format!("%{b:02X}"),
        }
        out
    })
}

struct Head {
    status: u16,
    length: Option<u64>,
    chunked: bool,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

fn head(reader: &mut impl BufRead) -> io::Result<Head> {
    let first = line(reader)?;
    let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| broken("no HTTP answer"))?;
    let mut head = Head { status, length: None, chunked: false };
    for _ in 0..HEADERS {
        let line = line(reader)?;
        let Some((name, value)) = line.split_once(':') else { return Ok(head) };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.trim().parse().ok(),
            "transfer-encoding" => head.chunked = value.trim().eq_ignore_ascii_case("chunked"),
            _ => {}
        }
    }
    Err(broken("too many headers"))
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.take(16 << 10).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn body(reader: &mut impl BufRead, head: &Head) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match head.length {
        _ if head.chunked => Chunks::new(reader).take(ANSWER_BYTES).read_to_end(&mut out)?,
        Some(length) => reader.take(length.min(ANSWER_BYTES)).read_to_end(&mut out)?,
        None => reader.take(ANSWER_BYTES).read_to_end(&mut out)?,
    };
    Ok(out)
}

/// Takes the chunked transfer coding off (RFC 9112 §7.1).
struct Chunks<R> {
    inner: R,
    left: u64,
    begun: bool,
    ended: bool,
}

impl<R: BufRead> Chunks<R> {
    fn new(inner: R) -> Chunks<R> {
        Chunks { inner, left: 0, begun: false, ended: false }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        if self.begun {
            line(&mut self.inner)?;
        }
        self.begun = true;
        let size = line(&mut self.inner)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(size, 16).map_err(|_| broken("a chunk without size"))?;
        self.ended = self.left == 0;
        Ok(())
    }
}

impl<R: BufRead> Read for Chunks<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.left == 0 && !self.ended {
            self.next_chunk()?;
        }
        if self.ended {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let n = self.inner.read(&mut out[..most])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// The daemon's reason, as problem+json (RFC 9457) or a CLAWS error, and the exit code of AP-303.
fn refusal(status: u16, body: &str) -> Failure {
    let exit = match status {
        400 | 413 | 414 | 415 | 422 | 428 => Exit::Usage,
        401 | 403 => Exit::Unauthorised,
        404 | 410 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        _ => Exit::Failed,
    };
    // the bus answers 409 to whatever was cancelled; what it looked for and did not find has its own code
    let exit = if exit == Exit::Conflict && reason_of(body).is_some_and(|r| r.starts_with("unknown-")) {
        Exit::NotFound
    } else {
        exit
    };
    let reason = problem(body).or_else(|| claws(body)).unwrap_or_else(|| format!("the daemon answered {status}"));
    Failure::new(exit, reason)
}

fn problem(body: &str) -> Option<String> {
    let problem: Value = serde_json::from_str(body).ok()?;
    let mut out = problem.get("detail").or_else(|| problem.get("title"))?.as_str()?.to_owned();
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let text = |key| error.get(key).and_then(Value::as_str).unwrap_or_default();
        out += &match error.get("file").and_then(Value::as_str) {
            Some(file) => format!("\n{file}{}: {}{}", place(error), text("message"), hint(text("hint"))),
            None => format!("\n  {}: {}", text("pointer"), text("message")),
        };
    }
    Some(out)
}

/// `:line:column` of a problem in a file, if it is about a place in it.
fn place(error: &Value) -> String {
    let number = |key| error.get(key).and_then(Value::as_u64);
    number("line").zip(number("column")).map_or_else(String::new, |(line, column)| format!(":{line}:{column}"))
}

fn hint(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("; {text}") }
}

/// Why a transaction of the bus was cancelled.
fn reason_of(body: &str) -> Option<String> {
    let tree = roxmltree::Document::parse(body).ok()?;
    let root = tree.root_element();
    root.has_tag_name((root.tag_name().namespace()?, "transaction"))
        .then(|| root.attribute("reason"))?
        .map(str::to_owned)
}

fn claws(body: &str) -> Option<String> {
    let tree = roxmltree::Document::parse(body).ok()?;
    let root = tree.root_element();
    match root.tag_name().name() {
        "error" => {
            let code = root.attribute("code").unwrap_or("error");
            let place = match (root.attribute("line"), root.attribute("column")) {
                (Some(line), Some(column)) => format!(" at line {line}, column {column}"),
                _ => String::new(),
            };
            Some(format!("{code}{place}: {}", root.text().unwrap_or_default().trim()))
        }
        "transaction" => {
            let reason = root.attribute("reason").unwrap_or("no reason given");
            let outcomes = root.children().filter(|n| n.tag_name().name() == "outcome").map(|n| {
                let of = |key| n.attribute(key).unwrap_or_default();
                format!("\n  {}: {} {}", of("module"), of("result"), n.text().unwrap_or_default().trim())
            });
            Some(format!("cancelled: {reason}{}", outcomes.collect::<String>()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_chunks_apart() {
        let text = b"5;name=x\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        let mut out = String::new();
        Chunks::new(&text[..]).read_to_string(&mut out).unwrap();
        assert_eq!(out, "hello!");
        let cut = b"5\r\nhel";
        assert!(Chunks::new(&cut[..]).read_to_string(&mut out).is_err());
    }

    #[test]
    fn a_refusal_says_what_the_daemon_said() {
        let body = r#"{"title":"conflict","status":409,"detail":"10.0.0.9 is taken","errors":[{"pointer":"/ip","code":"taken","message":"held by pc"}]}"#;
        let failure = refusal(409, body);
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Conflict, "10.0.0.9 is taken\n  /ip: held by pc"));
        let xml = r#"<c:error xmlns:c="urn:openclaws:ns:claws:1" code="xml-malformed" line="10" column="1">mend it</c:error>"#;
        assert_eq!(refusal(400, xml).message, "xml-malformed at line 10, column 1: mend it");
        assert_eq!(refusal(500, "oops").exit, Exit::Failed);
        assert_eq!(refusal(401, "").exit, Exit::Unauthorised);
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(encoded("../a b?c#d"), "..%2Fa%20b%3Fc%23d");
    }
}
