//! The whole daemon in the test's process, on a Unix socket and a free loopback port.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lanlord::app::{App, Options};
use lanlord::config;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

/// How long anything may take: a hang guard.
pub const LIMIT: Duration = Duration::from_secs(60);

/// A running daemon. It ends when it is told to, or with the test.
pub struct Daemon {
    pub dir: TempDir,
    pub tcp: SocketAddr,
    pub stop: CancellationToken,
    pub running: tokio::task::JoinHandle<Result<(), lanlord::app::AppError>>,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    /// The status, after a look at the form of problems.
    pub fn problem(&self) -> u16 {
        assert!(self.head.contains("application/problem+json"), "{} {}", self.head, self.body);
        let document = self.json();
        assert_eq!(document["status"], self.status, "{document}");
        assert!(document["detail"].as_str().is_some_and(|text| !text.is_empty()), "{document}");
        self.status
    }
}

impl Daemon {
    pub async fn start() -> Daemon {
        let dir = tempfile::tempdir().expect("a folder");
        Daemon::on(dir, free_port()).await
    }

    /// On the state of that folder, with the configuration that all tests share.
    pub async fn on(dir: TempDir, tcp: SocketAddr) -> Daemon {
        let text = configuration(tcp);
        Daemon::with(dir, tcp, &text).await
    }

    /// On the state of that folder, with a configuration of its own, which is in its file, too.
    pub async fn with(dir: TempDir, tcp: SocketAddr, text: &str) -> Daemon {
        std::fs::write(dir.path().join("c.toml"), text).expect("written");
        let options = Options { config: dir.path().join("c.toml"), state: dir.path().join("state"), socket: None };
        let config = config::parse(&options.config, text).expect("a valid configuration");
        let app = App::build(options, config).await.unwrap_or_else(|e| panic!("{e}"));
        let stop = CancellationToken::new();
        let running = tokio::spawn(app.run(stop.clone()));
        let daemon = Daemon { dir, tcp, stop, running };
        let up = async {
            while !matches!(daemon.try_send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", b"").await, Some(a) if a.status == 200)
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LIMIT, up).await.expect("ready in time");
        daemon
    }

    pub async fn stop(self) -> (TempDir, SocketAddr) {
        self.stop.cancel();
        let ended = tokio::time::timeout(LIMIT, self.running).await.expect("ends in time").expect("no panic");
        ended.unwrap_or_else(|e| panic!("{e}"));
        (self.dir, self.tcp)
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub async fn try_send(&self, head: &str, body: &[u8]) -> Option<Answer> {
        let mut stream = UnixStream::connect(self.state().join("api.sock")).await.ok()?;
        exchange(&mut stream, head, body).await
    }

    /// Over the Unix socket, where this process is an administrator.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let text = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_some() { "Content-Type: application/json\r\n" } else { "" };
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{kind}Content-Length: {}\r\n\r\n", text.len());
        self.try_send(&head, text.as_bytes()).await.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, None).await
    }

    /// Over TCP, with further header lines.
    pub async fn tcp(&self, request: &str, headers: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.tcp).await.expect("a connection");
        let host = if headers.contains("Host:") { String::new() } else { format!("Host: {}\r\n", self.tcp) };
        let head = format!("{request} HTTP/1.1\r\n{host}{headers}Content-Length: {}\r\n\r\n", body.len());
        exchange(&mut stream, &head, body.as_bytes()).await.unwrap_or_else(|| panic!("no answer to {request}"))
    }

    pub fn first_token(&self) -> String {
        std::fs::read_to_string(self.state().join("admin.token")).expect("made at the first start").trim().to_owned()
    }
}

/// One network, one reservation, no listener of DNS.
pub fn configuration(tcp: SocketAddr) -> String {
    format!(
        "[server]\nlisten = [\"{tcp}\"]\n[[network]]\nname = \"voice\"\n[[network.subnet]]\nprefix = \"10.77.0.0/24\"\n\
         pool = [\"10.77.0.100-10.77.0.199\"]\n[[network.reservation]]\nmac = \"02:00:00:00:00:01\"\nip = \"10.77.0.10\"\n\
         [dns]\nlisten = []\n"
    )
}

/// On loopback, and nobody else's.
pub fn free_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, crate::port::free_port()))
}

/// One request on a connection of its own.
pub async fn exchange(
    stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin),
    head: &str,
    body: &[u8],
) -> Option<Answer> {
    let head = head.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
    stream.write_all(head.as_bytes()).await.ok()?;
    // a server that has answered already may not take the rest
    let _ = stream.write_all(body).await;
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}
