//! Use cases: asynchronous, without protocol types. Each owns its read side, fed by the ledger.

/// Who may come in: tokens and scopes.
pub mod access;
/// Who holds an address: ip → identity.
pub mod bindings;
/// The CLAWS bus: transactions, sessions, routing.
pub mod bus;
/// Devices and their configs: the read side of provisioning, and the API's use cases.
pub mod devices;
/// What happened: replay and live tail.
pub mod events;
/// What works and what does not.
pub mod health;
/// Hosts that were declared through CLAWS.
pub mod hosts;
/// Who gets which address: requests in, replies out, the ledger between them.
pub mod leasing;
/// Names and records from hosts, reservations, leases, zone files: the DNS snapshot.
pub mod naming;
/// Files for phones: from a request to bytes, or to nothing.
pub mod provisioning;
/// Loading the configuration again.
pub mod reload;
/// Secrets at rest: sealed before they enter the ledger.
pub mod secrets;
