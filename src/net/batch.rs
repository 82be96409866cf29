//! Many datagrams per system call. Owns the buffers and every line of unsafe code: each block hands the
//! kernel pointers into memory that lives on this stack frame or in a buffer borrowed for the call, and
//! trusts only lengths that the kernel returned.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;

use super::frames;
use crate::domain::net::Mac;

/// Datagrams per system call, at most.
pub const BATCH: usize = 64;
/// Room for IPV6_PKTINFO (or IP_PKTINFO) and IPV6_HOPLIMIT with their headers, in eight-octet words.
const CONTROL_WORDS: usize = 8;

/// A received datagram, borrowed from its [`Inbox`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    pub bytes: &'a [u8],
    pub source: SocketAddr,
    /// Destination in the IP header: may be a broadcast or multicast address.
    pub destination: Option<IpAddr>,
    /// The local address to answer from.
    pub local: Option<IpAddr>,
    /// Interface that it arrived on; 0 if unknown.
    pub ifindex: u32,
    /// It was longer than the buffer: `bytes` is only its beginning.
    pub truncated: bool,
    /// Its hop limit, from sockets that ask for it.
    pub hops: Option<u8>,
}

#[derive(Clone, Copy)]
struct Meta {
    len: usize,
    source: SocketAddr,
    destination: Option<IpAddr>,
    local: Option<IpAddr>,
    ifindex: u32,
    truncated: bool,
    hops: Option<u8>,
}

/// Room for a batch of received datagrams; reused from call to call.
pub struct Inbox {
    bytes: Box<[u8]>,
    size: usize,
    slots: usize,
    metas: Vec<Meta>,
}

impl Inbox {
    /// `slots` datagrams (1 to [`BATCH`]) of at most `size` octets each.
    pub fn new(slots: usize, size: usize) -> Inbox {
        let (slots, size) = (slots.clamp(1, BATCH), size.max(1));
        Inbox { bytes: vec![0; slots * size].into_boxed_slice(), size, slots, metas: Vec::with_capacity(slots) }
    }

    /// The datagrams of the last call.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        self.metas.iter().enumerate().map(|(i, m)| Datagram {
            bytes: &self.bytes[i * self.size..][..m.len],
            source: m.source,
            destination: m.destination,
            local: m.local,
            ifindex: m.ifindex,
            truncated: m.truncated,
            hops: m.hops,
        })
    }

    pub fn len(&self) -> usize {
        self.metas.len()
    }

    pub fn is_empty(&self) -> bool {
        self.metas.is_empty()
    }

    /// One `recvmmsg`, never waiting. A source that is no IP address (there is none on UDP) shows as empty.
    pub(super) fn fill(&mut self, fd: RawFd) -> io::Result<usize> {
        self.metas.clear();
        // SAFETY: all-zero is a valid value of these C structures.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        let mut vectors: [libc::iovec; BATCH] = unsafe { zeroed() };
        let mut names: [libc::sockaddr_in6; BATCH] = unsafe { zeroed() };
        let mut controls = [[0u64; CONTROL_WORDS]; BATCH];
        for (i, slot) in self.bytes.chunks_exact_mut(self.size).take(self.slots).enumerate() {
            vectors[i] = libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: slot.len() };
            let header = &mut headers[i].msg_hdr;
            header.msg_name = (&raw mut names[i]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_control = controls[i].as_mut_ptr().cast();
            header.msg_controllen = size_of::<[u64; CONTROL_WORDS]>();
        }
        // SAFETY: the first `slots` headers point at live buffers of the lengths that they state.
        let n = unsafe {
            libc::recvmmsg(
                fd,
                headers.as_mut_ptr(),
                self.slots as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        for (i, header) in headers.iter().take(n).enumerate() {
            let mut meta = Meta {
                len: 0,
                source: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
                destination: None,
                local: None,
                ifindex: 0,
                truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                hops: None,
            };
            if let Some(source) = read_name(&names[i]) {
                meta.len = (header.msg_len as usize).min(self.size);
                meta.source = source;
                read_pktinfo(&header.msg_hdr, &mut meta);
            }
            self.metas.push(meta);
        }
        Ok(n)
    }
}

fn read_name(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match i32::from(name.sin6_family) {
        libc::AF_INET => {
            // SAFETY: the family says that the kernel wrote a sockaddr_in, which is smaller and less aligned.
            let v4 = unsafe { std::ptr::from_ref(name).cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(name.sin6_port), 0, name.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn read_pktinfo(header: &libc::msghdr, meta: &mut Meta) {
    // SAFETY: `header` describes a control buffer that the kernel filled; the CMSG macros stay within
    // msg_controllen, and the payloads are read unaligned only if the header says that they are whole.
    unsafe {
        let mut at = libc::CMSG_FIRSTHDR(header);
        while !at.is_null() {
            let c = at.read_unaligned();
            let room = c.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
            if (c.cmsg_level, c.cmsg_type) == (libc::IPPROTO_IP, libc::IP_PKTINFO)
                && room >= size_of::<libc::in_pktinfo>()
            {
                let info = libc::CMSG_DATA(at).cast::<libc::in_pktinfo>().read_unaligned();
                meta.ifindex = u32::try_from(info.ipi_ifindex).unwrap_or(0);
                meta.destination = Some(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr)).into());
                meta.local = Some(Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)).into());
            }
            if (c.cmsg_level, c.cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)
                && room >= size_of::<libc::in6_pktinfo>()
            {
                let info = libc::CMSG_DATA(at).cast::<libc::in6_pktinfo>().read_unaligned();
                let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                meta.ifindex = info.ipi6_ifindex as u32;
                meta.destination = Some(ip.into());
                meta.local = (!ip.is_multicast()).then_some(ip.into());
            }
            if (c.cmsg_level, c.cmsg_type) == (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT)
                && room >= size_of::<libc::c_int>()
            {
                let hops = libc::CMSG_DATA(at).cast::<libc::c_int>().read_unaligned();
                meta.hops = u8::try_from(hops).ok();
            }
            at = libc::CMSG_NXTHDR(header, at);
        }
    }
}

enum Target {
    Udp { to: SocketAddr, from: Option<IpAddr>, ifindex: u32 },
    Frame { ifindex: u32, mac: Mac },
}

struct Outgoing {
    start: usize,
    end: usize,
    target: Target,
}

/// Datagrams that wait to be sent, in order; reused from call to call.
#[derive(Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    messages: Vec<Outgoing>,
    done: usize,
}

