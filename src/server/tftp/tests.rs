//! Over loopback, with a client that counts every datagram: the closable gaps of the engine stay closed.

use std::net::Ipv4Addr;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::*;
use crate::domain::net::Mac;
use crate::net::Link;
use crate::service::provisioning::Settings as Policy;
use crate::service::provisioning::fixture::{House, LINK, hostile_paths, house};

const PHONE: Mac = Mac([0, 0x11, 0x22, 0x33, 0x44, 0x77]);
const WAIT: Duration = Duration::from_secs(60);

fn lo(n: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, n).into()
}

fn links(own: &[u8]) -> LinkWatch {
    let addresses = own.iter().map(|n| ipnet::IpNet::new(lo(*n), 8).unwrap()).collect();
    let link = Link { index: 1, name: LINK.to_owned(), up: true, mtu: 1500, addresses, ..Link::default() };
    LinkWatch::fixed(Links::new([link]))
}

struct Rig {
    house: House,
    at: Vec<SocketAddr>,
    stop: CancellationToken,
    transfers: Arc<Transfers>,
    task: JoinHandle<()>,
}

async fn rig(own: &[u8], settings: Settings) -> Rig {
    let house = house(Policy::default());
    let tftp = Tftp::bind(Settings { port: 0, ..settings }, house.phones.clone(), links(own)).await.unwrap();
    let mut at = tftp.addresses();
    at.sort();
    let (stop, transfers) = (CancellationToken::new(), tftp.transfers.clone());
    let task = tokio::spawn(tftp.run(stop.clone()));
    Rig { house, at, stop, transfers, task }
}

impl Rig {
    async fn end(self) {
        self.stop.cancel();
        timeout(WAIT, self.task).await.unwrap().unwrap();
    }
}

async fn client(n: u8) -> UdpSocket {
    UdpSocket::bind((lo(n), 0)).await.unwrap()
}

fn request(op: u8, name: &[u8], options: &[(&str, &str)]) -> Vec<u8> {
    let mut out = [&[0, op], name, b"\0octet\0"].concat();
    options.iter().for_each(|(k, v)| out.extend([k.as_bytes(), b"\0", v.as_bytes(), b"\0"].concat()));
    out
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0u8; 65536];
    let (length, from) = timeout(WAIT, socket.recv_from(&mut buffer)).await.expect("an answer").unwrap();
    (buffer[..length].to_vec(), from)
}

/// Reads a whole file in blocks of 512, from a port of its own, as RFC 1350 §4 wants it.
async fn fetch(host: u8, server: SocketAddr, name: &str) -> Result<Vec<u8>, Vec<u8>> {
    let socket = client(host).await;
    socket.send_to(&request(1, name.as_bytes(), &[]), server).await.unwrap();
    let mut file = Vec::new();
    loop {
        let (packet, from) = receive(&socket).await;
        if packet[1] != 3 {
            return Err(packet);
        }
        assert_eq!(from.ip(), server.ip(), "PR-47: from the address that was asked");
        file.extend_from_slice(&packet[4..]);
        socket.send_to(&[0, 4, packet[2], packet[3]], from).await.unwrap();
        if packet.len() < 516 {
            return Ok(file);
        }
    }
}

#[tokio::test]
async fn the_seeds_phone_boots_over_tftp_and_is_answered_from_the_address_it_asked() {
    let rig = rig(&[1, 2], Settings::default()).await;
    assert_eq!(rig.at.iter().map(SocketAddr::ip).collect::<Vec<_>>(), [lo(1), lo(2)]);
    for (host, server) in [(101, rig.at[0]), (102, rig.at[1])] {
        rig.house.lease(PHONE, lo(host), Some("LINKSYS SPA-3102")).await;
        let common = String::from_utf8(fetch(host, server, "spa3102.cfg").await.unwrap()).unwrap();
        assert!(common.contains(&format!("tftp://{}/$MA.xml", server.ip())), "{common}");
        let own = String::from_utf8(fetch(host, server, "/001122334477.xml").await.unwrap()).unwrap();
        assert!(own.contains(&rig.house.password) && own.ends_with("</flat-profile>\n"));
        rig.house.release(lo(host)).await;
    }
    assert_eq!(rig.house.devices.count(), 1);
    rig.end().await;
}

