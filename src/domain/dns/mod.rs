//! The Domain Name System without its sockets. Owns names, zones and the answers that follow from them;
//! refuses to know where a question came from or when.

/// The algorithm of RFC 1034 §4.3.2 over a snapshot.
pub mod lookup;
/// The persistent map that zones are made of.
pub mod map;
/// Answers of other servers.
pub mod message;
/// Domain names in wire form, their text form, and reverse names of addresses.
pub mod name;
/// Which name a client gets: sanitising, refusals, option 81, the order of candidates.
pub mod naming;
/// A name's suffixes and their hashes.
pub mod path;
/// Questions as they come over the wire.
pub mod query;
/// Record data between text and wire form.
pub mod rdata;
/// From a packet to its answer.
pub mod respond;
/// Record sets, encoded ahead of time.
pub mod rrset;
/// Zones and the snapshot of all of them.
pub mod zone;
/// Reading zone files.
pub mod zonefile;
