//! What a vendor's devices get, and how they are known. Plugin data; none is in the code.

use super::Setting;
use crate::domain::net::Mac;

/// What a vendor's devices get (DH-404, DH-406). Plugin data; none is in the code.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// For explanations, e.g. the plugin's name.
    pub name: String,
    pub when: Match,
    pub settings: Vec<Setting>,
    /// An address, or `${server_ip}`.
    pub siaddr: Option<String>,
    /// The header's `file`; placeholders allowed.
    pub file: Option<String>,
}

/// All that is given must hold; an empty match never does.
#[derive(Debug, Clone, Default)]
pub struct Match {
    /// Beginnings of option 60, case ignored; any of them.
    pub vendor_class: Vec<String>,
    /// Over option 60 as text, unanchored.
    pub vendor_class_regex: Option<regex::bytes::Regex>,
    /// Vendor blocks of the hardware address; any of them.
    pub oui: Vec<[u8; 3]>,
}

impl Match {
    /// True for a client of that vendor class and hardware address.
    pub fn holds(&self, vendor_class: Option<&[u8]>, mac: Option<Mac>) -> bool {
        let class = vendor_class.unwrap_or_default();
        let begins = |prefix: &String| {
            class.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        let by_class = self.vendor_class.is_empty() || self.vendor_class.iter().any(begins);
        let by_regex = self.vendor_class_regex.as_ref().is_none_or(|regex| regex.is_match(class));
        let by_oui = self.oui.is_empty() || mac.is_some_and(|mac| self.oui.contains(&mac.oui()));
        let empty = self.vendor_class.is_empty() && self.vendor_class_regex.is_none() && self.oui.is_empty();
        !empty && by_class && by_regex && by_oui
    }
}
