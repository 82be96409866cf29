//! What replies say about booting, and the ordered rules that say it by architecture and class.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::{Placeholders, Setting};
use crate::domain::dhcp::classes::{Matcher, Membership, Subject};

/// The boot fields of the header; unset where a level says nothing. Texts may hold placeholders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boot {
    /// siaddr.
    pub next_server: Option<Server>,
    /// sname.
    pub server_name: Option<String>,
    /// file, and option 67 for those who ask.
    pub file: Option<String>,
}

/// A server by address, or by a placeholder for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    Address(Ipv4Addr),
    Text(String),
}

impl Server {
    /// An address, or text with a placeholder that stands for one; `None` for anything else.
    pub fn parse(text: &str) -> Option<Server> {
        match text.parse() {
            Ok(ip) => Some(Server::Address(ip)),
            Err(_) => (Placeholders::example().fill(text).parse::<Ipv4Addr>().is_ok() && text.contains("${"))
                .then(|| Server::Text(text.to_owned())),
        }
    }

    /// The address for one client.
    pub fn address(&self, fill: &Placeholders<'_>) -> Option<Ipv4Addr> {
        match self {
            Server::Address(ip) => Some(*ip),
            Server::Text(text) => fill.fill(text).parse().ok(),
        }
    }
}

/// How the menu of boot rules is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Menu {
    /// What the client's screen says before the menu.
    pub prompt: String,
    /// Seconds until the first entry is booted; 0 at once, 255 never.
    pub timeout: u8,
}

impl Default for Menu {
    fn default() -> Menu {
        Menu { prompt: "Press F8 to choose what to boot".to_owned(), timeout: 10 }
    }
}

/// One rule for clients that boot (DH-411). The first that fits counts; one without any condition always
/// does.
#[derive(Debug, Clone, Default)]
pub struct BootRule {
    /// All of them must hold.
    pub matchers: Vec<Matcher>,
    /// Any of them, if there are some.
    pub classes: Vec<String>,
    pub boot: Boot,
    pub settings: Vec<Setting>,
    /// Its entry in the menu of clients beside another server; without one it is booted at once.
    pub menu: Option<String>,
    /// `file:line`.
    pub place: Option<Arc<str>>,
}

impl BootRule {
    pub fn fits(&self, subject: &dyn Subject, member: &Membership<'_>) -> bool {
        self.matchers.iter().all(|matcher| matcher.holds(subject)) && member.has_any(&self.classes)
    }
}
