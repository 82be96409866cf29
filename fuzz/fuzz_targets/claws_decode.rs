//! Hostile XML against the bus's reading, writing and merging.
#![no_main]

#[path = "../bodies/claws.rs"]
mod claws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| claws::session(data));
