//! The bus over real HTTP on loopback, with scripted modules, over a ledger in memory.

mod bench;
mod example;
mod failures;
mod sketch;
