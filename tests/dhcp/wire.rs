//! Messages from words, and replies against words.

use std::net::Ipv4Addr;

use lanlord::domain::dhcp::v4::{Delivery, Target};
use lanlord::domain::dhcp::wire::{COOKIE, Kind, Packet};

use super::words::{Step, Words, bytes, hex, mac, numbers};

pub fn show(value: &[u8]) -> String {
    value.iter().fold("0x".to_owned(), |out, b| out + &format!("{b:02x}"))
}

pub fn kind(bytes: &[u8]) -> String {
    let number = Packet::walk(bytes).ok().map(|p| p.option(53).and_then(|v| v.first().copied()));
    let kind =
        number.map_or("nothing", |n| n.map_or(Kind::Bootp.name(), |n| Kind::of(n).map_or("nothing", Kind::name)));
    kind.trim_start_matches("DHCP").to_owned()
}

pub fn equal(what: &str, want: String, have: String) -> Step {
    if want == have { Ok(()) } else { Err(format!("{what}: wanted {want}, got {have}")) }
}

pub fn compare(packet: &Packet<'_>, bytes: &[u8], delivery: &Delivery, key: &str, value: &str) -> Step {
    let to = match delivery.to {
        Target::Relay(ip, port) => format!("relay:{ip}:{port}"),
        Target::Port(ip, port) => format!("port:{ip}:{port}"),
        Target::Unicast(ip) => format!("unicast:{ip}"),
        Target::Broadcast => "broadcast".to_owned(),
        Target::Hardware(mac, ip) => format!("frame:{mac}/{ip}"),
    };
    let have = match key {
        "ip" => packet.yiaddr().to_string(),
        "ciaddr" => packet.ciaddr().to_string(),
        "siaddr" => packet.siaddr().to_string(),
        "giaddr" => packet.giaddr().to_string(),
        "flags" => packet.flags().to_string(),
        "hops" => packet.hops().to_string(),
        "secs" => packet.secs().to_string(),
        "htype" => packet.htype().to_string(),
        "chaddr" => show(packet.chaddr()),
        "sname" => String::from_utf8_lossy(packet.sname()).into_owned(),
        "file" => String::from_utf8_lossy(packet.file()).into_owned(),
        "from" => delivery.from.to_string(),
        "to" => to,
        "writes" => return Ok(()),
        "size" => {
            let fits = bytes.len() <= value.parse::<usize>().unwrap();
            return if fits { Ok(()) } else { Err(format!("{} octets", bytes.len())) };
        }
        "codes" => packet.codes().map(|c| c.to_string()).collect::<Vec<_>>().join(","),
        "no" => {
            let there: Vec<u8> = numbers(value).into_iter().filter(|c| packet.option(*c).is_some()).collect();
            return if there.is_empty() { Ok(()) } else { Err(format!("has {there:?}")) };
        }
        "last" => {
            // the last option before the end, as it lies on the wire
            let end = bytes.iter().rposition(|b| *b == 255).unwrap();
            let want = bytes_of_last(value);
            let have = &bytes[end.saturating_sub(want.len())..end];
            return equal("last option", show(&want), show(have));
        }
        code => {
            let code: u8 = code.parse().map_err(|_| format!("no such field: {code}"))?;
            let have = packet.option(code).ok_or(format!("no option {code}"))?;
            let number = value.parse::<u32>().ok().filter(|_| have.len() == 4);
            let want = number.map_or_else(|| bytes_list(value), |n| n.to_be_bytes().to_vec());
            return equal(&format!("option {code}"), show(&want), show(&have));
        }
    };
    equal(key, value.to_owned(), have)
}

pub fn bytes_of_last(value: &str) -> Vec<u8> {
    let (code, data) = value.split_once(':').unwrap();
    let data = hex(data);
    [vec![code.parse().unwrap(), data.len() as u8], data].concat()
}

/// Addresses separated by commas, or as [`bytes`].
pub fn bytes_list(value: &str) -> Vec<u8> {
    let addresses: Result<Vec<Ipv4Addr>, _> = value.split(',').map(str::parse).collect();
    match addresses {
        Ok(list) => list.iter().flat_map(|ip: &Ipv4Addr| ip.octets()).collect(),
        Err(_) => bytes(value),
    }
}

pub fn datagram(words: &Words<'_>, xid: u32) -> Result<Vec<u8>, String> {
    let number = match words.0.first().copied().unwrap_or_default() {
        "DISCOVER" => 1,
        "OFFER" => 2,
        "REQUEST" => 3,
        "DECLINE" => 4,
        "RELEASE" => 7,
        "INFORM" => 8,
        "FORCERENEW" => 9,
        "LEASEQUERY" => 10,
        "BOOTP" => 0,
        other => return Err(format!("no such message: {other}")),
    };
    let mut out = vec![0u8; 240];
    out[0] = if number == 2 { 2 } else { 1 };
    let hw = words.value("mac").map(|m| mac(m).0.to_vec()).unwrap_or_default();
    out[1] = words.value("htype").map_or(1, |n| n.parse().unwrap());
    out[2] = hw.len() as u8;
    out[3] = words.value("hops").map_or(0, |n| n.parse().unwrap());
    out[9] = words.value("secs").map_or(0, |n| n.parse().unwrap());
    out[4..8].copy_from_slice(&xid.to_be_bytes());
    if words.has("broadcast") {
        out[10] = 0x80;
    }
    for (at, key) in [(12, "ciaddr"), (24, "giaddr")] {
        out[at..at + 4].copy_from_slice(&words.ip(key).unwrap_or(Ipv4Addr::UNSPECIFIED).octets());
    }
    out[28..28 + hw.len()].copy_from_slice(&hw);
    out[236..240].copy_from_slice(&COOKIE);
    let mut put = |code: u8, value: &[u8]| {
        out.push(code);
        out.push(value.len() as u8);
        out.extend(value);
    };
    if number != 0 {
        put(53, &[number]);
    }
    for (key, code) in [("want", 50), ("server", 54)] {
        if let Some(ip) = words.ip(key) {
            put(code, &ip.octets());
        }
    }
    if let Some(seconds) = words.value("time") {
        put(51, &seconds.parse::<u32>().unwrap().to_be_bytes());
    }
    let prl = words.value("prl").unwrap_or("1,3,6,15,28");
    if prl != "none" {
        put(55, &numbers(prl));
    }
    for word in &words.0[1..] {
        if let Some((code, value)) = word.split_once('=')
            && let Ok(code) = code.parse::<u8>()
        {
            put(code, &bytes(value));
        }
    }
    if let Some(raw) = words.value("raw") {
        out.extend(hex(raw));
    } else {
        out.push(255);
    }
    Ok(out)
}
