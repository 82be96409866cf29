//! The lab: real clients, a real network, the real daemon. As root; it fails, and never skips, without its
//! tools. `cargo test --test lab`; `RACE=10000 cargo test --release --test lab race` for the long race.

mod cards;
mod client;
mod daemon;
mod dhcp;
mod firmware;
mod space;
mod station;
mod wire;

mod clients;
mod clients6;
mod crowd;
mod flood;
mod follow;
mod kernel;
mod loss;
mod netboot;
mod race;
mod radv;
mod rogue;
mod rules;
mod squatter;
mod story;
