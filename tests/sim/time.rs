//! The clock of a run: the runtime's own, from where the world stood.

use lanlord::clock::Clock;
use lanlord::domain::time::{Mono, Wall};
use tokio::time::Instant;

/// The wall clock of a run starts here: 2026-01-01.
const EPOCH: u64 = 1_767_225_600_000;

/// Time in one life of a server.
pub struct Time {
    /// Milliseconds of the run when this life began.
    pub base: u64,
    /// When the runtime of this life began.
    pub start: Instant,
}

impl Time {
    /// A life that begins now.
    pub fn from(base: u64) -> Time {
        Time { base, start: Instant::now() }
    }

    /// Milliseconds of the run.
    pub fn now(&self) -> u64 {
        self.base + u64::try_from(self.start.elapsed().as_millis()).expect("minutes")
    }
}

/// What a wall clock shows at that millisecond of the run.
pub fn wall(now: u64) -> Wall {
    Wall(i64::try_from(EPOCH + now).expect("this century"))
}

impl Clock for Time {
    fn wall(&self) -> Wall {
        wall(self.now())
    }
    fn mono(&self) -> Mono {
        Mono(self.now())
    }
}
