//! RFC 2563: a client that can make an address itself is told whether it shall, where there is none for it.

use std::net::Ipv4Addr;

use super::{Case, Decision};
use crate::domain::dhcp::wire::{Kind, code};

impl Case<'_> {
    /// DH-217: an OFFER without an address, if the client asks and the configuration says something; else `None`.
    pub(super) fn auto_configure(&self) -> Option<Decision> {
        // RFC 2563 §2.1: 1 is AutoConfigure, what the client would do
        self.request.packet.option(code::AUTO_CONFIGURE).filter(|value| value[..] == [1])?;
        let mut reserved = self.reserved.iter().flat_map(|reservation| &reservation.options);
        let reserved = reserved.find(|(code, _)| *code == code::AUTO_CONFIGURE).map(|(_, value)| value.clone());
        let value = reserved.or_else(|| self.configured(code::AUTO_CONFIGURE))?;
        let mut reply = self.header(Kind::Offer);
        reply.options.push((code::AUTO_CONFIGURE, value));
        self.add_client_id(&mut reply);
        Some(Decision::send(self.addressed(reply)))
    }

    /// What the strongest level of the configuration says.
    fn configured(&self, code: u8) -> Option<Vec<u8>> {
        let (ip, place) = (Ipv4Addr::UNSPECIFIED, self.place);
        let fill = self.placeholders(ip);
        let levels = self.levels(ip, place);
        let settings = levels.iter().rev().flat_map(|level| level.settings.iter().rev());
        settings.filter(|setting| setting.code == code).find_map(|setting| setting.value.wire(code, &fill))
    }
}
