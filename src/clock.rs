//! Owns the system's clocks: everything else takes time as an argument or through [`Clock`].

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::domain::time::{Mono, Wall};

/// No clock that works shows an earlier time: the build's, or that of the first release.
const BUILT: Wall = Wall(match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => number(text.as_bytes()).saturating_mul(1_000),
    None => 1_767_225_600_000, // 2026-01-01T00:00:00Z
});
/// For so long after the machine has started a clock that cannot be right keeps leases from ending (DH-508).
pub const PATIENCE: Duration = Duration::from_secs(600);

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
    /// Since the machine started.
    fn up(&self) -> Duration {
        Duration::MAX
    }
    /// False while somebody is known to be setting the time of day and is not done.
    fn synchronised(&self) -> bool {
        true
    }
    /// Why the time of day cannot be trusted, if so.
    fn doubt(&self) -> Option<Doubt> {
        None
    }
}

/// A time of day that cannot be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// How far it is behind what is certain; zero if it only was not compared with others yet.
    pub behind: Duration,
    /// The machine has just started: somebody may still set it.
    pub young: bool,
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

    fn up(&self) -> Duration {
        // a kernel that cannot tell is old enough
        clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from)
    }

    fn synchronised(&self) -> bool {
        // systemd-timesyncd makes the folder when it starts, and the file when it has set the clock
        let folder = Path::new("/run/systemd/timesync");
        !folder.is_dir() || folder.join("synchronized").exists()
    }
}

/// The time of day as far as it can be known (DH-508). A clock that shows a time before the build is never
/// believed, and until it has caught up once, one that is behind the last commit before the start is not either,
/// for ten minutes from the machine's start: after that it was the commit's clock that was wrong. While the other
/// clock is not believed, this one goes on from the last time that was, by the clock that does not step.
pub struct Sure {
    inner: Arc<dyn Clock>,
    /// When the last commit before the start was made, less when the start was.
    committed: i64,
    /// The last time that was believed, less when that was.
    offset: AtomicI64,
    /// It has caught up once, or nobody will set it any more.
    believed: AtomicBool,
}

impl Sure {
    /// `committed`: when the last commit before this start was made.
    pub fn new(inner: Arc<dyn Clock>, committed: Wall) -> Sure {
        let committed = committed.max(BUILT).0.saturating_sub(millis(inner.mono()));
        Sure { inner, committed, offset: AtomicI64::new(committed), believed: AtomicBool::new(false) }
    }

    /// What is known without the other clock, and what that shows, if it is to be believed.
    fn look(&self) -> (Wall, Result<Wall, Wall>) {
        let (shown, since) = (self.inner.wall(), millis(self.inner.mono()));
        let least = Wall(self.offset.load(Ordering::Relaxed).saturating_add(since));
        let caught_up = || shown.0 >= self.committed.saturating_add(since) || self.inner.up() >= PATIENCE;
        let believe = shown >= BUILT && (self.believed.load(Ordering::Relaxed) || caught_up());
        (least, if believe { Ok(shown) } else { Err(shown) })
    }
}

impl Clock for Sure {
    fn wall(&self) -> Wall {
        match self.look() {
            (_, Ok(shown)) => {
                self.believed.store(true, Ordering::Relaxed);
                self.offset.store(shown.0.saturating_sub(millis(self.inner.mono())), Ordering::Relaxed);
                shown
            }
            (least, Err(_)) => least,
        }
    }

    fn mono(&self) -> Mono {
        self.inner.mono()
    }

    fn micros(&self) -> u64 {
        self.inner.micros()
    }

    fn up(&self) -> Duration {
        self.inner.up()
    }

    fn synchronised(&self) -> bool {
        self.inner.synchronised()
    }

    fn doubt(&self) -> Option<Doubt> {
        let young = self.inner.up() < PATIENCE;
        let behind = match self.look() {
            (least, Err(shown)) => least.since(shown).max(Duration::from_millis(1)),
            (_, Ok(_)) => Duration::ZERO,
        };
        (!behind.is_zero() || young && !self.inner.synchronised()).then_some(Doubt { behind, young })
    }
}

fn millis(mono: Mono) -> i64 {
    i64::try_from(mono.0).unwrap_or(i64::MAX)
}