#[tokio::test]
async fn options_are_held_within_the_limits_and_the_clients_timeout_is_left_out() {
    let rig = rig(&[1], Settings::default()).await;
    rig.house.lease(PHONE, lo(101), Some("LINKSYS SPA-3102")).await;
    let phone = client(101).await;
    fetch(101, rig.at[0], "spa3102.cfg").await.unwrap();
    let options = [("blksize", "65464"), ("windowsize", "65535"), ("timeout", "255"), ("tsize", "0")];
    phone.send_to(&request(1, b"/001122334477.xml", &options), rig.at[0]).await.unwrap();
    let (oack, _) = receive(&phone).await;
    assert_eq!(oack[..2], [0, 6]);
    let told: Vec<&str> = std::str::from_utf8(&oack[2..]).unwrap().trim_end_matches('\0').split('\0').collect();
    assert_eq!(told[..3], ["blksize", "1468", "tsize"]);
    assert!(told[3].parse::<usize>().unwrap() > 512);
    assert_eq!(told[4..], ["windowsize", "16"]);
    rig.end().await;
}

#[tokio::test]
async fn missing_denied_foreign_and_climbing_names_get_the_same_error() {
    let rig = rig(&[1], Settings::default()).await;
    rig.house.lease(PHONE, lo(101), Some("LINKSYS SPA-3102")).await;
    fetch(101, rig.at[0], "spa3102.cfg").await.unwrap();
    let names =
        ["nothing", "/001122334477.xml", "../etc/passwd", "/..\\x", "/etc/passwd", "%2e%2e/x", "a\nb", "", "//x"];
    for name in names {
        assert_eq!(fetch(66, rig.at[0], name).await, Err(b"\0\x05\0\x01File not found\0".to_vec()), "{name}");
    }
    assert_eq!(fetch(101, rig.at[0], "/001122334478.xml").await, Err(b"\0\x05\0\x01File not found\0".to_vec()));
    rig.end().await;
}

/// DH-415, PR-46: as the PXE client of UEFI does it, which first asks how large the file is.
#[tokio::test]
async fn a_boot_file_is_read_from_the_disk_in_windows_and_its_size_is_told() {
    let rig = rig(&[1], Settings::default()).await;
    let boot = rig.house.boot_folder();
    let kernel = boot.write("vmlinuz", 300_000);
    let peer = client(101).await;
    let options = [("tsize", "0"), ("blksize", "1468"), ("windowsize", "4")];
    peer.send_to(&request(1, b"vmlinuz", &options), rig.at[0]).await.unwrap();
    let (oack, from) = receive(&peer).await;
    let told: Vec<&str> = std::str::from_utf8(&oack[2..]).unwrap().trim_end_matches('\0').split('\0').collect();
    assert_eq!(told, ["blksize", "1468", "tsize", "300000", "windowsize", "4"]);
    peer.send_to(&[0, 4, 0, 0], from).await.unwrap();
    let (mut file, mut next) = (Vec::new(), 1u16);
    while file.len() < 300_000 {
        let (packet, from) = receive(&peer).await;
        let block = u16::from_be_bytes([packet[2], packet[3]]);
        if packet[1] == 3 && block == next {
            file.extend_from_slice(&packet[4..]);
            next += 1;
            if block % 4 == 0 || packet.len() < 1472 {
                peer.send_to(&[0, 4, packet[2], packet[3]], from).await.unwrap();
            }
        }
    }
    assert!(file == kernel.as_bytes());
    for name in ["boot/vmlinuz", "/boot/vmlinuz", "\\boot\\vmlinuz", "/vmlinuz"] {
        assert!(fetch(101, rig.at[0], name).await.unwrap() == kernel.as_bytes(), "{name}");
    }
    rig.end().await;
}

/// SE-10.
#[tokio::test]
async fn no_hostile_name_leaks_a_byte() {
    let rig = rig(&[1], Settings::default()).await;
    let _boot = rig.house.boot_folder();
    for path in hostile_paths().iter().filter(|path| !path.contains('\0')) {
        let reply = fetch(66, rig.at[0], path).await;
        assert_eq!(reply, Err(b"\0\x05\0\x01File not found\0".to_vec()), "{path}");
    }
    rig.end().await;
}

#[tokio::test]
async fn a_write_request_is_refused() {
    let rig = rig(&[1], Settings::default()).await;
    let peer = client(66).await;
    peer.send_to(&request(2, b"/001122334477.xml", &[]), rig.at[0]).await.unwrap();
    assert_eq!(receive(&peer).await.0, b"\0\x05\0\x02Permission denied\0");
    rig.end().await;
}

