//! Hostile datagrams against the walk and the mirror of relays.
#![no_main]

#[path = "../bodies/dhcp6.rs"]
#[allow(dead_code)] // two targets share it
mod dhcp6;

libfuzzer_sys::fuzz_target!(|data: &[u8]| dhcp6::packet(data));
