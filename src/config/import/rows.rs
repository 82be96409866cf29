//! Rows of lease files, of which the last one of an address counts (DH-641). Owns the bound of their
//! number; refuses to keep what has ended.

use std::collections::HashMap;
use std::net::IpAddr;

use super::model::{LeaseRow, LeaseState, Model};
use super::report::Report;
use super::source::Place;

/// Addresses of one import.
const ROWS: usize = 2_000_000;

/// What the last row of an address says.
#[derive(Debug, Clone)]
pub enum Last {
    Holds(Box<LeaseRow>),
    Ended(Place, &'static str),
}

/// Rows in the order of the first one of each address.
#[derive(Debug, Default)]
pub struct Rows {
    at: HashMap<(IpAddr, Option<u8>), usize>,
    rows: Vec<((IpAddr, Option<u8>), Last)>,
}

impl Rows {
    /// A later row replaces an earlier one; false if there are too many addresses.
    pub fn put(&mut self, ip: IpAddr, delegated: Option<u8>, last: Last) -> bool {
        let key = (ip, delegated);
        if let Some(at) = self.at.get(&key) {
            self.rows[*at].1 = last;
            return true;
        }
        if self.rows.len() >= ROWS {
            return false;
        }
        self.at.insert(key, self.rows.len());
        self.rows.push((key, last));
        true
    }

    /// Puts what holds at `now`, in Unix seconds, into the model.
    pub fn settle(self, now: i64, model: &mut Model, report: &mut Report) {
        for ((ip, delegated), last) in self.rows {
            let what = match delegated {
                Some(length) => format!("lease {ip}/{length}"),
                None => format!("lease {ip}"),
            };
            match last {
                Last::Ended(place, why) => report.adapted(&place, what, why),
                Last::Holds(row) if row.expires.is_some_and(|end| end <= now) => {
                    report.adapted(&row.place, what, "it has run out");
                }
                Last::Holds(row) => {
                    match row.state {
                        LeaseState::Active => report.imported(&row.place, what),
                        LeaseState::Declined => report.imported(&row.place, format!("{what} (declined: quarantined)")),
                    }
                    model.leases.push(*row);
                }
            }
        }
    }
}
