//! Whether a DHCPv4 message comes from the hardware address that it names (DH-811): a classic BPF program on
//! the receiving socket, which sees the frame's header where the socket itself does not. Owns the program;
//! refuses to drop: what does not fit is cut short, so that its reader can count it and say whose it was.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use socket2::SockFilter;

/// Octets that are left of a message whose frame came from elsewhere: the header, the cookie, and the message
/// type where it stands first, as all clients have it. No whole message is so short: its end mark is missing.
pub const CUT: usize = 243;
/// Prefixes of an interface that are looked at.
pub const PREFIXES: usize = 8;

/// Loads relative to the Ethernet header and to the IP header (`SKF_LL_OFF`, `SKF_NET_OFF`).
const LINK: u32 = (-0x20_0000i32) as u32;
const NET: u32 = (-0x10_0000i32) as u32;
/// The UDP header, which a UDP socket's program sees first.
const UDP: u32 = 8;

const LD_W: u16 = 0x20;
const LD_H: u16 = 0x28;
const LD_LEN: u16 = 0x80;
const AND: u16 = 0x54;
const TAX: u16 = 0x07;
const JEQ: u16 = 0x15;
const JEQ_X: u16 = 0x1d;
const JGE: u16 = 0x35;
const RET: u16 = 0x06;

/// Messages that no relay passed on, from an Ethernet client on this link: by broadcast, without an address, or
/// from one of `on_link`. A renewal that a router forwards comes from the router's hardware address, rightly.
pub(super) fn program(on_link: &[Ipv4Net]) -> Vec<SockFilter> {
    let on_link = &on_link[..on_link.len().min(PREFIXES)];
    // where the comparison of the addresses begins, and the two ends behind it
    let compare = 10 + 3 * on_link.len();
    let (keep, cut) = (compare + 8, compare + 9);
    let mut out: Vec<SockFilter> = Vec::with_capacity(cut + 1);
    let mut step = |code, value, jumps: Option<(usize, usize)>| {
        // a jump counts the instructions that are passed over
        let far = |to: usize| u8::try_from(to - out.len() - 1).unwrap_or(u8::MAX);
        let (yes, no) = jumps.map_or((0, 0), |(yes, no)| (far(yes), far(no)));
        out.push(SockFilter::new(code, yes, no, value));
    };
    step(LD_LEN, 0, None);
    step(JGE, UDP + 44, Some((2, keep)));
    // hardware type Ethernet, six octets
    step(LD_H, UDP + 1, None);
    step(JEQ, 0x0106, Some((4, keep)));
    // giaddr
    step(LD_W, UDP + 24, None);
    step(JEQ, 0, Some((6, keep)));
    step(LD_W, NET + 16, None);
    step(JEQ, u32::from(Ipv4Addr::BROADCAST), Some((compare, 8)));
    step(LD_W, NET + 12, None);
    step(JEQ, 0, Some((compare, if on_link.is_empty() { keep } else { 10 })));
    for (n, net) in on_link.iter().enumerate() {
        let next = 10 + 3 * (n + 1);
        step(LD_W, NET + 12, None);
        step(AND, u32::from(net.netmask()), None);
        step(JEQ, u32::from(net.network()), Some((compare, if next == compare { keep } else { next })));
    }
    // chaddr against the sender of the frame, four octets and two
    step(LD_W, UDP + 28, None);
    step(TAX, 0, None);
    step(LD_W, LINK + 6, None);
    step(JEQ_X, 0, Some((compare + 4, cut)));
    step(LD_H, UDP + 32, None);
    step(TAX, 0, None);
    step(LD_H, LINK + 10, None);
    step(JEQ_X, 0, Some((keep, cut)));
    step(RET, u32::MAX, None);
    step(RET, UDP + CUT as u32, None);
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::net::{BATCH, Inbox, Udp};

    use super::*;

    fn message(giaddr: [u8; 4], chaddr: [u8; 6], length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        out[..3].copy_from_slice(&[1, 1, 6]);
        out[24..28].copy_from_slice(&giaddr);
        out[28..34].copy_from_slice(&chaddr);
        out
    }

    /// The frames of the loopback interface come from the hardware address 00:00:00:00:00:00.
    #[tokio::test]
    async fn what_names_another_hardware_address_than_its_frame_is_cut_short() {
        let stranger = [2, 0, 0, 0, 0, 1];
        let almost = [0, 0, 0, 0, 0, 1];
        let here = ["192.0.2.0/24", "127.0.0.0/8"].map(|net| net.parse().unwrap());
        let elsewhere = ["192.0.2.0/24".parse().unwrap()];
        let cases = [
            (&here[..], message([0; 4], [0; 6], 300), 300),
            (&here, message([0; 4], stranger, 300), CUT),
            (&here, message([0; 4], almost, 300), CUT),
            (&here, message([0; 4], stranger, 200), 200),
            (&here, message([10, 0, 0, 2], stranger, 300), 300),
            (&here, vec![0; 20], 20),
            (&elsewhere, message([0; 4], stranger, 300), 300),
            (&[], message([0; 4], stranger, 300), 300),
        ];
        for (on_link, sent, length) in cases {
            let socket = Udp::bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap();
            socket.check_source(on_link).unwrap();
            let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            client.send_to(&sent, socket.local_addr().unwrap()).unwrap();
            let mut inbox = Inbox::new(BATCH, 1500);
            tokio::time::timeout(Duration::from_secs(20), socket.receive(&mut inbox)).await.expect("in time").unwrap();
            let got = inbox.iter().next().unwrap();
            assert_eq!((got.bytes.len(), got.truncated), (length, false), "{on_link:?} {sent:?}");
            assert_eq!(got.bytes, &sent[..length]);
        }
    }
}
