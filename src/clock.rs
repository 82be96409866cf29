//! Owns the system's clocks: everything else takes time as an argument or through [`Clock`].

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::{Mono, Wall};

/// A source of wall-clock and monotonic time. The real one is [`System`]; simulations bring their own.
pub trait Clock: Send + Sync + 'static {
    /// Time of day, UTC. May step in either direction.
    fn wall(&self) -> Wall;
    /// Time since an arbitrary origin. Never goes back.
    fn mono(&self) -> Mono;
    /// Microseconds since an arbitrary origin of its own, for measuring how long something takes.
    fn micros(&self) -> u64 {
        self.mono().0.saturating_mul(1_000)
    }
}

/// The clocks of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct System;

impl Clock for System {
    #[allow(clippy::disallowed_methods)] // the one place that may
    fn wall(&self) -> Wall {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => Wall(-i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX)),
        }
    }

    fn mono(&self) -> Mono {
        Mono(u64::try_from(up().as_millis()).unwrap_or(u64::MAX))
    }

    fn micros(&self) -> u64 {
        u64::try_from(up().as_micros()).unwrap_or(u64::MAX)
    }
}

/// Time since the clock was first looked at.
#[allow(clippy::disallowed_methods)] // the one place that may
fn up() -> std::time::Duration {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed()
}
