//! Two namespaces on one wire, a server in one and the generator of the load in the other.

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The server's address; its network is a /16, so that a hundred thousand leases find room.
pub const SERVER: &str = "10.77.0.1";
/// The generator's address: perfdhcp plays a relay, and must have one in the served network.
pub const GENERATOR: &str = "10.77.0.2";

/// The wire; both namespaces go with it.
#[derive(Debug)]
pub struct Lan {
    server: String,
    generator: String,
}

impl Lan {
    /// Makes the namespaces. Needs root.
    pub fn new(part: &str) -> Result<Self> {
        let id = std::process::id();
        let lan = Self { server: format!("lanlord-{part}-{id}-s"), generator: format!("lanlord-{part}-{id}-g") };
        for ns in [&lan.server, &lan.generator] {
            run("ip", &["netns", "add", ns])?;
            run("ip", &["-n", ns, "link", "set", "lo", "up"])?;
        }
        let (s, g) = (lan.server.as_str(), lan.generator.as_str());
        run("ip", &["-n", s, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", g])?;
        for (ns, address) in [(s, SERVER), (g, GENERATOR)] {
            run("ip", &["-n", ns, "addr", "add", &format!("{address}/16"), "dev", "eth0"])?;
            run("ip", &["-n", ns, "link", "set", "eth0", "up"])?;
        }
        Ok(lan)
    }

    /// Starts a server in its namespace, on the given core when it is to be pinned.
    pub fn serve(&self, name: &str, log: &Path, core: Option<u32>, command: &[&str]) -> Result<Server> {
        let out = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut all = vec!["netns", "exec", self.server.as_str()];
        let list = core.map(|c| c.to_string());
        if let Some(core) = &list {
            all.extend(["taskset", "-c", core]);
        }
        all.extend(command);
        let child = Command::new("ip")
            .args(&all)
            .env("KEA_PIDFILE_DIR", log.parent().unwrap_or(Path::new("/tmp")))
            .env("KEA_LOCKFILE_DIR", "none")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Server { name: name.into(), child, log: log.into() })
    }

    /// The core of the generator: not that of the server, if there are two.
    pub fn generator_core(&self) -> u32 {
        u32::from(std::thread::available_parallelism().is_ok_and(|n| n.get() > 1))
    }

    /// Runs a generator to its end and returns what it printed. Generators tell of drops by their exit code: it is not judged.
    pub fn generate(&self, core: Option<u32>, command: &[&str]) -> Result<String> {
        let mut all = vec!["netns", "exec", self.generator.as_str()];
        let list = core.map(|c| c.to_string());
        if let Some(core) = &list {
            all.extend(["taskset", "-c", core]);
        }
        all.extend(command);
        let output = Command::new("ip")
            .args(&all)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {}", command[0]))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until `question` finds an answer from the server.
    pub fn until_answered(&self, server: &mut Server, command: &[&str], answer: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if self.generate(None, command)?.contains(answer) {
                return Ok(());
            }
            server.alive()?;
            ensure!(Instant::now() < end, "{} does not answer; see {}", server.name, server.log.display());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for ns in [&self.server, &self.generator] {
            if let Err(error) = run("ip", &["netns", "del", ns]) {
                eprintln!("bench: {error:#}");
            }
        }
    }
}

/// A running server; ended when dropped.
#[derive(Debug)]
pub struct Server {
    /// What it is called in the report.
    pub name: String,
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of its log if it has ended.
    pub fn alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            bail!("{} ended ({status}): {}", self.name, tail.into_iter().rev().collect::<Vec<_>>().join(" | "));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Asked first: a server with children of its own must end them.
        let asked = run("kill", &[&self.child.id().to_string()]);
        let end = Instant::now() + Duration::from_secs(5);
        while asked.is_ok() && Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(|_| ())) {
            eprintln!("bench: ending {}: {error}", self.name);
        }
    }
}

/// Runs a command that must succeed.
pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// An empty directory below `parent`.
pub fn fresh(parent: &Path, name: &str) -> Result<PathBuf> {
    let dir = parent.join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}
