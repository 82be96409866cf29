//! Phones: what a request says about who sent it, which device that is, and which bytes it may have.
//!
//! The pipeline of the provisioning reference as plain functions: [`extract`] → [`retrieve`] →
//! [`update`] → [`route`] → [`gate`] → [`render`]. Vendors are data ([`plugin`]); nothing here knows one.

/// What would be learned from a given request, and why: the answer of `lanlord classify`.
pub mod classify;
/// Values into the syntax of a phone's file, so that no value becomes structure.
pub mod escape;
/// Match rules over raw bytes: evidence, ranked.
pub mod extract;
/// May this identity have this file?
pub mod gate;
/// What a plugin must not do.
pub mod lint;
/// Vendors as data.
pub mod plugin;
/// What plugins say about DHCP, as recipes of leasing.
pub mod recipe;
/// Templates into bytes, within bounds.
pub mod render;
/// Identity to device: who exists already, who may be created, who is nobody.
pub mod retrieve;
/// Request name to file rule.
pub mod route;
/// The typed settings of a config, and their inheritance.
pub mod settings;
/// Time zones in the shape that phone templates need.
pub mod tz;
/// What a request teaches about a known device: evidence, plugin, config.
pub mod update;
