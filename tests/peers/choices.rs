//! Where this server answers otherwise than a peer on purpose: one table, each entry with its reason. An entry
//! that no example needs fails the tests, too.

use std::collections::BTreeSet;

use lanlord::config::import::Format::{self, Dhcpd, Dnsmasq, Kea};

use super::example::Client;
use super::four::Answer;

/// What of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Whether there is one.
    Whole,
    Address,
    NextServer,
    ServerName,
    File,
    Flags,
    Option(u8),
}

/// A difference.
pub struct Seen<'s> {
    pub format: Format,
    pub client: &'s Client,
    /// DISCOVER, REQUEST or INFORM.
    pub what: &'s str,
    pub part: Part,
    pub theirs: &'s Option<Answer>,
    pub own: &'s Option<Answer>,
}

impl Seen<'_> {
    fn code(&self) -> u8 {
        if let Part::Option(code) = self.part { code } else { 0 }
    }

    fn theirs(&self, code: u8) -> Option<&[u8]> {
        self.theirs.as_ref()?.options.get(&code).map(Vec::as_slice)
    }

    fn own(&self, code: u8) -> Option<&[u8]> {
        self.own.as_ref()?.options.get(&code).map(Vec::as_slice)
    }

    /// We say something, and the peer nothing.
    fn more(&self) -> bool {
        self.theirs(self.code()).is_none() && self.own(self.code()).is_some()
    }

    fn less(&self) -> bool {
        self.theirs(self.code()).is_some() && self.own(self.code()).is_none()
    }

    fn inform(&self) -> bool {
        self.what == "INFORM"
    }

    fn sent(&self, code: u8) -> Option<&[u8]> {
        self.client.options.iter().find(|(c, _)| *c == code).map(|(_, value)| value.as_slice())
    }

    /// The same but for a NUL at the end.
    fn terminated(&self) -> bool {
        let (theirs, own) = (self.theirs(self.code()), self.own(self.code()));
        theirs.and_then(|value| value.strip_suffix(&[0])).is_some_and(|value| Some(value) == own)
    }
}

