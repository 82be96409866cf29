//! What a zone must not be (DN-210): looked for when all of its records are read.

use super::{Place, Reader, Sets, Severity, oversized};
use crate::domain::dns::name::{self, Name};
use crate::domain::dns::rdata;
use crate::domain::dns::rrset::rtype;

/// NSEC: may stand beside a CNAME, as may RRSIG (RFC 4034).
const NSEC: u16 = 47;

struct Finding {
    severity: Severity,
    place: Place,
    message: String,
    hint: &'static str,
}

impl Reader<'_> {
    pub(super) fn check(&mut self) {
        let mut found = Vec::new();
        if !self.nodes.get(&self.apex).is_some_and(|sets| sets.contains_key(&rtype::NS)) {
            let message = format!("no NS record for {}", self.apex);
            found.push(error(Place::default(), message, "name this server: @ IN NS ns"));
        }
        for (owner, sets) in &self.nodes {
            self.node(owner, sets, &mut found);
        }
        found.into_iter().for_each(|f| self.report(f.severity, f.place, f.message, f.hint));
    }

    fn node(&self, owner: &Name, sets: &Sets, found: &mut Vec<Finding>) {
        if let Some((_, place)) = sets.get(&rtype::SOA) {
            found.push(error(*place, format!("a SOA record at {owner}, which is not the apex"), "zones have one each"));
        }
        if let Some((set, place)) = sets.get(&rtype::CNAME) {
            if set.rdata.len() > 1 {
                found.push(error(*place, format!("{owner} has more than one CNAME"), "keep one"));
            }
            let other = sets.keys().find(|t| !matches!(**t, rtype::CNAME | rtype::RRSIG | NSEC));
            let apex = (*owner == self.apex).then_some(&rtype::SOA);
            if let Some(other) = other.or(apex) {
                let message = format!("{owner} has a CNAME and {}", rdata::type_name(*other));
                found.push(error(*place, message, "a name with a CNAME has no other records"));
            }
        }
        if let Some((set, place)) = sets.get(&rtype::DNAME)
            && set.rdata.len() > 1
        {
            found.push(error(*place, format!("{owner} has more than one DNAME"), "keep one"));
        }
        for (set, place) in sets.values() {
            if oversized(set) {
                let message = format!("the {} records of {owner} exceed any answer", rdata::type_name(set.rtype));
                found.push(error(*place, message, "at most 60000 octets fit"));
            }
            self.targets(owner, set.rtype, &set.rdata, *place, found);
        }
        self.below_dname(owner, sets, found);
    }

    /// RFC 6672 §2.4: nothing stands below a DNAME.
    fn below_dname(&self, owner: &Name, sets: &Sets, found: &mut Vec<Finding>) {
        let mut above = name::parent(owner.as_wire());
        while let Some(wire) = above.filter(|w| name::is_within(w, self.apex.as_wire())) {
            if self.nodes.get(wire).is_some_and(|s| s.contains_key(&rtype::DNAME)) {
                let place = sets.values().next().map_or_else(Place::default, |(_, place)| *place);
                found.push(error(place, format!("{owner} is below a DNAME"), "the DNAME hides it; remove one of them"));
                return;
            }
            above = name::parent(wire);
        }
    }

    fn targets(&self, owner: &Name, of: u16, rdata: &[Vec<u8>], place: Place, found: &mut Vec<Finding>) {
        let skip = match of {
            rtype::NS => 0,
            rtype::MX => 2,
            rtype::SRV => 6,
            _ => return,
        };
        for target in rdata.iter().filter_map(|d| d.get(skip..)).filter(|t| name::is_within(t, self.apex.as_wire())) {
            let sets = self.nodes.get(target);
            let mut text = String::new();
            name::write_text(target, &mut text).expect("a string takes it");
            if sets.is_some_and(|s| s.contains_key(&rtype::CNAME)) {
                // RFC 2181 §10.3
                let message = format!("the target {text} of {} at {owner} is a CNAME", rdata::type_name(of));
                let severity = if of == rtype::NS { Severity::Error } else { Severity::Warning };
                found.push(Finding { severity, place, message, hint: "name the host itself" });
            }
            let addressed = sets.is_some_and(|s| s.contains_key(&rtype::A) || s.contains_key(&rtype::AAAA));
            if of == rtype::NS && !addressed && !self.covered_by_wildcard(target) {
                let message = format!("the name server {text} of {owner} has no address here");
                found.push(Finding { severity: Severity::Warning, place, message, hint: "add its A or AAAA record" });
            }
        }
    }

    fn covered_by_wildcard(&self, target: &[u8]) -> bool {
        let above = name::parent(target).unwrap_or_default();
        self.nodes.contains_key([b"\x01*", above].concat().as_slice())
    }
}

fn error(place: Place, message: String, hint: &'static str) -> Finding {
    Finding { severity: Severity::Error, place, message, hint }
}
