//! `lanlord host`: the hosts that an administrator declared. Adding and removing are commands on the CLAWS
//! bus, so that every module has its say and every change has an author.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Connection, Request, encoded};
use super::event;
use super::exit::{Exit, Failure};
use super::output::{self, Column};
use crate::domain::net::Mac;

const COLUMNS: &[Column] = &[("HOST", "id"), ("NAME", "fqdn"), ("ALIASES", "aliases"), ("INTERFACES", "interfaces")];

const NAMESPACES: &str = "xmlns:claws=\"urn:openclaws:ns:claws:1\" xmlns:host=\"urn:openclaws:ns:host:1\" \
     xmlns:lan=\"urn:openclaws:ns:lan:1\" xmlns:wireless=\"urn:openclaws:ns:wireless:1\" \
     xmlns:dns=\"urn:openclaws:ns:dns:1\" xmlns:dhcp=\"urn:openclaws:ns:dhcp:1\"";

/// Seconds that a command waits for the bus to decide.
const WAIT: u8 = 30;

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Host {
    /// List hosts
    List,
    /// Show one
    Show { id: String },
    /// Add a host: its addresses and its name are chosen unless they are given
    Add(Box<Add>),
    /// Remove a host, with its addresses and names
    Rm {
        hostname: String,
        /// On whose behalf
        #[arg(long, default_value = IDENTITY)]
        identity: String,
        /// Name of the credential that is used
        #[arg(long, default_value = SOURCE)]
        source: String,
        /// Print the transaction as the bus answers it
        #[arg(long)]
        xml: bool,
    },
}

/// What `claws:source` says unless told otherwise.
const SOURCE: &str = "lanlord";
/// What `claws:identity` says unless told otherwise.
const IDENTITY: &str = "administrator";

/// A host.
#[derive(Debug, Args)]
pub struct Add {
    hostname: String,
    /// An interface and its hardware address, such as ethernet=80:5e:c0:00:00:01; may be repeated
    #[arg(long = "mac", value_name = "NAME=MAC")]
    macs: Vec<String>,
    /// An interface without fixed address; may be repeated
    #[arg(long = "roaming", value_name = "NAME")]
    roaming: Vec<String>,
    /// Network of an interface, such as ethernet=voice; may be repeated
    #[arg(long = "vlan", value_name = "NAME=NETWORK")]
    vlans: Vec<String>,
    /// Fixed address of an interface, such as ethernet=10.77.0.9; may be repeated
    #[arg(long = "address", value_name = "NAME=IP")]
    addresses: Vec<String>,
    /// Name in DNS; chosen by the daemon if absent
    #[arg(long)]
    fqdn: Option<String>,
    /// Another name; may be repeated
    #[arg(long = "alias", value_name = "FQDN")]
    aliases: Vec<String>,
    /// A DHCP option of its leases, such as 252=\n; may be repeated
    #[arg(long = "option", value_name = "N=TEXT")]
    options: Vec<String>,
    #[arg(long)]
    operating_system: Option<String>,
    #[arg(long)]
    asset_tag: Option<String>,
    /// On whose behalf
    #[arg(long, default_value = IDENTITY)]
    identity: String,
    /// Name of the credential that is used
    #[arg(long, default_value = SOURCE)]
    source: String,
    /// Print the message instead of sending it
    #[arg(long)]
    print: bool,
    /// Print the transaction as the bus answers it
    #[arg(long)]
    xml: bool,
}

impl Host {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        match self {
            Host::List => output::list(&to.call(&Request::get("/api/v1/hosts"))?.json()?, COLUMNS, to.json),
            Host::Show { id } => {
                output::object(&to.call(&Request::get(format!("/api/v1/hosts/{}", encoded(&id))))?.json()?, to.json)
            }
            Host::Add(add) => {
                let message = add.message(&txid()?)?;
                if add.print {
                    return output::line(&message);
                }
                let (id, xml) = (add.hostname.to_lowercase(), add.xml);
                let answer = event::submit(to, message.into_bytes(), WAIT)?;
                if xml {
                    return output::line(&answer);
                }
                let made = to.call(&Request::get(format!("/api/v1/hosts/{}", encoded(&id))))?.json()?;
                if to.json { output::json(&made) } else { output::line(&added(&made)) }
            }
            Host::Rm { hostname, identity, source, xml } => {
                let payload = element("host:hostname", None, &hostname);
                let txid = txid()?;
                let message = message(&txid, &source, &identity, "remove-host", &payload);
                let answer = event::submit(to, message.into_bytes(), WAIT)?;
                match (xml, to.json) {
                    (true, _) => output::line(&answer),
                    (false, true) => {
                        output::json(&json!({ "id": hostname.to_lowercase(), "txid": txid, "removed": true }))
                    }
                    (false, false) => {
                        output::line(&format!("host {hostname} is removed, with its addresses and names"))
                    }
                }
            }
        }
    }
}

