//! Options that the configuration defines, beside the registry: codes of its own, options of an enterprise in
//! 125, sub-options of 43, 175 and the like. Owns what a name in an `options` table means; refuses codes that
//! the protocol itself writes (DH-402).

use std::collections::{HashMap, HashSet};

use super::options::{self, Form, Type};

/// One `[[option]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    pub code: u8,
    /// With hyphens.
    pub name: String,
    pub form: Form,
    /// Sent whether the client asks for it or not.
    pub always: bool,
    /// It stands in option 125, for this enterprise.
    pub enterprise: Option<u32>,
    /// It is a sub-option of that option.
    pub within: Option<u8>,
}

impl Definition {
    /// What is wrong with it, also beside others.
    pub fn problem(&self, others: &[Definition]) -> Option<String> {
        let outer = self.enterprise.is_none() && self.within.is_none();
        let entry = options::by_code(self.code).filter(|_| outer);
        if entry.is_some_and(|entry| entry.owned) {
            return Some(format!("option {} is written by the server itself", self.code));
        }
        if let Some(entry) = entry {
            return Some(format!("option {} is known already, as `{}`", self.code, entry.name));
        }
        if let Some(host) = self.within.and_then(options::by_code)
            && !matches!(host.form.kind, Type::Encapsulated | Type::Bytes)
        {
            return Some(format!("`{}` has no sub-options", host.name));
        }
        if options::by_name(&self.name).is_some() || self.name.parse::<u8>().is_ok() || self.name.contains('.') {
            return Some(format!("`{}` means another option already", self.name));
        }
        let same = |other: &&Definition| {
            other.name == self.name
                || (other.code, other.enterprise, other.within) == (self.code, self.enterprise, self.within)
        };
        others.iter().find(same).map(|other| format!("`{}` is this option already", other.name))
    }
}

/// Where the value of a name goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    Option(u8),
    /// A sub-option of an option.
    Within(u8, u8),
    /// An option of an enterprise, in 125.
    Vendor(u32, u8),
}

/// What a name in an `options` table means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    pub spot: Spot,
    pub form: Form,
    pub always: bool,
}

/// All `[[option]]` of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Definitions {
    list: Vec<Definition>,
    by_spot: HashMap<(Option<u32>, Option<u8>, u8), usize>,
    /// Options of the registry that are sent to those who did not ask for them, too.
    forced: HashSet<u8>,
}

/// Text, or octets in hexadecimal: what is known of an option that nobody defined.
const UNKNOWN: Form = Form { kind: Type::Bytes, list: false };

impl Definitions {
    pub fn new(list: Vec<Definition>) -> Definitions {
        let by_spot = list.iter().enumerate().map(|(at, d)| ((d.enterprise, d.within, d.code), at)).collect();
        Definitions { list, by_spot, forced: HashSet::new() }
    }

    /// With options of the registry that are always sent.
    pub fn forcing(self, forced: HashSet<u8>) -> Definitions {
        Definitions { forced, ..self }
    }

    /// True for those.
    pub fn is_forced(&self, code: u8) -> bool {
        self.forced.contains(&code)
    }