/// Decimal digits; anything else is no number, and counts as zero.
const fn number(text: &[u8]) -> i64 {
    let (mut at, mut value) = (0, 0i64);
    while at < text.len() {
        if !text[at].is_ascii_digit() {
            return 0;
        }
        value = value.saturating_mul(10).saturating_add((text[at] - b'0') as i64);
        at += 1;
    }
    value
}

/// Time since the clock was first looked at.
#[allow(clippy::disallowed_methods)] // the one place that may
fn up() -> std::time::Duration {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    ORIGIN.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Shows what the test sets.
    #[derive(Default)]
    struct Hands {
        wall: AtomicI64,
        mono: AtomicU64,
        up: AtomicU64,
        unset: AtomicBool,
    }

    impl Clock for Hands {
        fn wall(&self) -> Wall {
            Wall(self.wall.load(Ordering::Relaxed))
        }
        fn mono(&self) -> Mono {
            Mono(self.mono.load(Ordering::Relaxed))
        }
        fn up(&self) -> Duration {
            Duration::from_secs(self.up.load(Ordering::Relaxed))
        }
        fn synchronised(&self) -> bool {
            !self.unset.load(Ordering::Relaxed)
        }
    }

    const COMMITTED: Wall = Wall(BUILT.0 + 1_000_000_000);

    #[test]
    fn a_clock_that_starts_in_1970_goes_on_from_the_last_commit_until_it_is_set() {
        let hands = Arc::new(Hands::default());
        let sure = Sure::new(hands.clone(), COMMITTED);
        hands.mono.store(5_000, Ordering::Relaxed);
        hands.wall.store(5_000, Ordering::Relaxed);
        assert_eq!(sure.wall(), COMMITTED.plus(Duration::from_secs(5)));
        let doubt = sure.doubt().expect("a doubt");
        assert!(doubt.young && doubt.behind > Duration::from_secs(86_400 * 365 * 50));
        let right = COMMITTED.plus(Duration::from_secs(3_600));
        hands.wall.store(right.0, Ordering::Relaxed);
        assert_eq!((sure.wall(), sure.doubt()), (right, None));
        hands.wall.store(right.0 - 3_600_000, Ordering::Relaxed);
        assert_eq!(sure.wall(), COMMITTED, "from here on it is followed, wherever somebody sets it");
    }

    #[test]
    fn a_clock_that_stays_behind_the_last_commit_is_believed_ten_minutes_after_the_machines_start() {
        let hands = Arc::new(Hands::default());
        let sure = Sure::new(hands.clone(), COMMITTED);
        hands.wall.store(BUILT.0 + 7, Ordering::Relaxed);
        assert_eq!(sure.wall(), COMMITTED);
        hands.up.store(600, Ordering::Relaxed);
        assert_eq!((sure.wall(), sure.doubt()), (Wall(BUILT.0 + 7), None));
        // but never one that is behind the build
        hands.wall.store(0, Ordering::Relaxed);
        hands.mono.store(9_000, Ordering::Relaxed);
        assert_eq!(sure.wall(), Wall(BUILT.0 + 9_007));
        assert!(sure.doubt().is_some_and(|doubt| !doubt.young));
    }

    #[test]
    fn a_clock_that_is_being_set_is_in_doubt_for_ten_minutes() {
        let hands = Arc::new(Hands::default());
        let sure = Sure::new(hands.clone(), COMMITTED);
        hands.wall.store(COMMITTED.0 + 1, Ordering::Relaxed);
        hands.unset.store(true, Ordering::Relaxed);
        assert_eq!(sure.doubt(), Some(Doubt { behind: Duration::ZERO, young: true }));
        hands.up.store(600, Ordering::Relaxed);
        assert_eq!(sure.doubt(), None);
    }

    #[test]
    fn the_systems_clock_counts_from_the_machines_start() {
        assert!(System.up() >= System.mono().since(Mono(0)).min(Duration::from_secs(1)) && System.up() < Duration::MAX);
        assert!(System.wall() > BUILT);
        assert_eq!((number(b"1700000000"), number(b"x"), number(b"")), (1_700_000_000, 0, 0));
    }
}
