//! Hostile file names, user agents and DHCP options against the shipped plugins.
#![no_main]

#[path = "../bodies/phone.rs"]
mod phone;

libfuzzer_sys::fuzz_target!(|data: &[u8]| phone::request(data));
