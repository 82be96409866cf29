//! Zones, records and answers for the API and the command line, each with its reason (DN-314).

use std::net::IpAddr;
use std::sync::Arc;

use super::claims::SourceRef;
use super::{Naming, publish, read_record};
use crate::domain::change::Record;
use crate::domain::dns::lookup::{Owner, lookup};
use crate::domain::dns::name::Name;
use crate::domain::dns::rdata;
use crate::domain::dns::rrset::rtype;
use crate::domain::dns::zone::{Kind, Zone};

/// A zone for listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneInfo {
    pub name: String,
    /// `file`, `dynamic`, `builtin` or `broken`.
    pub kind: &'static str,
    pub serial: u32,
    /// Names in it, empty non-terminals counted.
    pub names: usize,
}

/// A record for listings, with the reason why it is there (DN-314).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordInfo {
    pub name: String,
    pub rtype: String,
    pub ttl: u32,
    pub data: String,
    /// e.g. `zone file`, `record 17`, `host alice-pc`, `reservation r1`, `lease of 10.0.0.5`.
    pub reason: String,
}

/// What this server answers to a question from its own zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryReply {
    pub rcode: u16,
    /// AA: the name is ours.
    pub authoritative: bool,
    /// No zone of ours has the name: it would be asked elsewhere, or refused.
    pub foreign: bool,
    pub answers: Vec<RecordInfo>,
}

impl Naming {
    /// All zones.
    pub fn zones(&self) -> Vec<ZoneInfo> {
        let state = self.state();
        let settings = self.settings();
        let domains = settings.all_domains();
        let info = |z: &Arc<Zone>| {
            let name = z.apex.to_string();
            let kind = match (z.kind, &z.fixed) {
                (Kind::Broken, _) => "broken",
                (Kind::Data, Some(_)) if !matches!(name.as_str(), "localhost" | "ipv4only.arpa") => "file",
                (Kind::Data, None) if z.dynamic.len() > 1 || domains.contains(&name.as_str()) => "dynamic",
                _ => "builtin",
            };
            let names = z.dynamic.len().max(z.fixed.as_ref().map_or(0, |l| l.len()));
            ZoneInfo { name, kind, serial: z.soa.serial, names }
        };
        state.zones().iter().map(info).collect()
    }

    /// The records of a name as they are served, each with its reason.
    pub fn records(&self, name: &str) -> Vec<RecordInfo> {
        let Ok(wire) = Name::parse(name) else { return Vec::new() };
        let text = wire.to_string();
        let book = self.book();
        let state = self.state();
        let file = publish::file_types(&state, &wire);
        let Some(node) = state.node(wire.as_wire()) else { return Vec::new() };
        let reason = |t: u16| match book.claims.of(&text).min_by_key(|c| (c.rank, c.since)) {
            _ if file.contains(&t) => "zone file".to_owned(),
            Some(claim) => why(claim.source),
            None => "made by this server".to_owned(),
        };
        let sets = node.sets().flat_map(|s| s.rdata().map(move |d| (s, d)));
        sets.map(|(s, d)| RecordInfo {
            name: text.clone(),
            rtype: rdata::type_name(s.rtype),
            ttl: s.ttl,
            data: rdata::show(s.rtype, d),
            reason: reason(s.rtype),
        })
        .collect()
    }

    /// Checks a record before it is proposed: name, type and data must be sound and stand beside what a
    /// zone file holds there.
    pub fn check_record(&self, record: &Record) -> Result<(), String> {
        let (name, set) = read_record(record)?;
        let state = self.state();
        let file = publish::file_types(&state, &name);
        if file.contains(&set.rtype) {
            return Err(format!("{name} {} is in a zone file; change it there", record.rtype));
        }
        if file.contains(&rtype::CNAME) || (set.rtype == rtype::CNAME && !file.is_empty()) {
            return Err(format!("{name}: a name with a CNAME has no other records"));
        }
        if state.zone(&name).is_some() && set.rtype == rtype::CNAME {
            return Err(format!("{name} is the apex of a zone and cannot be a CNAME"));
        }
        Ok(())
    }

    /// Asks the snapshot, as a packet would. `Err` says which word is wrong.
    pub fn query(&self, name: &str, rtype: &str) -> Result<QueryReply, String> {
        let name = Name::parse(name).map_err(|e| format!("`{name}`: {e}"))?;
        let number = match rtype.to_ascii_uppercase().as_str() {
            "ANY" => rtype::ANY,
            other => rdata::type_number(other).ok_or_else(|| format!("unknown type `{rtype}`"))?,
        };
        let state = self.state();
        let found = lookup(&state, name.as_wire(), number);
        let mut answers = Vec::new();
        for rr in &found.answer {
            let owner = match &rr.owner {
                Owner::Query => name.clone(),
                Owner::Name(wire) => Name::from_wire(wire).map_err(|e| e.to_string())?,
            };
            answers.extend(rr.rdata().into_iter().map(|data| RecordInfo {
                name: owner.to_string(),
                rtype: rdata::type_name(rr.rtype()),
                ttl: rr.ttl(),
                data: rdata::show(rr.rtype(), data),
                reason: String::new(),
            }));
        }
        for answer in &mut answers {
            let known = self.records(&answer.name);
            let same = known.into_iter().find(|k| k.rtype == answer.rtype && k.data == answer.data);
            answer.reason = same.map_or_else(|| "synthesised".to_owned(), |k| k.reason);
        }
        let foreign = found.foreign.is_some();
        Ok(QueryReply { rcode: found.rcode, authoritative: found.authoritative, foreign, answers })
    }

    /// Names of an address, as its PTR records say.
    pub fn names_of(&self, ip: IpAddr) -> Vec<String> {
        let records = self.records(&Name::reverse(ip).to_string()).into_iter();
        records.filter(|r| r.rtype == "PTR").map(|r| r.data).collect()
    }
}

fn why(source: SourceRef<'_>) -> String {
    match source {
        SourceRef::Server => "this server".to_owned(),
        SourceRef::Record(id) => format!("record {id}"),
        SourceRef::Host(id) => format!("host {id}"),
        SourceRef::Reservation(id) => format!("reservation {id}"),
        SourceRef::Lease(ip, network) => format!("lease of {ip} on {network}"),
    }
}
