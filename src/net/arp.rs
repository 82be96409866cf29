//! ARP probes (RFC 5227 §2.1.1): does anybody on the link use an address? The sender's protocol address is
//! zero, so that no neighbour learns anything wrong.

use std::io;
use std::net::Ipv4Addr;

use super::NetError;
use super::ether::{Ether, HEADER};
use crate::domain::net::Mac;

/// EtherType of ARP.
const ARP: u16 = 0x0806;
/// ARP for Ethernet and IPv4.
const LENGTH: usize = 28;

/// Asks one link.
pub struct Arp {
    ether: Ether,
    own: Mac,
}

impl Arp {
    /// On an interface with that hardware address. Needs CAP_NET_RAW.
    pub fn open(interface: &str, own: Mac) -> Result<Arp, NetError> {
        Ok(Arp { ether: Ether::open(interface, ARP, &[])?, own })
    }

    /// Forgets answers to earlier questions.
    pub fn drain(&self) {
        self.ether.drain();
    }

    /// Sends one probe.
    pub async fn ask(&self, ip: Ipv4Addr) -> io::Result<()> {
        self.ether.send(&probe(self.own, ip)).await
    }

    /// The next station that shows that it uses an address, whatever it was asked.
    pub async fn heard(&self) -> io::Result<(Ipv4Addr, Mac)> {
        let mut frame = [0; 64];
        loop {
            let length = self.ether.receive(&mut frame).await?;
            if let Some(found) = user(&frame[..length]).filter(|(_, mac)| *mac != self.own) {
                return Ok(found);
            }
        }
    }
}

fn probe(own: Mac, ip: Ipv4Addr) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + LENGTH);
    out.extend([0xff; 6]);
    out.extend(own.0);
    out.extend(ARP.to_be_bytes());
    // Ethernet, IPv4, their lengths, request
    out.extend([0, 1, 8, 0, 6, 4, 0, 1]);
    out.extend(own.0);
    out.extend([0; 4]);
    out.extend([0; 6]);
    out.extend(ip.octets());
    out
}

/// RFC 5227 §2.1.1: any ARP packet whose sender address it is, request or reply.
fn user(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let arp = frame.get(HEADER..HEADER + LENGTH)?;
    if frame[12..14] != ARP.to_be_bytes() || arp[..6] != [0, 1, 8, 0, 6, 4] {
        return None;
    }
    let mac: [u8; 6] = arp[8..14].try_into().ok()?;
    let ip: [u8; 4] = arp[14..18].try_into().ok()?;
    (ip != [0; 4]).then_some((Ipv4Addr::from(ip), Mac(mac)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_5227_a_probe_tells_nobody_an_address_and_an_answer_does() {
        let (own, ip) = (Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 9));
        let mut frame = probe(own, ip);
        assert_eq!(frame.len(), 42);
        assert_eq!((&frame[..6], &frame[38..]), (&[0xff; 6][..], &ip.octets()[..]));
        assert_eq!(user(&frame), None, "the sender's address is zero");
        frame[22..28].copy_from_slice(&[2, 0, 0, 0, 0, 7]);
        frame[28..32].copy_from_slice(&ip.octets());
        assert_eq!(user(&frame), Some((ip, Mac([2, 0, 0, 0, 0, 7]))));
        for length in 0..frame.len() {
            assert_eq!(user(&frame[..length]), None);
        }
    }
}