#[tokio::test]
async fn a_slow_answer_stops_no_other() {
    let rig = rig(&[1], Settings::default()).await;
    // Somebody on this segment must be asked for, and nobody answers: that takes its 200 ms.
    let neighbours = rig.house.bindings.neighbours();
    let mut asks = neighbours.asks();
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            // the kernel's entries are told at once; nobody is ever resolved
            if let crate::service::bindings::Want::Confirm(done) = ask.want {
                let _ = done.send(());
            }
        }
    });
    neighbours.set_segments(vec![(LINK.into(), "127.0.0.0/8".parse().unwrap())]);
    neighbours.learn(LINK, lo(101), Some(PHONE));
    fetch(101, rig.at[0], "spa3102.cfg").await.unwrap();
    // On a busy machine the whole wait may pass before the other one is through; if a slow open stopped
    // the others it would pass every time.
    let mut overtaken = false;
    for _ in 0..100 {
        let slow = client(66).await;
        slow.send_to(&request(1, b"spa3102.cfg", &[]), rig.at[0]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        fetch(101, rig.at[0], "/001122334477.xml").await.unwrap();
        overtaken |= slow.try_recv(&mut [0; 600]).is_err();
        if overtaken {
            assert_eq!(receive(&slow).await.0[..2], [0, 3], "and it is answered too");
            break;
        }
    }
    assert!(overtaken, "a slow answer stops the others");
    rig.end().await;
}

#[tokio::test]
async fn a_peer_that_is_silent_gets_six_sendings_and_gives_its_slot_back() {
    let rig = rig(&[1], Settings { timeout: Duration::from_millis(50), ..Settings::default() }).await;
    let peer = client(66).await;
    peer.send_to(&request(1, b"spa3102.cfg", &[]), rig.at[0]).await.unwrap();
    let mut data = 0;
    loop {
        let (packet, _) = receive(&peer).await;
        if packet[1] == 5 {
            break;
        }
        assert_eq!(packet[..4], [0, 3, 0, 1]);
        data += 1;
    }
    assert_eq!(data, 6);
    while rig.transfers.active() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.end().await;
}

#[tokio::test]
async fn transfers_are_capped_in_all_and_per_peer() {
    // nobody acknowledges: none of them may be given up while the others are counted
    let timeout = Duration::from_secs(30);
    let settings = Settings { transfers: 12, transfers_per_peer: 8, timeout, ..Settings::default() };
    let rig = rig(&[1], settings).await;
    let busy = b"\0\x05\0\0too many transfers\0";
    let mut refused = Vec::new();
    let mut open = Vec::new();
    for host in [66, 67] {
        for _ in 0..9 {
            let peer = client(host).await;
            peer.send_to(&request(1, b"spa3102.cfg", &[]), rig.at[0]).await.unwrap();
            let (packet, _) = receive(&peer).await;
            refused.push(packet == busy);
            open.push(peer);
        }
    }
    assert_eq!(refused.iter().position(|r| *r), Some(8), "the ninth of one peer");
    assert_eq!(refused.iter().filter(|r| !**r).count(), 12);
    assert_eq!(rig.transfers.active(), 12);
    rig.end().await;
}

/// What the engine cannot do is written down in `engine.rs`; this pins it, so that an upgrade which can is
/// noticed.
#[tokio::test]
async fn the_open_gaps_are_as_written_down() {
    let rig = rig(&[1], Settings { timeout: Duration::from_millis(50), ..Settings::default() }).await;
    let peer = client(66).await;
    for silent in [&b"\0\x01/\xff.cfg\0octet\0"[..], b"\0\x01/spa3102.cfg\0binary\0", b"\0\x01/spa3102.cfg\0octet\0x"] {
        peer.send_to(silent, rig.at[0]).await.unwrap();
    }
    let mut buffer = [0u8; 600];
    assert!(timeout(Duration::from_millis(100), peer.recv(&mut buffer)).await.is_err(), "silence instead of ERROR 4");
    peer.send_to(&request(1, b"spa3102.cfg", &[]), rig.at[0]).await.unwrap();
    let (first, from) = receive(&peer).await;
    peer.send_to(b"\0\x05\0\0stop\0", from).await.unwrap();
    assert_eq!(receive(&peer).await.0, first, "an ERROR of the peer is ignored");
    rig.end().await;
}
