//! Interfaces as they are now: names, indices, addresses, carrier. A change in the kernel reaches the
//! snapshot within some tens of milliseconds; reading it takes no lock.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use ipnet::IpNet;
use rtnetlink::packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::NetError;
use crate::domain::net::Mac;

/// A burst of notices becomes one reading.
const SETTLE: Duration = Duration::from_millis(20);
/// Between two attempts to read the tables after one failed.
const RETRY: Duration = Duration::from_secs(1);
/// The kernel answers in microseconds, unless the socket was full when it did: then that answer never comes.
const TABLES: Duration = Duration::from_secs(5);

/// One interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// Administratively up and with carrier.
    pub up: bool,
    pub loopback: bool,
    pub mac: Option<Mac>,
    pub mtu: u32,
    /// Own addresses with their prefix lengths (host bits kept), in the kernel's order. An IPv6 address
    /// counts once duplicate address detection (RFC 4862 §5.4) has passed it.
    pub addresses: Vec<IpNet>,
    /// Those among them that nothing new shall use (RFC 4862 §5.5.4).
    pub deprecated: Vec<IpNet>,
}

impl Link {
    /// True if `ip` lies in the prefix of one of our addresses here: reached without a router.
    pub fn on_link(&self, ip: IpAddr) -> bool {
        self.addresses.iter().any(|a| a.contains(&ip))
    }

    /// Our first IPv4 address here.
    pub fn ipv4(&self) -> Option<std::net::Ipv4Addr> {
        self.addresses.iter().find_map(|a| if let IpNet::V4(net) = a { Some(net.addr()) } else { None })
    }

    /// Our IPv6 addresses here.
    pub fn ipv6(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.addresses.iter().filter_map(|a| if let IpNet::V6(net) = a { Some(net.addr()) } else { None })
    }

    /// Our link-local address here: what IPv6 routers and DHCPv6 servers speak from.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.ipv6().find(Ipv6Addr::is_unicast_link_local)
    }
}

/// All interfaces at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Links {
    by_index: HashMap<u32, Arc<Link>>,
    by_name: HashMap<String, Arc<Link>>,
}

impl Links {
    pub fn new(links: impl IntoIterator<Item = Link>) -> Links {
        let mut out = Links::default();
        for link in links.into_iter().map(Arc::new) {
            out.by_name.insert(link.name.clone(), link.clone());
            out.by_index.insert(link.index, link);
        }
        out
    }

    pub fn by_index(&self, index: u32) -> Option<&Arc<Link>> {
        self.by_index.get(&index)
    }

    pub fn by_name(&self, name: &str) -> Option<&Arc<Link>> {
        self.by_name.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.by_index.values()
    }

    /// The interface that carries this address of ours.
    pub fn owner_of(&self, ip: IpAddr) -> Option<&Arc<Link>> {
        self.by_index.values().find(|l| l.addresses.iter().any(|a| a.addr() == ip))
    }

    /// The interface on whose segment `ip` lies (loopback last).
    pub fn segment_of(&self, ip: IpAddr) -> Option<&Arc<Link>> {
        let mut found: Vec<_> = self.by_index.values().filter(|l| l.on_link(ip)).collect();
        found.sort_by_key(|l| (l.loopback, l.index));
        found.first().copied()
    }
}

/// The current [`Links`], kept current until its token is cancelled.
#[derive(Clone)]
pub struct LinkWatch {
    current: Arc<ArcSwap<Links>>,
    changes: watch::Receiver<u64>,
}

impl LinkWatch {
    /// A watch over links that never change: for tests and simulations.
    pub fn fixed(links: Links) -> LinkWatch {
        LinkWatch { current: Arc::new(ArcSwap::from_pointee(links)), changes: watch::channel(0).1 }
    }

    pub fn links(&self) -> Arc<Links> {
        self.current.load_full()
    }

    /// The snapshot itself, for a `load` without a reference count on hot paths.
    pub fn shared(&self) -> Arc<ArcSwap<Links>> {
        self.current.clone()
    }

