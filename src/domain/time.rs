//! Two kinds of time that must never be mixed: the wall clock, which people read and which may step,
//! and the monotonic clock, which deadlines run on.

use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z. [`Wall::NEVER`] stands for an infinite lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub i64);

impl Wall {
    /// A time that never comes: the end of an infinite lease.
    pub const NEVER: Wall = Wall(i64::MAX);

    /// This time moved forward; saturates, and `NEVER` stays `NEVER`.
    pub fn plus(self, by: Duration) -> Wall {
        Wall(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to this one; zero if `earlier` is later.
    pub fn since(self, earlier: Wall) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339, UTC, with microseconds as CLAWS prints them: `2013-03-07T13:45:27.554000Z`.
    pub fn rfc3339(self) -> String {
        let (days, ms) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (y, m, d) = civil(days);
        let (h, min, s) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        format!("{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{s:02}.{:06}Z", ms % 1_000 * 1_000)
    }
}

/// Days since 1970-01-01 to year, month, day in the proleptic Gregorian calendar.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// Milliseconds on the monotonic clock; only differences mean anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// This time moved forward, saturating.
    pub fn plus(self, by: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this one; zero if `earlier` is later.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// One moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    pub wall: Wall,
    pub mono: Mono,
}

impl Now {
    /// When a wall-clock time will be reached if the wall clock is right now and does not step.
    pub fn until(self, wall: Wall) -> Mono {
        if wall == Wall::NEVER { Mono(u64::MAX) } else { self.mono.plus(wall.since(self.wall)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_sketchs_timestamp() {
        assert_eq!(Wall(1_362_663_927_554).rfc3339(), "2013-03-07T13:45:27.554000Z");
        assert_eq!(Wall(0).rfc3339(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Wall(951_782_400_000).rfc3339(), "2000-02-29T00:00:00.000000Z");
    }

    #[test]
    fn never_stays_never() {
        assert_eq!(Wall::NEVER.plus(Duration::from_secs(60)), Wall::NEVER);
        assert_eq!(Wall(5).since(Wall(9)), Duration::ZERO);
    }
}