/// One line about a new host: its name, and what each interface got.
fn added(host: &Value) -> String {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let id = text(host, "hostname").unwrap_or_default();
    let name = text(host, "fqdn").map_or_else(String::new, |fqdn| format!(" as {fqdn}"));
    let interfaces = host.get("interfaces").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let interface = |value: &Value| {
        let addresses = value.get("addresses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let addresses: Vec<&str> = addresses.iter().filter_map(Value::as_str).collect();
        let has = if addresses.is_empty() { "no fixed address".to_owned() } else { addresses.join(", ") };
        let mac = text(value, "mac").map_or_else(String::new, |mac| format!(" ({mac})"));
        format!("{}{mac}: {has}", text(value, "name").filter(|name| !name.is_empty()).unwrap_or("interface".into()))
    };
    let interfaces: Vec<String> = interfaces.iter().map(interface).collect();
    let tail = if interfaces.is_empty() { String::new() } else { format!("; {}", interfaces.join("; ")) };
    format!("host {id} is added{name}{tail}")
}

impl Add {
    fn message(&self, txid: &str) -> Result<String, Failure> {
        let mut out = element("host:hostname", None, &self.hostname);
        for (name, mac) in named(&self.macs)? {
            let mac: Mac = mac.parse().map_err(|e| Failure::new(Exit::Usage, format!("--mac {name}: {e}")))?;
            if mac.is_group() {
                let wrong = format!("--mac {name}: {mac} is a group address and belongs to no single device");
                return Err(Failure::new(Exit::Usage, wrong));
            }
            out += &element("host:mac-addr", Some(("name", name)), &mac.to_string());
        }
        for name in &self.roaming {
            out += &element("wireless:roaming", Some(("name", name)), "");
        }
        for (flag, values) in [("lan:vlan", &self.vlans), ("lan:address", &self.addresses)] {
            for (name, value) in named(values)? {
                out += &element(flag, Some(("name", name)), value);
            }
        }
        out += &self
            .fqdn
            .as_ref()
            .map_or_else(|| element("dns:auto-assign-fqdn", None, ""), |fqdn| element("dns:fqdn", None, fqdn));
        for alias in &self.aliases {
            out += &element("dns:alias", None, alias);
        }
        for (number, text) in named(&self.options)? {
            out += &element("dhcp:custom-option", Some(("number", number)), text);
        }
        for (tag, text) in [("operating-system", &self.operating_system), ("asset-tag", &self.asset_tag)] {
            out += &text.as_ref().map_or_else(String::new, |text| element(&format!("host:{tag}"), None, text));
        }
        Ok(message(txid, &self.source, &self.identity, "add-host", &out))
    }
}

fn message(txid: &str, source: &str, identity: &str, payload: &str, children: &str) -> String {
    let identity = element("claws:identity", None, identity);
    let source = element("claws:source", None, source);
    format!(
        "<claws:event {NAMESPACES} txid=\"{txid}\">{source}{identity}<host:{payload}>{children}</host:{payload}></claws:event>"
    )
}

fn element(tag: &str, attribute: Option<(&str, &str)>, text: &str) -> String {
    let attribute = attribute.map_or_else(String::new, |(key, value)| format!(" {key}=\"{}\"", escaped(value)));
    format!("<{tag}{attribute}>{}</{tag}>", escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn named(arguments: &[String]) -> Result<Vec<(&str, &str)>, Failure> {
    let pair = |text: &'_ String| {
        let wrong = format!("`{text}` is not of the form NAME=VALUE");
        Failure::new(Exit::Usage, wrong)
    };
    arguments.iter().map(|text| text.split_once('=').ok_or_else(|| pair(text))).collect()
}

/// A random UUID (RFC 9562 §5.4).
fn txid() -> Result<String, Failure> {
    let mut bytes = [0u8; 16];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| Failure::new(Exit::Failed, "the system gave no random numbers"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        add: Add,
    }

    #[test]
    fn what_is_typed_becomes_well_formed_xml() {
        let line = Line::parse_from([
            "x",
            "Alice-PC",
            "--mac",
            "ethernet=805EC0000001",
            "--vlan",
            "ethernet=a<b&\"c\"",
            "--option",
            "252=\\n",
        ]);
        let text = line.add.message("00000000-0000-4000-8000-000000000000").unwrap();
        let tree = roxmltree::Document::parse(&text).unwrap();
        let of = |name: &str| tree.descendants().find(|n| n.tag_name().name() == name).unwrap();
        assert_eq!(of("mac-addr").text(), Some("80:5e:c0:00:00:01"));
        assert_eq!(of("vlan").text(), Some("a<b&\"c\""));
        assert_eq!(of("custom-option").text(), Some("\\n"));
        assert_eq!(of("event").attribute("txid").map(str::len), Some(36));
        assert!(of("auto-assign-fqdn").text().is_none());
    }

    #[test]
    fn a_bad_mac_is_named() {
        for bad in ["80:5e", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"] {
            let line = Line::parse_from(["x", "pc", "--mac", &format!("ethernet={bad}")]);
            assert!(line.add.message("t").unwrap_err().message.contains(bad));
        }
    }

    #[test]
    fn a_new_host_is_one_line() {
        let host = json!({ "hostname": "PC", "fqdn": "pc.home.arpa", "interfaces": [
            { "name": "e", "mac": "02:00:00:00:00:01", "addresses": ["10.0.0.9"] }, { "name": "w", "addresses": [] }] });
        let line = "host PC is added as pc.home.arpa; e (02:00:00:00:00:01): 10.0.0.9; w: no fixed address";
        assert_eq!(added(&host), line);
    }
}
