//! lanlord, the lord of the LAN's leases: one daemon, one log, many views.
//!
//! The map. Data moves from the IO shells (`server`) through use cases (`service`) and pure decisions
//! (`domain`) into the ledger (`store`), and back out through views. See `ARCHITECTURE.md`.

/// The composition root.
pub mod app;
/// The command line: clients of the REST API.
pub mod cli;
/// Wall and monotonic time: the only reader of the system's clocks.
pub mod clock;
/// The configuration: spelling, meaning, and everything that is wrong with it at once.
pub mod config;
/// Pure decisions and types: leases, names, phones, events. No IO, no clock, no randomness.
pub mod domain;
/// Files of a folder, opened by names from the network.
pub mod folder;
/// Counters and gauges for `/metrics`.
pub mod metrics;
/// Sockets and interface facts: the only module that speaks to the kernel's network API.
pub mod net;
/// IO shells: packets, messages and requests in, answers out.
pub mod server;
/// Use cases over the ledger, without protocol types.
pub mod service;
/// The journal-first ledger and its tables: the only writer, the only user of SQL.
pub mod store;