    /// Names, for completion.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|definition| definition.name.as_str())
    }

    /// The code of an option outside of any space.
    pub fn code_of(&self, name: &str) -> Option<u8> {
        let own = || self.list.iter().find(|d| d.name == name && d.enterprise.is_none() && d.within.is_none());
        options::code_of(name).or_else(|| own().map(|definition| definition.code))
    }

    /// A name, a number, `43.2` (a sub-option), `125.4491.2` (an option of an enterprise); `None` if it is none.
    pub fn meaning(&self, name: &str) -> Option<Meaning> {
        let meaning = self.own_meaning(name)?;
        let code = match meaning.spot {
            Spot::Option(code) | Spot::Within(code, _) => code,
            Spot::Vendor(..) => 125,
        };
        Some(Meaning { always: meaning.always || self.is_forced(code), ..meaning })
    }

    fn own_meaning(&self, name: &str) -> Option<Meaning> {
        if let Some(definition) = self.list.iter().find(|definition| definition.name == name) {
            return Some(definition.meaning());
        }
        let parts: Vec<&str> = name.split('.').collect();
        let number = |text: &str| text.parse::<u8>().ok().filter(|code| (1..=254).contains(code));
        match *parts.as_slice() {
            ["125", enterprise, code] => {
                let (enterprise, code) = (enterprise.parse().ok()?, number(code)?);
                Some(self.at(Some(enterprise), None, code).unwrap_or(Meaning {
                    spot: Spot::Vendor(enterprise, code),
                    form: UNKNOWN,
                    always: false,
                }))
            }
            [host, code] => {
                let (host, code) = (options::code_of(host)?, number(code)?);
                Some(self.at(None, Some(host), code).unwrap_or(Meaning {
                    spot: Spot::Within(host, code),
                    form: UNKNOWN,
                    always: false,
                }))
            }
            _ => {
                let code = options::code_of(name)?;
                let form = options::by_code(code).map_or(UNKNOWN, |entry| entry.form);
                Some(self.at(None, None, code).unwrap_or(Meaning { spot: Spot::Option(code), form, always: false }))
            }
        }
    }

    fn at(&self, enterprise: Option<u32>, within: Option<u8>, code: u8) -> Option<Meaning> {
        self.by_spot.get(&(enterprise, within, code)).map(|at| self.list[*at].meaning())
    }
}

impl Definition {
    fn meaning(&self) -> Meaning {
        let spot = match (self.enterprise, self.within) {
            (Some(enterprise), _) => Spot::Vendor(enterprise, self.code),
            (None, Some(host)) => Spot::Within(host, self.code),
            (None, None) => Spot::Option(self.code),
        };
        Meaning { spot, form: self.form, always: self.always }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(code: u8, name: &str) -> Definition {
        let form = Form { kind: Type::U16, list: false };
        Definition { code, name: name.to_owned(), form, always: false, enterprise: None, within: None }
    }

    #[test]
    fn names_and_numbers_mean_options_sub_options_and_options_of_enterprises() {
        let vendor = Definition { enterprise: Some(4491), ..definition(2, "tftp-of-cable") };
        let sub = Definition { within: Some(43), always: true, ..definition(7, "port-of-phone") };
        let all = Definitions::new(vec![definition(224, "floor"), vendor, sub]);
        let spot = |name: &str| all.meaning(name).map(|meaning| meaning.spot);
        assert_eq!(spot("floor"), Some(Spot::Option(224)));
        assert_eq!(all.meaning("224").map(|m| m.form.kind), Some(Type::U16));
        assert_eq!(spot("tftp-of-cable"), Some(Spot::Vendor(4491, 2)));
        assert_eq!(all.meaning("125.4491.2").map(|m| m.form.kind), Some(Type::U16));
        assert_eq!(spot("125.9.1"), Some(Spot::Vendor(9, 1)));
        assert_eq!(all.meaning("43.7").map(|m| (m.spot, m.always)), Some((Spot::Within(43, 7), true)));
        assert_eq!(spot("routers"), Some(Spot::Option(3)));
        for name in ["nonsense", "43.0", "43.999", "125.x.1", "0", "255", "1.2.3.4"] {
            assert_eq!(spot(name), None, "{name}");
        }
    }

    #[test]
    fn a_definition_cannot_take_what_the_protocol_or_another_has() {
        let problem = |d: Definition| d.problem(&[definition(224, "floor")]).unwrap_or_default();
        assert!(problem(definition(53, "mine")).contains("server itself"));
        assert!(problem(definition(66, "mine")).contains("known already"));
        assert!(problem(definition(224, "mine")).contains("`floor` is this option"));
        assert!(problem(definition(225, "floor")).contains("already"));
        assert!(problem(definition(225, "routers")).contains("another option"));
        assert!(problem(Definition { within: Some(3), ..definition(1, "mine") }).contains("no sub-options"));
        assert_eq!(definition(225, "mine").problem(&[]), None);
    }
}
