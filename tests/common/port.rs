//! Ports for what a test starts. A port that is bound to 0, read and freed again may be anybody's a moment
//! later: of a test beside this one, or the local end of a connection. These are outside of the range that
//! the kernel gives away by itself (`net.ipv4.ip_local_port_range`, from 32768), and each is held under a
//! name of its own until this process ends, so that no other test of this machine takes it.

use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Mutex;

const FIRST: u16 = 12_000;
const PORTS: u16 = 20_000;

/// A port that is free for UDP and TCP on every IPv4 address, and stays this process's.
pub fn free_port() -> u16 {
    static HELD: Mutex<Vec<UnixDatagram>> = Mutex::new(Vec::new());
    let mut held = HELD.lock().expect("no holder panics");
    // processes begin apart, so that they seldom try what another one has
    let begin = std::process::id().wrapping_mul(61).wrapping_add(held.len() as u32);
    for n in 0..u32::from(PORTS) {
        let port = FIRST + (begin.wrapping_add(n) % u32::from(PORTS)) as u16;
        let name = SocketAddr::from_abstract_name(format!("lanlord-test-port-{port}")).expect("a short name");
        let Ok(mine) = UnixDatagram::bind_addr(&name) else { continue };
        if TcpListener::bind(("0.0.0.0", port)).is_ok() && UdpSocket::bind(("0.0.0.0", port)).is_ok() {
            held.push(mine);
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}
