//! Lines of a scenario as words and values.

use std::net::Ipv4Addr;

use lanlord::domain::net::Mac;

pub type Step = Result<(), String>;

/// Words of a line: `key=value` and bare ones.
pub struct Words<'a>(pub Vec<&'a str>);

impl<'a> Words<'a> {
    pub fn value(&self, key: &str) -> Option<&'a str> {
        self.0.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    }

    pub fn values(&self, key: &'a str) -> impl Iterator<Item = &'a str> + '_ {
        self.0.iter().filter_map(move |word| word.strip_prefix(key)?.strip_prefix('='))
    }

    pub fn has(&self, word: &str) -> bool {
        self.0.contains(&word)
    }

    pub fn ip(&self, key: &str) -> Option<Ipv4Addr> {
        self.value(key).map(ip)
    }
}

pub fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no address"))
}

pub fn mac(text: &str) -> Mac {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no MAC"))
}

pub fn range(text: &str) -> (Ipv4Addr, Ipv4Addr) {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    (ip(first), ip(last))
}

pub fn hex(text: &str) -> Vec<u8> {
    let text = text.trim_start_matches("0x").replace(':', "");
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// `0x..`, a dotted quad, or text in which `_` stands for a blank.
pub fn bytes(text: &str) -> Vec<u8> {
    if text.starts_with("0x") {
        hex(text)
    } else if let Ok(ip) = text.parse::<Ipv4Addr>() {
        ip.octets().to_vec()
    } else {
        text.replace('_', " ").into_bytes()
    }
}

pub fn numbers(text: &str) -> Vec<u8> {
    text.split(',').map(|n| n.parse().unwrap()).collect()
}
