//! Pure decisions and the types that they are made of. Nothing here does IO, reads a clock or draws
//! a random number: such things come in as arguments (invariant I1, `tests/architecture.rs`).

/// The closed list of durable facts.
pub mod change;
/// The CLAWS event bus: messages, merging, transactions.
pub mod claws;
/// Phones as provisioning knows them: devices and their configs.
pub mod device;
/// DHCP: wire, policy, allocation, decisions.
pub mod dhcp;
/// Names: what they may be, who gets which, zones and lookup in them.
pub mod dns;
/// A list that nearly always has one item.
pub mod few;
/// Prefixes that come from elsewhere.
pub mod follow;
/// Hash tables of the hot paths.
pub mod hash;
/// Octets as hexadecimal digits.
pub mod hex;
/// Hosts that an administrator declared through CLAWS.
pub mod host;
/// Leases as they are remembered, in little room.
pub mod kept;
/// Leases, reservations, bindings and who they belong to.
pub mod lease;
/// Hardware addresses.
pub mod net;
/// Phones: from the bytes of a request to the bytes of a file.
pub mod phone;
/// Router advertisements.
pub mod ra;
/// Wall and monotonic time as values.
pub mod time;