/// What became of the datagrams of one `send`.
#[derive(Debug, Default)]
pub struct Sent {
    pub sent: usize,
    /// Refused by the kernel (no route, no such neighbour, too long, ...): dropped.
    pub failed: usize,
    pub last_error: Option<io::Error>,
}

impl Outbox {
    pub fn new() -> Outbox {
        Outbox::default()
    }

    pub fn len(&self) -> usize {
        self.messages.len() - self.done
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Queues `bytes` for `to`. `from` is the source address (`None`: the kernel's choice), `ifindex` the
    /// interface to leave by (0: by routing table or the socket's own device).
    pub fn push(&mut self, to: SocketAddr, from: Option<IpAddr>, ifindex: u32, bytes: &[u8]) {
        self.push_with(to, from, ifindex, |out| out.extend_from_slice(bytes));
    }

    /// As [`push`](Self::push), but `write` appends the payload: no copy between buffers.
    pub fn push_with<R>(
        &mut self,
        to: SocketAddr,
        from: Option<IpAddr>,
        ifindex: u32,
        write: impl FnOnce(&mut Vec<u8>) -> R,
    ) -> R {
        let start = self.bytes.len();
        let r = write(&mut self.bytes);
        self.finish(start, Target::Udp { to, from, ifindex });
        r
    }

    /// Queues an IPv4 UDP datagram for a hardware address on an interface; for [`Frames`](super::Frames) only.
    pub fn push_frame(&mut self, ifindex: u32, mac: Mac, from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
        let start = self.bytes.len();
        frames::write_datagram(&mut self.bytes, from, to, payload);
        self.finish(start, Target::Frame { ifindex, mac });
    }

    fn finish(&mut self, start: usize, target: Target) {
        // a writer that shortened the buffer below its start has written nothing
        let end = self.bytes.len().max(start);
        self.bytes.resize(end, 0);
        self.messages.push(Outgoing { start, end, target });
    }

    /// Sends what the socket takes now. `Err(WouldBlock)`: wait, then call again; the rest is kept.
    pub(super) fn flush(&mut self, fd: RawFd, report: &mut Sent) -> io::Result<()> {
        while self.done < self.messages.len() {
            match self.send_some(fd) {
                Ok(n) => {
                    self.done += n.max(1);
                    report.sent += n;
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Err(e),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    // sendmmsg reports an error only for the first datagram: that one is lost, the rest go on
                    self.done += 1;
                    report.failed += 1;
                    report.last_error = Some(e);
                }
            }
        }
        self.clear();
        Ok(())
    }

    /// Forgets everything that was not sent.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
        self.done = 0;
    }

    fn send_some(&mut self, fd: RawFd) -> io::Result<usize> {
        let batch = &self.messages[self.done..];
        let batch = &batch[..batch.len().min(BATCH)];
        // SAFETY: all-zero is a valid value of these C structures.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { zeroed() };
        let mut vectors: [libc::iovec; BATCH] = unsafe { zeroed() };
        let mut names: [libc::sockaddr_in6; BATCH] = unsafe { zeroed() };
        let mut controls = [[0u64; CONTROL_WORDS]; BATCH];
        for (i, m) in batch.iter().enumerate() {
            let payload = &mut self.bytes[m.start..m.end];
            vectors[i] = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
            let header = &mut headers[i].msg_hdr;
            header.msg_iov = &raw mut vectors[i];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut names[i]).cast();
            match &m.target {
                Target::Udp { to, from, ifindex } => {
                    header.msg_namelen = write_name(*to, &mut names[i]);
                    write_pktinfo(header, &mut controls[i], *to, *from, *ifindex);
                }
                Target::Frame { ifindex, mac } => header.msg_namelen = write_hardware(*ifindex, *mac, &mut names[i]),
            }
        }
        // SAFETY: the first `batch.len()` headers point at live buffers of the lengths that they state.
        let n = unsafe { libc::sendmmsg(fd, headers.as_mut_ptr(), batch.len() as libc::c_uint, libc::MSG_DONTWAIT) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

fn write_name(to: SocketAddr, name: &mut libc::sockaddr_in6) -> libc::socklen_t {
    match to {
        SocketAddr::V4(to) => {
            // SAFETY: a sockaddr_in is smaller and less aligned than the sockaddr_in6 it is written to.
            unsafe {
                let v4 = std::ptr::from_mut(name).cast::<libc::sockaddr_in>();
                (*v4).sin_family = libc::AF_INET as libc::sa_family_t;
                (*v4).sin_port = to.port().to_be();
                (*v4).sin_addr.s_addr = u32::from(*to.ip()).to_be();
            }
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(to) => {
            name.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            name.sin6_port = to.port().to_be();
            name.sin6_addr.s6_addr = to.ip().octets();
            name.sin6_scope_id = to.scope_id();
            size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

fn write_hardware(ifindex: u32, mac: Mac, name: &mut libc::sockaddr_in6) -> libc::socklen_t {
    // SAFETY: a sockaddr_ll (20 octets, aligned to 4) fits a sockaddr_in6 (28 octets, aligned to 4).
    unsafe {
        let ll = std::ptr::from_mut(name).cast::<libc::sockaddr_ll>();
        (*ll).sll_family = libc::AF_PACKET as libc::sa_family_t;
        (*ll).sll_protocol = (libc::ETH_P_IP as u16).to_be();
        (*ll).sll_ifindex = i32::try_from(ifindex).unwrap_or(0);
        (*ll).sll_halen = 6;
        (&mut (*ll).sll_addr)[..6].copy_from_slice(&mac.0);
    }
    size_of::<libc::sockaddr_ll>() as libc::socklen_t
}

fn write_pktinfo(
    header: &mut libc::msghdr,
    control: &mut [u64; CONTROL_WORDS],
    to: SocketAddr,
    from: Option<IpAddr>,
    ifindex: u32,
) {
    if from.is_none() && ifindex == 0 {
        return;
    }
    match (to, from) {
        (SocketAddr::V4(_), None | Some(IpAddr::V4(_))) => {
            let source = if let Some(IpAddr::V4(ip)) = from { ip } else { Ipv4Addr::UNSPECIFIED };
            let info = libc::in_pktinfo {
                ipi_ifindex: i32::try_from(ifindex).unwrap_or(0),
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(source).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            attach(header, control, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        (SocketAddr::V6(_), None | Some(IpAddr::V6(_))) => {
            let source = if let Some(IpAddr::V6(ip)) = from { ip } else { Ipv6Addr::UNSPECIFIED };
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                ipi6_ifindex: ifindex as _,
            };
            attach(header, control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
        // a source of the other family cannot be honoured: the kernel chooses
        _ => {}
    }
}

fn attach<T: Copy>(
    header: &mut libc::msghdr,
    control: &mut [u64; CONTROL_WORDS],
    level: libc::c_int,
    kind: libc::c_int,
    info: T,
) {
    let size = size_of::<T>() as libc::c_uint;
    header.msg_control = control.as_mut_ptr().cast();
    // SAFETY: the buffer holds CMSG_SPACE of either pktinfo (40 octets at most) and is aligned for a cmsghdr.
    unsafe {
        header.msg_controllen = libc::CMSG_SPACE(size) as usize;
        let c = libc::CMSG_FIRSTHDR(header);
        (*c).cmsg_level = level;
        (*c).cmsg_type = kind;
        (*c).cmsg_len = libc::CMSG_LEN(size) as usize;
        libc::CMSG_DATA(c).cast::<T>().write_unaligned(info);
    }
}
