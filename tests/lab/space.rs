//! A private network of namespaces. Nothing here touches an interface of the host; names carry our pid and
//! a number, so that labs run side by side; dropping a lab ends its processes, by pid, and its namespaces.
//!
//! ```text
//! sw: br0 --+-- srv   eth0 10.77.0.1/16             the server under test
//!           +-- relay eth0 10.77.0.2/16, eth1 10.78.0.1/24 -- far eth0, a client behind the relay
//!           +-- c1 c2 c3 eth0                        no address
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

pub const SERVER: &str = "10.77.0.1";

/// How long anything may take on a machine that is busy with other things: a hang guard, which says nothing
/// of how long it should take.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// How long something may take of which a requirement says how long. A busy machine is given ten times as
/// much; `STRICT=1` (`make soak`) gives what the requirement gives.
pub fn due(required: Duration) -> Duration {
    if std::env::var_os("STRICT").is_some() { required } else { 10 * required }
}
const NAMES: [&str; 7] = ["sw", "srv", "relay", "far", "c1", "c2", "c3"];

/// Fails, in words, when the lab cannot run here: a test that skips proves nothing.
pub fn need(tools: &[(&str, &str)]) {
    assert!(
        nix::unistd::geteuid().is_root(),
        "the lab tests need root: they make network namespaces (run `sudo make test`)"
    );
    for (tool, package) in
        [("ip", "iproute2"), ("unshare", "util-linux"), ("setpriv", "util-linux")].iter().chain(tools)
    {
        assert!(find(tool).is_some(), "the lab tests need `{tool}`: apt-get install {package}");
    }
}

/// Where a tool is; an absolute path must exist.
pub fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|dir| Path::new(dir).join(tool)).find(|p| p.is_file())
}

pub struct Lab {
    prefix: String,
    dir: tempfile::TempDir,
}

