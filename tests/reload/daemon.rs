//! The daemon as a process of its own, on loopback, with everything in one directory.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use lanlord::clock::{Clock as _, System};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::port::free_port;

/// Long enough for a busy machine; a hang is a failure.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Daemon {
    process: Mutex<Child>,
    dir: tempfile::TempDir,
    pub port: u16,
}

impl Daemon {
    /// On generation 0, as soon as it is ready.
    pub fn start() -> Daemon {
        let dir = tempfile::tempdir().expect("a directory");
        let port = free_port();
        std::fs::write(dir.path().join("lanlord.toml"), super::valid(0, port)).expect("written");
        let log = std::fs::File::create(dir.path().join("log")).expect("a log");
        let process = Command::new(env!("CARGO_BIN_EXE_lanlord"))
            .args(["serve", "--config"])
            .arg(dir.path().join("lanlord.toml"))
            .arg("--state")
            .arg(dir.path().join("state"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("starts");
        let daemon = Daemon { process: Mutex::new(process), dir, port };
        daemon.until("ready", || daemon.request("GET", "/readyz").is_some_and(|(status, _)| status == 200));
        daemon
    }

    pub fn file(&self) -> PathBuf {
        self.dir.path().join("lanlord.toml")
    }

    /// Puts a configuration where it is read from, at once: a reload sees the old or the new one.
    pub fn write(&self, text: &str) {
        let beside = self.dir.path().join("lanlord.toml.new");
        std::fs::write(&beside, text).expect("written");
        std::fs::rename(beside, self.file()).expect("in its place");
    }

    pub fn hangup(&self) {
        self.signal(Signal::SIGHUP);
    }

    pub fn reload(&self) -> (u16, Value) {
        self.request("POST", "/api/v1/reload").unwrap_or_else(|| panic!("no answer to a reload:\n{}", self.log()))
    }

    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lanlord"));
        command.arg("--socket").arg(self.dir.path().join("state/api.sock")).args(arguments);
        command.output().expect("it runs")
    }

    /// True if the status says that the file cannot be used.
    pub fn degraded(&self) -> bool {
        let (_, status) = self.request("GET", "/api/v1/status").expect("an answer");
        status["parts"]["configuration"]["state"] == "degraded"
    }

    /// Active leases: whose each address is.
    pub fn leases(&self) -> BTreeMap<Ipv4Addr, [u8; 6]> {
        let (_, list) = self.request("GET", "/api/v1/leases?limit=50000").expect("an answer");
        let items = list["items"].as_array().expect("a list").iter();
        let mac = |text: &str| {
            let octets: Vec<u8> = text.split(':').map(|part| u8::from_str_radix(part, 16).expect("hex")).collect();
            octets.try_into().expect("six octets")
        };
        items
            .map(|item| {
                let of = |key: &str| item[key].as_str().expect("a text");
                (of("ip").parse().expect("an address"), mac(of("mac")))
            })
            .collect()
    }

    /// Waits until it is so.
    pub fn until(&self, what: &str, done: impl Fn() -> bool) {
        let began = System.mono();
        while !done() {
            let ended = self.process.lock().expect("no holder panics").try_wait().expect("ours");
            assert!(
                ended.is_none() && System.mono().since(began) < PATIENCE,
                "{ended:?}; not in time: {what}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The end of what it wrote to standard error.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        text.lines().rev().take(20).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// SIGTERM, and an orderly end.
    pub fn stop(self) {
        self.signal(Signal::SIGTERM);
        let began = System.mono();
        let status = loop {
            if let Some(status) = self.process.lock().expect("no holder panics").try_wait().expect("ours") {
                break status;
            }
            assert!(System.mono().since(began) < PATIENCE, "still there:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        };
        assert!(status.success(), "{status}: {}", self.log());
    }

    fn signal(&self, signal: Signal) {
        let id = self.process.lock().expect("no holder panics").id();
        kill(Pid::from_raw(i32::try_from(id).expect("a pid")), signal).expect("sent");
    }

    /// One request as the administrator that root is: status and JSON.
    fn request(&self, method: &str, path: &str) -> Option<(u16, Value)> {
        let mut stream = UnixStream::connect(self.dir.path().join("state/api.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let status = answer.split(' ').nth(1)?.parse().ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        Some((status, serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"))))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let process = self.process.get_mut().expect("no holder panics");
        let _ = process.kill();
        let _ = process.wait();
    }
}
