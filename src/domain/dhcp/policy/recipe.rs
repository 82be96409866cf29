//! What a vendor's devices get, and how they are known. Plugin data; none is in the code.

use super::{Boot, Setting};
use crate::domain::dhcp::classes::{Field, Matcher, Subject};

/// What a vendor's devices get (DH-404, DH-406).
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// For explanations, e.g. the plugin's name.
    pub name: String,
    pub when: Match,
    pub settings: Vec<Setting>,
    pub boot: Boot,
}

/// All that is given must hold; an empty match never does.
#[derive(Debug, Clone, Default)]
pub struct Match {
    /// Beginnings of option 60, case ignored; any of them.
    pub vendor_class: Vec<String>,
    /// Option and pattern over its octets, unanchored; 93 is matched as decimal numbers with blanks between.
    pub patterns: Vec<(u16, regex::bytes::Regex)>,
    /// Vendor blocks of the hardware address; any of them.
    pub oui: Vec<[u8; 3]>,
    /// Enterprises of option 124 (RFC 3925); any of them.
    pub enterprise: Vec<u32>,
    /// Options 77 and 93, and whatever else shorthand knows.
    pub fields: Vec<Matcher>,
}

/// Octets of an enterprise's number.
const ENTERPRISE: usize = 4;
/// Option 93 (RFC 4578 §2.1): numbers of two octets.
const ARCHITECTURES: u16 = 93;
/// Option 124.
const VENDOR_CLASSES: u16 = 124;

impl Match {
    /// True for a client that sends such a message.
    pub fn holds(&self, subject: &dyn Subject) -> bool {
        let empty = self.vendor_class.is_empty()
            && self.patterns.is_empty()
            && self.oui.is_empty()
            && self.enterprise.is_empty()
            && self.fields.is_empty();
        !empty
            && self.by_vendor_class(subject)
            && self.by_patterns(subject)
            && self.by_hardware(subject)
            && self.by_enterprise(subject)
            && self.fields.iter().all(|matcher| matcher.holds(subject))
    }

    fn by_vendor_class(&self, subject: &dyn Subject) -> bool {
        if self.vendor_class.is_empty() {
            return true;
        }
        let class = subject.field(Field::VendorClass).unwrap_or_default();
        let begins = |prefix: &String| {
            class.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        self.vendor_class.iter().any(begins)
    }

    fn by_patterns(&self, subject: &dyn Subject) -> bool {
        self.patterns.iter().all(|(code, regex)| {
            let value = subject.option(*code).unwrap_or_default();
            if *code != ARCHITECTURES {
                return regex.is_match(&value);
            }
            let numbers = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]).to_string());
            regex.is_match(numbers.collect::<Vec<_>>().join(" ").as_bytes())
        })
    }

    fn by_hardware(&self, subject: &dyn Subject) -> bool {
        let mac = || subject.field(Field::Mac).filter(|mac| mac.len() == 6);
        self.oui.is_empty() || mac().is_some_and(|mac| self.oui.iter().any(|oui| mac.starts_with(oui)))
    }

    fn by_enterprise(&self, subject: &dyn Subject) -> bool {
        if self.enterprise.is_empty() {
            return true;
        }
        let Some(value) = subject.option(VENDOR_CLASSES) else { return false };
        let mut rest: &[u8] = &value;
        while let Some((enterprise, after)) = rest.split_first_chunk::<ENTERPRISE>() {
            if self.enterprise.contains(&u32::from_be_bytes(*enterprise)) {
                return true;
            }
            let Some((length, after)) = after.split_first() else { return false };
            rest = after.get(usize::from(*length)..).unwrap_or_default();
        }
        false
    }
}
