//! The real binary under test, in the `srv` namespace, with its state in the lab's directory.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::space::{Lab, PATIENCE, Process, SERVER, wait};

pub struct Daemon<'a> {
    lab: &'a Lab,
    process: Option<Process>,
    socket: PathBuf,
    without: Option<&'static str>,
}

/// The configuration of the lab: two networks, everything on. `lease` is the time of a lease in seconds.
pub fn config(lease: u32) -> String {
    let plugins = concat!(env!("CARGO_MANIFEST_DIR"), "/config/plugins");
    format!(
        r#"
[server]
domain = "home.arpa"

[[network]]
name = "voice"
interface = "eth0"
[[network.subnet]]
prefix = "10.77.0.0/16"
pool = ["10.77.1.0-10.77.4.255"]
router = "{SERVER}"

[[network]]
name = "far"
[[network.subnet]]
prefix = "10.78.0.0/24"
pool = ["10.78.0.100-10.78.0.199"]
router = "10.78.0.1"

[dhcp4]
enabled = true
lease_time = {lease}
min_lease_time = 1
cache_fraction = 0 # every renewal is written

[dns]

[provisioning]
enabled = true
plugins = ["{plugins}"]
"#
    )
}

impl<'a> Daemon<'a> {
    pub fn start(lab: &'a Lab, config: &str) -> Daemon<'a> {
        let mut daemon = Daemon::new(lab, config);
        daemon.again();
        daemon
    }

    /// As [`start`](Self::start), but only until it lives: parts of it may wait for an interface.
    pub fn start_waiting(lab: &'a Lab, config: &str) -> Daemon<'a> {
        let mut daemon = Daemon::new(lab, config);
        daemon.run("/livez");
        daemon
    }

    /// As [`start`](Self::start), but without one of root's capabilities.
    pub fn start_without(lab: &'a Lab, config: &str, capability: &'static str) -> Daemon<'a> {
        let mut daemon = Daemon { without: Some(capability), ..Daemon::new(lab, config) };
        daemon.again();
        daemon
    }

    fn new(lab: &'a Lab, config: &str) -> Daemon<'a> {
        fs::write(lab.dir().join("lanlord.toml"), config).expect("the configuration");
        Daemon { lab, process: None, socket: lab.dir().join("lanlord.sock"), without: None }
    }

    /// Starts it on the state that is there, and waits until it says that it is ready.
    pub fn again(&mut self) {
        self.run("/readyz");
    }

    fn run(&mut self, until: &str) {
        let file = |name: &str| self.lab.dir().join(name).display().to_string();
        let (config, state, socket) = (file("lanlord.toml"), file("state"), file("lanlord.sock"));
        let serve =
            [env!("CARGO_BIN_EXE_lanlord"), "serve", "--config", &config, "--state", &state, "--socket", &socket];
        let dropped = self.without.map(|capability| format!("-{capability}"));
        let mut argv = Vec::new();
        if let Some(dropped) = &dropped {
            argv.extend(["setpriv", "--bounding-set", dropped, "--inh-caps", dropped]);
        }
        argv.extend(serve);
        let mut process = self.lab.start("lanlord", "srv", &argv);
        let ready = wait(PATIENCE, || process.exited() || self.try_get(until).is_some_and(|(status, _)| status == 200));
        assert!(ready && !process.exited(), "lanlord did not become ready:\n{}", process.output());
        self.process = Some(process);
    }

    /// SIGTERM, and an orderly end.
    pub fn stop(&mut self) {
        let status = self.process.take().expect("it runs").stop(PATIENCE);
        assert!(status.success(), "lanlord ended with {status}");
    }

    /// As a power cut.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Has it take over another configuration.
    pub fn reload(&self, config: &str) {
        fs::write(self.lab.dir().join("lanlord.toml"), config).expect("the configuration");
        let before = self.log().matches("the configuration was loaded again").count();
        self.process.as_ref().expect("it runs").signal(Signal::SIGHUP);
        self.until("the reload", |d| d.log().matches("the configuration was loaded again").count() > before);
    }

    /// What it has written to its log.
    pub fn log(&self) -> String {
        self.process.as_ref().expect("it runs").output()
    }

    /// How many files and sockets it has open.
    pub fn descriptors(&self) -> usize {
        let pid = self.process.as_ref().expect("it runs").pid();
        // setpriv and ip have become the daemon
        fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count()
    }

    /// Octets of memory that it has.
    pub fn resident(&self) -> usize {
        let pid = self.process.as_ref().expect("it runs").pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
    }

    /// True if every part serves.
    pub fn is_ready(&self) -> bool {
        self.try_get("/readyz").is_some_and(|(status, _)| status == 200)
    }

    /// A page of the API, which must be there.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self.try_get(path).unwrap_or_else(|| panic!("no answer to GET {path}"));
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("GET {path}: {e}: {body}"))
    }

    /// The objects of a list, whether it is bare or in a page.
    pub fn list(&self, path: &str) -> Vec<Value> {
        let page = self.get(path);
        let items = page.get("items").or_else(|| page.as_object()?.values().find(|v| v.is_array())).unwrap_or(&page);
        items.as_array().unwrap_or_else(|| panic!("GET {path} is no list: {page}")).clone()
    }

    /// Addresses with a live lease.
    pub fn leased(&self) -> Vec<String> {
        let all = self.list("/api/v1/leases?limit=1000");
        let live = all.iter().filter(|l| l.get("state").is_none_or(|s| s == "active"));
        live.map(|l| text(l, "ip").to_owned()).collect()
    }

    /// The value of a counter, summed over its labels that contain `label`.
    pub fn metric(&self, name: &str, label: &str) -> u64 {
        let (status, body) = self.try_get("/metrics").expect("metrics");
        assert_eq!(status, 200);
        let lines = body.lines().filter(|l| l.starts_with(name) && l.contains(label));
        lines.filter_map(|l| l.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64
    }

    /// Waits until it shows what it should.
    pub fn until(&self, what: &str, done: impl FnMut(&Daemon) -> bool) {
        self.within(PATIENCE, what, done);
    }

    /// The same, for what must not take long.
    pub fn within(&self, limit: Duration, what: &str, mut done: impl FnMut(&Daemon) -> bool) {
        assert!(wait(limit, || done(self)), "not in time: {what}");
    }

    fn try_get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let body =
            if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { unchunk(body) } else { body.into() };
        Some((status, body))
    }
}

/// A text field of an object.
pub fn text<'v>(object: &'v Value, field: &str) -> &'v str {
    object.get(field).and_then(Value::as_str).unwrap_or_else(|| panic!("no text `{field}` in {object}"))
}

fn unchunk(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        out += rest.get(..size).unwrap_or(rest);
        body = rest.get(size + 2..).unwrap_or("");
    }
    out
}