    /// Wakes with every new snapshot; the number counts them.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

/// Reads all interfaces, then follows their changes in a task of its own until `cancel`.
pub async fn watch(cancel: CancellationToken) -> Result<LinkWatch, NetError> {
    let mut stream = Stream::open()?;
    let first = read(&stream.handle).await.map_err(NetError::io("read interfaces by netlink"))?;
    let current = Arc::new(ArcSwap::from_pointee(first));
    let (tell, changes) = watch::channel(0);
    let out = LinkWatch { current: current.clone(), changes };
    let follow = async move {
        let mut behind = false;
        loop {
            if !behind && stream.notices.next().await.is_none() {
                tracing::warn!("the kernel closed the stream of interfaces; opening another");
                stream = again().await;
            }
            // whatever the notice says, and also if notices were lost (overrun): read again
            tokio::time::sleep(SETTLE).await;
            while stream.notices.next().now_or_never().flatten().is_some() {}
            let now = read(&stream.handle).await;
            behind = now.is_err();
            match now {
                Ok(links) if links != **current.load() => {
                    current.store(Arc::new(links));
                    tell.send_modify(|n| *n += 1);
                }
                Ok(_) => {}
                Err(e) => {
                    tracing::warn!("cannot read interfaces by netlink: {e}");
                    stream = again().await;
                }
            }
        }
    };
    tokio::spawn(async move { cancel.run_until_cancelled(follow).await });
    Ok(out)
}

/// One netlink connection that hears of changes; it ends when dropped.
struct Stream {
    handle: Handle,
    // rtnetlink's own queue: it holds at most what the kernel's bounded socket buffer lets through
    notices: BoxStream<'static, ()>,
    connection: tokio::task::JoinHandle<()>,
}

impl Stream {
    fn open() -> Result<Stream, NetError> {
        let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
        let (connection, handle, notices) =
            rtnetlink::new_multicast_connection(&groups).map_err(NetError::io("follow interfaces by netlink"))?;
        let notices = notices.map(drop).boxed();
        Ok(Stream { handle, notices, connection: tokio::spawn(connection) })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Another stream in place of a broken one, however long that takes.
async fn again() -> Stream {
    loop {
        tokio::time::sleep(RETRY).await;
        match Stream::open() {
            Ok(stream) => return stream,
            Err(e) => tracing::warn!("{e}"),
        }
    }
}

async fn read(handle: &Handle) -> std::io::Result<Links> {
    let both = async {
        let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
        let addresses: Vec<AddressMessage> = handle.address().get().execute().try_collect().await?;
        Ok((links, addresses))
    };
    let both: Result<_, rtnetlink::Error> = tokio::time::timeout(TABLES, both).await?;
    let (links, addresses) = both.map_err(std::io::Error::other)?;
    let mut links: Vec<Link> = links.into_iter().filter_map(link).collect();
    for message in &addresses {
        if let Some(address) = address(message)
            && let Some(link) = links.iter_mut().find(|l| l.index == message.header.index)
        {
            link.addresses.push(address);
            if message.header.flags.contains(AddressHeaderFlags::Deprecated) {
                link.deprecated.push(address);
            }
        }
    }
    Ok(Links::new(links))
}

fn link(message: LinkMessage) -> Option<Link> {
    let flags = message.header.flags;
    let mut out = Link {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        ..Link::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => out.name = name,
            LinkAttribute::Mtu(mtu) => out.mtu = mtu,
            LinkAttribute::Address(bytes) => out.mac = bytes.try_into().ok().map(Mac),
            _ => {}
        }
    }
    (!out.name.is_empty()).then_some(out)
}

fn address(message: &AddressMessage) -> Option<IpNet> {
    let flags = message.header.flags;
    let untried = flags.contains(AddressHeaderFlags::Tentative) && !flags.contains(AddressHeaderFlags::Optimistic);
    if untried || flags.contains(AddressHeaderFlags::Dadfailed) {
        return None;
    }
    // on a point-to-point link ADDRESS is the peer's and LOCAL ours; IPv6 has ADDRESS only
    let mut ip = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => ip = Some(*local),
            AddressAttribute::Address(address) => ip = ip.or(Some(*address)),
            _ => {}
        }
    }
    IpNet::new(ip?, message.header.prefix_len).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sees_loopback() {
        let cancel = CancellationToken::new();
        let watch = watch(cancel.clone()).await.unwrap();
        let links = watch.links();
        let lo = links.by_name("lo").expect("lo");
        assert!(lo.up && lo.loopback && lo.ipv4() == Some("127.0.0.1".parse().unwrap()));
        assert_eq!(links.by_index(lo.index), Some(lo));
        assert_eq!(links.owner_of("127.0.0.1".parse().unwrap()), Some(lo));
        assert!(lo.on_link("127.9.9.9".parse().unwrap()) && !lo.on_link("192.0.2.1".parse().unwrap()));
        cancel.cancel();
    }
}