impl Lab {
    pub fn up() -> Lab {
        need(&[]);
        static NEXT: AtomicU32 = AtomicU32::new(0);
        sweep();
        let prefix = format!("lab{}-{}-", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a directory for the lab");
        let lab = Lab { prefix, dir };
        for name in NAMES {
            let ns = lab.ns(name);
            ip(&["netns", "add", &ns]);
            ip(&["-n", &ns, "link", "set", "lo", "up"]);
            lab.sysctl(name, "ipv6/conf/all/disable_ipv6", "1");
            lab.sysctl(name, "ipv6/conf/default/disable_ipv6", "1");
        }
        // forward_delay 0: else a port learns for 15 s before it forwards
        ip(&["-n", &lab.ns("sw"), "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0"]);
        ip(&["-n", &lab.ns("sw"), "link", "set", "br0", "up"]);
        for (name, mac) in [
            ("srv", "02:77:00:00:00:01"),
            ("relay", "02:77:00:00:00:02"),
            ("c1", "02:77:00:00:01:01"),
            ("c2", "02:77:00:00:01:02"),
            ("c3", "02:77:00:00:01:03"),
        ] {
            lab.plug(name, mac);
        }
        lab.address("srv", "eth0", &format!("{SERVER}/16"));
        lab.address("relay", "eth0", "10.77.0.2/16");
        ip(&[
            "-n",
            &lab.ns("relay"),
            "link",
            "add",
            "eth1",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            &lab.ns("far"),
        ]);
        ip(&["-n", &lab.ns("relay"), "link", "set", "eth1", "up"]);
        ip(&["-n", &lab.ns("far"), "link", "set", "eth0", "address", "02:78:00:00:01:01", "up"]);
        lab.address("relay", "eth1", "10.78.0.1/24");
        lab.sysctl("relay", "ipv4/ip_forward", "1");
        ip(&["-n", &lab.ns("srv"), "route", "add", "10.78.0.0/24", "via", "10.77.0.2"]);
        lab
    }

    /// The lab with IPv6 besides: fd77::/64 at the bridge, fd78::/64 behind the relay. Hosts take addresses from
    /// router advertisements; the server and the relay have theirs at once.
    ///
    /// ```text
    /// srv eth0 fd77::1    relay eth0 fd77::2, eth1 fd78::1
    /// ```
    pub fn up6() -> Lab {
        let lab = Lab::up();
        for name in NAMES.into_iter().filter(|name| *name != "sw") {
            let routes = ["srv", "relay"].contains(&name);
            // addresses of clients are tried for duplicates as everywhere, but not for a second
            lab.sysctl(name, "ipv6/conf/default/accept_dad", if routes { "0" } else { "1" });
            lab.sysctl(name, "ipv6/conf/default/accept_ra", if routes { "0" } else { "1" });
            for interface in if name == "relay" { &["eth0", "eth1"][..] } else { &["eth0"] } {
                lab.sysctl(name, &format!("ipv6/conf/{interface}/accept_dad"), if routes { "0" } else { "1" });
                lab.sysctl(name, &format!("ipv6/conf/{interface}/accept_ra"), if routes { "0" } else { "1" });
                lab.sysctl(name, &format!("ipv6/conf/{interface}/router_solicitation_delay"), "0");
            }
            if routes {
                lab.sysctl(name, "ipv6/conf/all/forwarding", "1");
                lab.enable6(name);
            }
        }
        lab.address("srv", "eth0", "fd77::1/64");
        lab.address("relay", "eth0", "fd77::2/64");
        lab.address("relay", "eth1", "fd78::1/64");
        ip(&["-n", &lab.ns("srv"), "-6", "route", "add", "fd78::/64", "via", "fd77::2"]);
        lab
    }

    /// Puts c3 between the relay and the server, for relays in a row:
    ///
    /// ```text
    /// srv 10.77.0.1 -- eth0 10.77.0.3 c3 eth1 10.79.0.1 -- eth2 10.79.0.2 relay eth1 10.78.0.1 -- far
    /// ```
    pub fn second_hop(&self) {
        let (relay, c3) = (self.ns("relay"), self.ns("c3"));
        ip(&["-n", &relay, "link", "add", "eth2", "type", "veth", "peer", "name", "eth1", "netns", &c3]);
        ip(&["-n", &relay, "link", "set", "eth2", "up"]);
        ip(&["-n", &c3, "link", "set", "eth1", "up"]);
        self.address("c3", "eth0", "10.77.0.3/16");
        self.address("c3", "eth1", "10.79.0.1/24");
        self.address("relay", "eth2", "10.79.0.2/24");
        self.sysctl("c3", "ipv4/ip_forward", "1");
        self.sysctl("relay", "ipv4/conf/all/rp_filter", "0");
        ip(&["-n", &self.ns("srv"), "route", "replace", "10.78.0.0/24", "via", "10.77.0.3"]);
        ip(&["-n", &c3, "route", "add", "10.78.0.0/24", "via", "10.79.0.2"]);
        ip(&["-n", &relay, "route", "add", "10.77.0.1/32", "via", "10.79.0.1"]);
    }

    /// The same hop for IPv6: c3 has fd77::3 and fd79::1, the relay fd79::2.
    pub fn second_hop6(&self) {
        let (relay, c3) = (self.ns("relay"), self.ns("c3"));
        for interface in ["eth0", "eth1"] {
            self.sysctl("c3", &format!("ipv6/conf/{interface}/accept_dad"), "0");
            self.sysctl("c3", &format!("ipv6/conf/{interface}/accept_ra"), "0");
        }
        self.sysctl("c3", "ipv6/conf/all/forwarding", "1");
        self.enable6("c3");
        self.sysctl("relay", "ipv6/conf/eth2/accept_dad", "0");
        self.address("c3", "eth0", "fd77::3/64");
        self.address("c3", "eth1", "fd79::1/64");
        self.address("relay", "eth2", "fd79::2/64");
        ip(&["-n", &self.ns("srv"), "-6", "route", "replace", "fd78::/64", "via", "fd77::3"]);
        ip(&["-n", &c3, "-6", "route", "add", "fd78::/64", "via", "fd79::2"]);
        ip(&["-n", &relay, "-6", "route", "replace", "fd77::1/128", "via", "fd79::1"]);
    }

    /// Turns IPv6 on in a namespace: its interfaces get link-local addresses, and ask for routers.
    pub fn enable6(&self, name: &str) {
        self.sysctl(name, "ipv6/conf/all/disable_ipv6", "0");
        self.sysctl(name, "ipv6/conf/default/disable_ipv6", "0");
    }

    /// Takes the network card out of a namespace.
    pub fn unplug(&self, name: &str) {
        ip(&["-n", &self.ns("sw"), "link", "del", &format!("p-{name}")]);
    }

    /// Puts a network card into a namespace, as `eth0` at the bridge.
    pub fn plug(&self, name: &str, mac: &str) {
        let (sw, ns, port) = (self.ns("sw"), self.ns(name), format!("p-{name}"));
        ip(&["-n", &sw, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &ns]);
        ip(&["-n", &sw, "link", "set", &port, "master", "br0", "up"]);
        // a station that a busy machine lets wait is there all the same: the kernel asks for longer than three seconds
        for family in ["ipv4", "ipv6"] {
            self.sysctl(name, &format!("{family}/neigh/eth0/mcast_solicit"), "20");
        }
        ip(&["-n", &ns, "link", "set", "eth0", "address", mac, "up"]);
    }

    /// The full name of a namespace.
    pub fn ns(&self, name: &str) -> String {
        assert!(NAMES.contains(&name), "no namespace {name}");
        format!("{}{name}", self.prefix)
    }

    /// Where this lab keeps files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn address(&self, name: &str, interface: &str, address: &str) {
        ip(&["-n", &self.ns(name), "addr", "replace", address, "dev", interface]);
    }

