//! Medians with their spread, and the CPU time of a process and its children.

use anyhow::{Context, Result};
use std::collections::HashMap;
use std::fmt;

/// The same measure from several rounds.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    /// Adds the measure of one more round.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one; nothing for an empty series.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }

    /// Round by round against another server: the rounds saw the same machine.
    pub fn ratio(&self, other: &Series) -> Series {
        Series(self.0.iter().zip(&other.0).filter(|(_, o)| **o > 0.0).map(|(s, o)| s / o).collect())
    }
}

/// `median (least–greatest)`, with as many digits as mean something.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(median) = self.median() else { return f.write_str("–") };
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        write!(f, "{} ({}–{})", short(median), short(least), short(greatest))
    }
}

/// Two or three significant digits, or whole numbers.
pub fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Microseconds of CPU, user and system, of `pid` and all its descendants so far. Resolution: one tick, 10 ms.
pub fn cpu_us(pid: u32) -> Result<f64> {
    const TICK_US: f64 = 10_000.0; // USER_HZ is 100 on Linux, whatever the kernel's own HZ
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut ticks: HashMap<u32, u64> = HashMap::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(found) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((parent, used)) = parse_stat(&stat) else { continue };
        children.entry(parent).or_default().push(found);
        ticks.insert(found, used);
    }
    let mut sum = *ticks.get(&pid).context("the server under test has ended")?;
    let mut queue = vec![pid];
    while let Some(next) = queue.pop() {
        for child in children.get(&next).into_iter().flatten() {
            sum += ticks.get(child).copied().unwrap_or(0);
            queue.push(*child);
        }
    }
    Ok(sum as f64 * TICK_US)
}

/// Parent, and utime + stime in ticks, of a line of `/proc/PID/stat`: proc(5), fields 4, 14 and 15.
fn parse_stat(stat: &str) -> Option<(u32, u64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let user: u64 = fields.get(11)?.parse().ok()?;
    let system: u64 = fields.get(12)?.parse().ok()?;
    Some((parent, user + system))
}
