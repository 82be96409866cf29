//! Use cases: asynchronous, without protocol types. Each owns its read side, fed by the ledger.

/// Who holds an address: ip → identity.
pub mod bindings;
/// Who gets which address: requests in, replies out, the ledger between them.
pub mod leasing;
/// Names and records from hosts, reservations, leases, zone files: the DNS snapshot.
pub mod naming;
