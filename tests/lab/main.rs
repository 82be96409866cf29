//! The lab: real clients, a real network, the real daemon. As root; it fails, and never skips, without its
//! tools. `cargo test --test lab`.

mod dhcp;
#[allow(dead_code)]
mod space;
mod wire;

mod kernel;
