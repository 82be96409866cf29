//! DHCP as pure decisions. Owns the wire, the policy, the book of addresses and what to answer; refuses
//! sockets, clocks and the ledger. The order is fixed by the callers: decide, commit, publish, answer.

/// The next free address of a subnet.
pub mod allocate;
/// Who holds what, and which address is next: the memory that decisions are made against.
pub mod book;
/// Leases of another server.
pub mod carry;
/// Which clients are meant.
pub mod classes;
/// Options that the configuration defines.
pub mod definitions;
/// Other DHCP servers on our links.
pub mod foreign;
/// Who is heard when too much is asked.
pub mod guard;
/// Token buckets in fixed memory.
pub mod meters;
/// The registry of options.
pub mod options;
/// What the configuration says: networks, subnets, pools, options, recipes.
pub mod policy;
/// Which reservation is for whom.
pub mod reserve;
/// What is odd about a configuration although it can be served.
pub mod review;
/// What was seen of addresses before they are given away.
pub mod sightings;
/// DHCPv4: requests, decisions, replies.
pub mod v4;
/// DHCPv6: requests, decisions, replies.
pub mod v6;
/// Option values between text and wire.
pub mod value;
/// Bytes to slices and replies to bytes.
pub mod wire;

pub use value::{Problem, parse_value};
