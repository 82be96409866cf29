//! lanlord as the benches start it: the release build beside this one, one network of a /16, a zone of 1,000 names.

use crate::lan::{Lan, Server};
use crate::{dhcp, dns};
use anyhow::Result;
use std::path::{Path, PathBuf};

/// Where a daemon started in `dir` has its socket.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join("api.sock")
}

/// What a run wants to be different.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shape {
    /// Part of a lease's time within which a renewal writes nothing.
    pub cache: f64,
    /// A pool of a million addresses.
    pub wide: bool,
}

/// Starts the daemon on both protocols and waits for its first lease.
pub fn start(lan: &Lan, dir: &Path, core: Option<u32>) -> Result<Server> {
    start_with(lan, dir, core, &Shape::default())
}

/// The same in another shape.
pub fn start_with(lan: &Lan, dir: &Path, core: Option<u32>, shape: &Shape) -> Result<Server> {
    let zones = dir.join("zones");
    std::fs::create_dir_all(&zones)?;
    std::fs::write(zones.join("bench.test.zone"), dns::zone())?;
    std::fs::write(dir.join("lanlord.toml"), config(&zones, shape))?;
    let at = |name: &str| dir.join(name).to_string_lossy().into_owned();
    let command = [
        env!("CARGO_BIN_EXE_lanlord"),
        "serve",
        "--config",
        &at("lanlord.toml"),
        "--state",
        &at("state"),
        "--socket",
        &at("api.sock"),
    ];
    let server = lan.serve("lanlord", &dir.join("out.log"), core, &command)?;
    dhcp::settle(lan, server)
}

fn config(zones: &Path, shape: &Shape) -> String {
    let (prefix, pool) = match shape.wide {
        false => ("10.77.0.0/16", "10.77.1.0-10.77.250.255"),
        true => ("10.64.0.0/10", "10.80.0.0-10.97.255.255"),
    };
    format!(
        r#"[server]
domain = "bench.test"
[[network]]
name = "bench"
interface = "eth0"
[[network.subnet]]
prefix = "{prefix}"
pool = ["{pool}"]
router = "10.77.0.1"
[dhcp4]
enabled = true
cache_fraction = {:?}
# nobody is held to a rate, and every address is for everybody, as with the others
client_rate = 0
port_rate = 0
stranger_rate = 0
known_share = 0
[dns]
zones = "{}"
"#,
        shape.cache,
        zones.display()
    )
}