type Fits = fn(&Seen<'_>) -> bool;

const ALL: &[Format] = &[Kea, Dhcpd, Dnsmasq];

/// Peers, the difference, and why it is ours.
const CHOICES: &[(&[Format], Fits, &str)] = &[
    (ALL, |s| matches!(s.code(), 58 | 59) && is_timer(s), "T1 and T2 are always said, 1/2 and 7/8 (DH-214)"),
    (&[Kea, Dhcpd], |s| s.code() == 28 && s.more(), "the broadcast address follows from the prefix, for those who ask"),
    (
        ALL,
        |s| s.code() == 15 && s.more() && s.own(15) == Some(b"home.arpa"),
        "every client is in a domain, home.arpa if none is configured: its name is in our DNS (DH-621)",
    ),
    (
        &[Kea],
        |s| s.inform() && matches!(s.code(), 1 | 3 | 6 | 7 | 12 | 26 | 82),
        "INFORM is answered as the holder of that address would be: by its subnet, pool and reservation, with \
         option 82 sent back (RFC 3046 §2.2)",
    ),
    (
        &[Dhcpd],
        |s| s.inform() && s.part == Part::Whole && s.theirs.is_none(),
        "INFORM asks for options only, which does no harm: it is answered whether authoritative or not",
    ),
    (
        &[Dhcpd, Dnsmasq],
        |s| s.code() == 12 && s.more(),
        "a host is told the name that is reserved for it, from the OFFER on",
    ),
    (
        &[Kea, Dnsmasq],
        |s| s.code() == 12 && s.less() && s.theirs(12) == s.sent(12),
        "a client is not told the name that it told us",
    ),
    (&[Dhcpd, Dnsmasq], |s| s.code() == 61 && s.own(61) == s.sent(61), "option 61 is sent back (RFC 6842)"),
    (
        &[Kea, Dhcpd],
        |s| match (s.code(), s.own) {
            (66, Some(own)) => s.more() && s.own(66) == Some(&own.sname),
            (67, Some(own)) => s.more() && s.own(67) == Some(&own.file),
            _ => false,
        },
        "boot fields of the header are in 66 and 67 too, for those who ask (DH-412)",
    ),
    (
        &[Dnsmasq],
        |s| match (s.part, s.theirs, s.own) {
            (Part::ServerName, Some(theirs), Some(own)) => {
                theirs.sname.is_empty() && s.own(66) == Some(&own.sname)
                    // a value of 66 that nobody asked for is none of the header
                    || own.sname.is_empty() && s.own(66).is_none()
            }
            (Part::File, Some(theirs), Some(own)) => theirs.file.is_empty() && s.own(67) == Some(&own.file),
            _ => false,
        },
        "the header has the boot fields whether 66 and 67 are asked for or not, and nothing else (DH-412)",
    ),
    (
        &[Kea, Dnsmasq],
        |s| matches!(s.code(), 15 | 28) && s.less() && s.sent(55).is_some_and(|asked| !asked.contains(&s.code())),
        "what is not asked for is not sent, unless it is forced (DH-403)",
    ),
    (&[Dnsmasq], |s| matches!(s.code(), 66 | 67) && s.terminated(), "texts have no NUL at their end (DH-105)"),
    (
        &[Kea, Dhcpd],
        |s| s.code() == 60 && s.more() && s.own(67).is_some(),
        "firmware ignores an answer without its own class (DH-412, DH-413)",
    ),
    (
        &[Dnsmasq],
        |s| s.code() == 60 && s.less() && s.theirs(60) == s.sent(60),
        "only firmware needs its class back (DH-412)",
    ),
    (&[Kea, Dhcpd], |s| s.code() == 97 && s.more(), "option 97 is sent back to PXE clients (RFC 4578 §2.3)"),
    (
        &[Kea],
        |s| s.code() == 119 && spelled(s.theirs(119)).is_some() && spelled(s.theirs(119)) == spelled(s.own(119)),
        "search lists are compressed (RFC 3397)",
    ),
    (
        &[Dhcpd, Dnsmasq],
        |s| s.code() == 249 && s.more() && s.own(249) == s.own(121),
        "old Windows clients get the routes that 121 has (DH-110)",
    ),
    (
        &[Dnsmasq],
        |s| matches!(s.code(), 43 | 175) && inner(s.theirs(s.code())) == inner(s.own(s.code())) && !s.less(),
        "sub-options are in the order of the file, without an end mark",
    ),
    (
        &[Kea, Dnsmasq],
        |s| {
            let pxe = s.sent(60).is_some_and(|class| class.starts_with(b"PXEClient"));
            s.code() == 43 && pxe && s.own(43) == Some(&[6, 1, 8, 255])
        },
        "PXE clients are told to boot the file of the answer at once: there is no menu (see the import's report)",
    ),
    (
        &[Dnsmasq],
        |s| s.code() == 51 && s.theirs(51) == Some(&[0xff; 4]) && s.own(51) == Some(&(366 * 86_400u32).to_be_bytes()),
        "leases last a year at most, and are renewed (see the import's report)",
    ),
];

fn is_timer(s: &Seen<'_>) -> bool {
    let number = |code| s.own(code).and_then(|v| <[u8; 4]>::try_from(v).ok()).map(u32::from_be_bytes);
    let (Some(lease), Some(own)) = (number(51), number(s.code())) else { return false };
    own == if s.code() == 58 { lease / 2 } else { lease - lease.div_ceil(8) }
}

/// The names of a search list, their pointers followed.
fn spelled(value: Option<&[u8]>) -> Option<Vec<Vec<u8>>> {
    let value = value?;
    let (mut out, mut at) = (Vec::new(), 0);
    while at < value.len() {
        let (mut name, mut here, mut next) = (Vec::new(), at, None);
        loop {
            match usize::from(*value.get(here)?) {
                0 => break,
                pointer if pointer >= 0xc0 => {
                    next = next.or(Some(here + 2));
                    here = usize::from(*value.get(here + 1)?);
                }
                length => {
                    name.extend_from_slice(value.get(here..=here + length)?);
                    here += 1 + length;
                }
            }
            if name.len() > 255 {
                return None;
            }
        }
        out.push(name);
        at = next.unwrap_or(here + 1);
    }
    Some(out)
}

/// Sub-options, sorted.
fn inner(value: Option<&[u8]>) -> Option<BTreeSet<(u8, Vec<u8>)>> {
    let mut rest = value?;
    let mut out = BTreeSet::new();
    while let [code, length, after @ ..] = rest {
        let (body, after) = after.split_at_checked(usize::from(*length))?;
        out.insert((*code, body.to_vec()));
        rest = after;
    }
    matches!(rest, [] | [255]).then_some(out)
}

/// The choice that a difference is, by its number.
pub fn of(seen: &Seen<'_>) -> Option<usize> {
    CHOICES.iter().position(|(peers, fits, _)| peers.contains(&seen.format) && fits(seen))
}

/// Choices about that peer which nothing needed.
pub fn idle(format: Format, used: &BTreeSet<usize>) -> Vec<&'static str> {
    let about = |n: &usize| CHOICES[*n].0.contains(&format) && !used.contains(n);
    (0..CHOICES.len()).filter(about).map(|n| CHOICES[n].2).collect()
}
