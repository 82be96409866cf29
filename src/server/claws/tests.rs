//! The bus over real HTTP on loopback, with scripted modules, over a ledger in memory.

mod bench;
#[path = "../../../tests/lab/dhcp.rs"]
mod dhcp;
mod example;
mod failures;
mod notices;
mod orders;
mod sketch;
