//! Replies to bytes. Owns the order of options, their splitting, overload, the size budget and padding.

use std::net::Ipv4Addr;

use super::{BOOTP_VENDOR, COOKIE, HEADER, Kind, MIN_REPLY, code, relay};

/// Octets of IP and UDP header in front of a message.
const IP_UDP: usize = 28;
/// RFC 2132 §9.10: what every client must take, and the least that option 57 can say.
const MIN_MAX_SIZE: u16 = 576;

/// A reply to be encoded. `options` may come in any order and hold each code once, without 53 and 82.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub kind: Kind,
    pub htype: u8,
    pub hlen: u8,
    pub xid: u32,
    pub flags: u16,
    pub ciaddr: Ipv4Addr,
    pub yiaddr: Ipv4Addr,
    pub siaddr: Ipv4Addr,
    pub giaddr: Ipv4Addr,
    pub chaddr: [u8; 16],
    /// At most 64 octets are sent.
    pub sname: Vec<u8>,
    /// At most 128 octets are sent.
    pub file: Vec<u8>,
    pub options: Vec<(u8, Vec<u8>)>,
    /// Option 82 as received, to be echoed byte for byte.
    pub relay_info: Option<Vec<u8>>,
    /// Option 55 of the request: the order of the options, and which are dropped first.
    pub requested: Vec<u8>,
    /// Option 57 of the request.
    pub max_size: Option<u16>,
}

impl Reply {
    /// The value of an option that will be sent.
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(c, _)| *c == code).map(|(_, value)| value.as_slice())
    }
}

/// What did not fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encoded {
    pub dropped: Vec<u8>,
    /// RFC 3046 §2.2: sent without option 82 because there was no room for it.
    pub relay_info_dropped: bool,
}

/// Where an option goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Main,
    File,
    Sname,
    Nowhere,
}

/// Octets of an option with the headers of its instances.
fn size(value: &[u8]) -> usize {
    value.len() + 2 * value.len().div_ceil(255).max(1)
}

/// The size of the largest message for this client, without IP and UDP header (DH-108).
fn budget(max_size: Option<u16>, mtu: usize) -> usize {
    usize::from(max_size.unwrap_or(MIN_MAX_SIZE).max(MIN_MAX_SIZE)).min(mtu.max(MIN_MAX_SIZE.into())) - IP_UDP
}

/// Never dropped: without these the reply is worthless.
fn vital(code: u8) -> bool {
    matches!(code, code::SERVER_ID | code::LEASE_TIME | code::MASK | code::ROUTER | code::CLIENT_ID)
}

/// Appends the message to `out`, which is cleared first.
pub fn encode(reply: &Reply, mtu: usize, out: &mut Vec<u8>) -> Encoded {
    out.clear();
    header(reply, out);
    let order = order(reply);
    let mut report = Encoded::default();
    let room = match (reply.kind, reply.max_size) {
        // RFC 951 §3: a client of BOOTP reads the vendor area only, unless it says that it takes more
        (Kind::Bootp, None) => BOOTP_VENDOR - COOKIE.len() - 1,
        (_, max_size) => budget(max_size, mtu) - HEADER - 1,
    };
    let total = 3 + order.iter().map(|i| size(&reply.options[*i].1)).sum::<usize>();
    let info = reply.relay_info.as_deref().unwrap_or_default();
    let info_size = info.len() + 2 * relay::instances(info).len();
    let vitals = 3 + reply.options.iter().filter(|(c, _)| vital(*c)).map(|(_, v)| size(v)).sum::<usize>();
    // 82 has its room reserved first, after what must never be missing
    let info_fits = vitals + info_size <= room;
    report.relay_info_dropped = !info.is_empty() && !info_fits;
    let room = if info_fits { room - info_size } else { room };

    if reply.kind != Kind::Bootp {
        out.extend([code::TYPE, 1, reply.kind.number()]);
    }
    if total <= room {
        order.iter().for_each(|i| put(out, reply.options[*i].0, &reply.options[*i].1));
    } else {
        overloaded(reply, &order, room, out, &mut report);
    }
    if info_fits {
        for instance in relay::instances(info) {
            put_one(out, code::RELAY_INFO, instance);
        }
    }
    out.push(code::END);
    out.resize(out.len().max(MIN_REPLY), code::PAD);
    report
}

fn header(reply: &Reply, out: &mut Vec<u8>) {
    out.extend([2, reply.htype, reply.hlen, 0]);
    out.extend(reply.xid.to_be_bytes());
    out.extend([0, 0]);
    out.extend(reply.flags.to_be_bytes());
    for address in [reply.ciaddr, reply.yiaddr, reply.siaddr, reply.giaddr] {
        out.extend(address.octets());
    }
    out.extend(reply.chaddr);
    out.extend(&reply.sname[..reply.sname.len().min(64)]);
    out.resize(108, 0);
    out.extend(&reply.file[..reply.file.len().min(128)]);
    out.resize(236, 0);
    out.extend(COOKIE);
}