    pub fn flush(&self, name: &str) {
        ip(&["-n", &self.ns(name), "addr", "flush", "dev", "eth0"]);
    }

    /// Changes the hardware address of `eth0`.
    pub fn mac(&self, name: &str, mac: &str) {
        ip(&["-n", &self.ns(name), "link", "set", "eth0", "down"]);
        ip(&["-n", &self.ns(name), "link", "set", "eth0", "address", mac, "up"]);
    }

    /// Runs `ip` inside a namespace.
    pub fn ip(&self, name: &str, arguments: &[&str]) -> String {
        ip(&[&["-n", &self.ns(name)], arguments].concat())
    }

    pub fn sysctl(&self, name: &str, key: &str, value: &str) {
        let path = format!("/proc/sys/net/{key}");
        self.inside(name, || fs::write(&path, value)).unwrap_or_else(|e| panic!("{path}: {e}"));
    }

    /// Runs `work` on a thread of its own inside a namespace. Sockets opened there stay there.
    pub fn inside<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.ns(name));
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let ns = fs::File::open(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
                setns(&ns, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
                work()
            });
            thread.join().unwrap_or_else(|e| std::panic::resume_unwind(e))
        })
    }

    /// Starts a program in a namespace, its output in `NAME.log`. It dies with the calling thread.
    pub fn start(&self, label: &str, name: &str, argv: &[&str]) -> Process {
        let log = self.dir().join(format!("{label}.log"));
        let out = fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "ip", "netns", "exec", &self.ns(name)]).args(argv);
        command.stdin(Stdio::null()).stdout(out.try_clone().expect("a second handle")).stderr(out);
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().unwrap_or_else(|e| panic!("start {label}: {e}"));
        Process { label: label.to_owned(), child, log }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in NAMES {
            remove(&self.ns(name));
        }
        if std::thread::panicking() {
            eprintln!("logs of the failed lab:");
            for file in fs::read_dir(self.dir()).into_iter().flatten().flatten() {
                if file.path().extension().is_some_and(|e| e == "log") {
                    let text = fs::read_to_string(file.path()).unwrap_or_default();
                    let lines: Vec<&str> = text.lines().collect();
                    eprintln!("== {}\n{}", file.path().display(), lines[lines.len().saturating_sub(40)..].join("\n"));
                }
            }
        }
    }
}

/// A program of the lab; dropping it kills its process group.
pub struct Process {
    label: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap_or_else(|e| panic!("{}: {e}", self.label));
    }

    /// How it ended, if it did.
    pub fn status(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    pub fn exited(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|s| s.is_some())
    }

    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Asks it to end, and waits; its exit status.
    pub fn stop(mut self, limit: Duration) -> std::process::ExitStatus {
        self.signal(Signal::SIGTERM);
        assert!(wait(limit, || self.exited()), "{} did not stop within {limit:?}:\n{}", self.label, self.output());
        self.child.wait().expect("its status")
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !self.exited() {
            // the whole group: clients fork; it may have gone in between, then there is nothing to end
            if let Err(e) = killpg(self.pid(), Signal::SIGKILL) {
                eprintln!("kill {}: {e}", self.label);
            }
            if let Err(e) = self.child.wait() {
                eprintln!("wait for {}: {e}", self.label);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Polls until `done` or the limit; true if done.
pub fn wait(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = now() + limit;
    loop {
        if done() {
            return true;
        }
        if now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[allow(clippy::disallowed_methods)] // tests measure real time
pub fn now() -> Instant {
    Instant::now()
}

fn ip(arguments: &[&str]) -> String {
    let out = Command::new("ip").args(arguments).output().unwrap_or_else(|e| panic!("ip: {e}"));
    assert!(out.status.success(), "ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn remove(ns: &str) {
    if Path::new("/run/netns").join(ns).exists() {
        let out = Command::new("ip").args(["netns", "del", ns]).output();
        if !out.as_ref().is_ok_and(|o| o.status.success()) {
            eprintln!("ip netns del {ns}: {out:?}");
        }
    }
}

/// Removes the namespaces of labs whose process is gone (killed, so that nothing was dropped).
fn sweep() {
    for file in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let pid =
            name.strip_prefix("lab").and_then(|rest| rest.split_once('-')).and_then(|(pid, _)| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            remove(&name);
        }
    }
}
