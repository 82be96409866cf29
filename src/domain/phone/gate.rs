//! May this identity have this file? (PR-51) Owns the one decision that I6 stands on. Missing, denied and
//! foreign files look the same to whoever asks; only we know which it was.

use std::net::IpAddr;

use ipnet::IpNet;

use super::plugin::Scope;
use super::route::Route;
use crate::domain::device::{Device, Strength};

/// Why a file is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Denial {
    /// A device file, and we do not know who asks.
    Nobody,
    /// The file of another device.
    Foreign,
    /// It holds secrets, and who asks only claims to be the device.
    ClaimOnly,
}

/// The decision. `claims_allow` are the sources that are believed what they claim.
pub fn gate(
    route: &Route<'_>,
    device: Option<(&Device, Strength)>,
    source: IpAddr,
    claims_allow: &[IpNet],
) -> Result<(), Denial> {
    if route.file.scope != Scope::Device {
        return Ok(());
    }
    let Some((device, strength)) = device else { return Err(Denial::Nobody) };
    let own = route.mac.is_some_and(|mac| device.mac == Some(mac) || device.mac_aliases.contains(&mac));
    if !own {
        return Err(Denial::Foreign);
    }
    let believed = strength == Strength::Bound || claims_allow.iter().any(|net| net.contains(&source));
    if route.file.secret && !believed { Err(Denial::ClaimOnly) } else { Ok(()) }
}
