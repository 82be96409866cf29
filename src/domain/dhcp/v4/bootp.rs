//! BOOTP (RFC 951, RFC 1534): a request without option 53 gets an address without end, if the configuration
//! serves such clients at all. Owns what differs from DHCP: one exchange, no times, no DHCP options.

use super::{Case, Decision, Silence};
use crate::domain::lease::Cause;

impl Case<'_> {
    /// RFC 1534 §2: an address of its own, or an automatic one, for ever: nothing will renew it.
    pub(super) fn bootp(&self) -> Decision {
        match self.choose() {
            Some(ip) => self.grant(ip, Cause::New, false),
            None => Decision::silent(Silence::PoolFull),
        }
    }
}

/// RFC 2132 §9: options of DHCP, which mean nothing to a client of BOOTP.
pub(super) fn is_dhcp_only(code: u8) -> bool {
    (50..=61).contains(&code)
}
