//! Two kinds of time that must never be mixed: the wall clock, which people read and which may step,
//! and the monotonic clock, which deadlines run on.

use std::time::Duration;

/// Milliseconds since 1970-01-01T00:00:00Z. [`Wall::NEVER`] stands for an infinite lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub i64);

impl Wall {
    /// A time that never comes: the end of an infinite lease.
    pub const NEVER: Wall = Wall(i64::MAX);

    /// The beginning of time: whatever lasts until then is over.
    pub const LONG_AGO: Wall = Wall(0);

    /// Reads RFC 3339: `2026-01-31T08:00:00Z`, with a fraction or an offset if there is one; `None` for
    /// anything else.
    pub fn parse(text: &str) -> Option<Wall> {
        let number = |range: std::ops::Range<usize>| {
            let digits = text.get(range)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok())?
        };
        let bytes = text.as_bytes();
        let marks = [(4, b"-"), (7, b"-"), (10, b"Tt "), (13, b":"), (16, b":")] as [(usize, &[u8]); 5];
        if !marks.iter().all(|(at, signs)| bytes.get(*at).is_some_and(|b| signs.contains(b))) {
            return None;
        }
        let (y, m, d) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (h, min, s) = (number(11..13)?, number(14..16)?, number(17..19)?);
        let rest = text.get(19..)?;
        let fraction = rest.strip_prefix('.').map_or(0, |f| f.bytes().take_while(u8::is_ascii_digit).count() + 1);
        let ms = format!("{:0<3}", rest.get(1..fraction.max(1))?).get(..3)?.parse::<i64>().ok()?;
        let offset = match rest.get(fraction..)? {
            "Z" | "z" => 0,
            zone => {
                let sign = if zone.starts_with('+') { 1 } else { -1 };
                let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
                sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?)
            }
        };
        let days = days(y, m, d)?;
        (h < 24 && min < 60 && s <= 60 && offset.abs() < 1_440)
            .then(|| Wall(((days * 24 + h) * 60 + min - offset) * 60_000 + s * 1_000 + ms))
    }

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

/// Days since 1970-01-01 of a date; `None` if there is no such date.
fn days(y: i64, m: i64, d: i64) -> Option<i64> {
    let year = if m <= 2 { y - 1 } else { y };
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let doy = (153 * (m + if m > 2 { -3 } else { 9 }) + 2) / 5 + d - 1;
    let days = era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468;
    (civil(days) == (y, m, d)).then_some(days)
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

    /// What a wall-clock time that is to be reached at `deadline` must read now, if what is `written` is off by
    /// more than that. `None` for what never comes, or has come.
    pub fn drifted(self, written: Wall, deadline: Mono, tolerance: Duration) -> Option<Wall> {
        if written == Wall::NEVER || deadline <= self.mono {
            return None;
        }
        let due = self.wall.plus(deadline.since(self.mono));
        (u128::from(due.0.abs_diff(written.0)) > tolerance.as_millis()).then_some(due)
    }
}

/// Compares both clocks from look to look: tells when somebody has set the wall clock (DH-507).
#[derive(Debug, Default)]
pub struct Pace {
    last: Option<Now>,
}

impl Pace {
    /// What they may part by without anybody having set one.
    pub const SLACK: Duration = Duration::from_secs(2);

    /// By how many milliseconds the wall clock was set since the last look, if it was.
    pub fn step(&mut self, now: Now) -> Option<i64> {
        let last = self.last.replace(now)?;
        let passed = i64::try_from(now.mono.since(last.mono).as_millis()).unwrap_or(i64::MAX);
        let by = now.wall.0.saturating_sub(last.wall.0).saturating_sub(passed);
        (u128::from(by.unsigned_abs()) > Pace::SLACK.as_millis()).then_some(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints_and_what_people_write() {
        for time in [Wall(0), Wall(1_362_663_927_554), Wall(951_782_400_000), Wall(4_102_444_799_999)] {
            assert_eq!(Wall::parse(&time.rfc3339()), Some(time), "{}", time.rfc3339());
        }
        assert_eq!(Wall::parse("1970-01-01T01:00:00+01:00"), Some(Wall(0)));
        assert_eq!(Wall::parse("1970-01-01 00:00:00.5Z"), Some(Wall(500)));
        for bad in [
            "",
            "1970-01-01",
            "1970-02-30T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-01-01T25:00:00Z",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00+1",
            "1970-01-01T00:00:00.Z x",
            "aaaa-01-01T00:00:00Z",
            "1970-01-01T00:00:00é",
        ] {
            assert_eq!(Wall::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn prints_the_sketchs_timestamp() {
        assert_eq!(Wall(1_362_663_927_554).rfc3339(), "2013-03-07T13:45:27.554000Z");
        assert_eq!(Wall(0).rfc3339(), "1970-01-01T00:00:00.000000Z");
        assert_eq!(Wall(951_782_400_000).rfc3339(), "2000-02-29T00:00:00.000000Z");
    }

    #[test]
    fn a_clock_that_was_set_is_told_from_one_that_goes() {
        let mut pace = Pace::default();
        let at = |wall, mono| Now { wall: Wall(wall), mono: Mono(mono) };
        assert_eq!(pace.step(at(1_000_000, 0)), None);
        assert_eq!(pace.step(at(1_060_000, 60_900)), None, "slewed");
        assert_eq!(pace.step(at(4_660_000, 60_900)), Some(3_600_000));
        assert_eq!(pace.step(at(0, 61_900)), Some(-4_661_000));
        assert_eq!(pace.step(at(1_000, 62_900)), None);
    }

    #[test]
    fn what_is_written_is_off_when_the_clock_was_set() {
        let now = Now { wall: Wall(10_000_000), mono: Mono(5_000) };
        let tolerance = Duration::from_secs(10);
        assert_eq!(now.drifted(Wall(10_600_000), Mono(605_000), tolerance), None);
        assert_eq!(now.drifted(Wall(10_609_000), Mono(605_000), tolerance), None);
        assert_eq!(now.drifted(Wall(14_200_000), Mono(605_000), tolerance), Some(Wall(10_600_000)));
        assert_eq!(now.drifted(Wall(0), Mono(605_000), tolerance), Some(Wall(10_600_000)));
        assert_eq!(now.drifted(Wall::NEVER, Mono(u64::MAX), tolerance), None);
        assert_eq!(now.drifted(Wall(0), Mono(5_000), tolerance), None, "it is over");
    }

    #[test]
    fn never_stays_never() {
        assert_eq!(Wall::NEVER.plus(Duration::from_secs(60)), Wall::NEVER);
        assert_eq!(Wall(5).since(Wall(9)), Duration::ZERO);
    }
}