/// Indices of the options in the order of DH-107: 54, 51, 58, 59, then as the client listed them with 1
/// before 3 (RFC 2132 §9.8, §3.3), then the others, then 61.
fn order(reply: &Reply) -> Vec<usize> {
    let mut rank = [u16::from(u8::MAX) + 256; 256];
    for (at, code) in reply.requested.iter().take(255).enumerate().rev() {
        rank[usize::from(*code)] = 256 + at as u16;
    }
    let mask = usize::from(code::MASK);
    rank[mask] = rank[mask].min(rank[usize::from(code::ROUTER)]);
    for (at, code) in [code::SERVER_ID, code::LEASE_TIME, code::T1, code::T2].iter().enumerate() {
        rank[usize::from(*code)] = at as u16;
    }
    rank[usize::from(code::CLIENT_ID)] = u16::MAX;
    let mut order: Vec<usize> = (0..reply.options.len()).collect();
    // 1 and 3 may share a rank: the smaller code goes first
    order.sort_by_key(|i| {
        let code = reply.options[*i].0;
        (rank[usize::from(code)], code)
    });
    order
}

/// DH-108: over budget, `file` takes options, then `sname`, if they are free; then options are left out,
/// those that the client asked for last first.
fn overloaded(reply: &Reply, order: &[usize], room: usize, out: &mut Vec<u8>, report: &mut Encoded) {
    let mut main = room.saturating_sub(3 + 3); // 53 and 52
    // option 52 belongs to DHCP: BOOTP cannot overload
    let dhcp = reply.kind != Kind::Bootp;
    let mut file = if dhcp && reply.file.is_empty() { 127 } else { 0 };
    let mut sname = if dhcp && reply.sname.is_empty() { 63 } else { 0 };
    let mut places = vec![Place::Nowhere; reply.options.len()];
    let (first, then): (Vec<usize>, Vec<usize>) = order.iter().partition(|i| vital(reply.options[**i].0));
    for i in first.into_iter().chain(then) {
        let need = size(&reply.options[i].1);
        let (place, left) = if need <= main {
            (Place::Main, &mut main)
        } else if need <= file {
            (Place::File, &mut file)
        } else if need <= sname {
            (Place::Sname, &mut sname)
        } else {
            report.dropped.push(reply.options[i].0);
            continue;
        };
        *left -= need;
        places[i] = place;
    }
    let used = |place: Place| places.contains(&place);
    let bits = u8::from(used(Place::File)) | u8::from(used(Place::Sname)) << 1;
    if bits & 1 != 0 {
        field(reply, order, &places, Place::File, &mut out[108..236]);
    }
    if bits & 2 != 0 {
        field(reply, order, &places, Place::Sname, &mut out[44..108]);
    }
    let lead = order.iter().take_while(|i| leads(reply.options[**i].0)).count();
    let main = |out: &mut Vec<u8>, part: &[usize]| {
        for i in part.iter().filter(|i| places[**i] == Place::Main) {
            put(out, reply.options[*i].0, &reply.options[*i].1);
        }
    };
    main(out, &order[..lead]);
    if bits != 0 {
        put(out, code::OVERLOAD, &[bits]);
    }
    main(out, &order[lead..]);
}

fn leads(code: u8) -> bool {
    matches!(code, code::SERVER_ID | code::LEASE_TIME | code::T1 | code::T2)
}

/// Writes the options of one overloaded field, ended by 255.
fn field(reply: &Reply, order: &[usize], places: &[Place], place: Place, into: &mut [u8]) {
    let mut bytes = Vec::with_capacity(into.len());
    for i in order.iter().filter(|i| places[**i] == place) {
        put(&mut bytes, reply.options[*i].0, &reply.options[*i].1);
    }
    bytes.push(code::END);
    into[..bytes.len()].copy_from_slice(&bytes);
}

/// One option, cut into adjacent instances of at most 255 octets (RFC 3396 §5).
fn put(out: &mut Vec<u8>, code: u8, value: &[u8]) {
    if value.is_empty() {
        return put_one(out, code, value);
    }
    value.chunks(255).for_each(|chunk| put_one(out, code, chunk));
}

fn put_one(out: &mut Vec<u8>, code: u8, value: &[u8]) {
    out.push(code);
    out.push(u8::try_from(value.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(value);
}

#[cfg(test)]
mod tests;
