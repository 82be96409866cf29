//! Our own routes in the kernel's main table, told from all others by their protocol number (DH-707).

use std::net::Ipv6Addr;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use ipnet::Ipv6Net;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol};
use rtnetlink::{Error, Handle, RouteMessageBuilder};

use super::NetError;

/// Protocol number of our routes (`proto 76` in `ip -6 route`): unused by the kernel, iproute2 and routing daemons.
pub const PROTOCOL: u8 = 76;
/// Behind the metric of routes made by hand (1024), which therefore win.
const METRIC: u32 = 1025;
/// The kernel answers in microseconds; whoever waits for it waits no longer than this.
const LIMIT: Duration = Duration::from_millis(500);
/// Routes of one table that are read, at most.
const MOST: usize = 100_000;

/// A way to a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Way {
    pub prefix: Ipv6Net,
    pub via: Ipv6Addr,
    pub ifindex: u32,
}

/// The table; ends its netlink connection when dropped.
pub struct RouteTable {
    handle: Handle,
    connection: tokio::task::JoinHandle<()>,
}

impl RouteTable {
    pub fn open() -> Result<RouteTable, NetError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(NetError::io("speak about routes by netlink"))?;
        Ok(RouteTable { handle, connection: tokio::spawn(connection) })
    }

    /// Puts a route there, in place of ours to the same prefix. Needs CAP_NET_ADMIN.
    pub async fn replace(&self, way: Way) -> Result<(), NetError> {
        let message = route(way.prefix).gateway(way.via).output_interface(way.ifindex).build();
        let done = self.handle.route().add(message).replace().execute();
        within(done).await.map_err(NetError::io(format!("route {} via {}", way.prefix, way.via)))
    }

    /// Takes our route to that prefix away, if there is one. Needs CAP_NET_ADMIN.
    pub async fn remove(&self, prefix: Ipv6Net) -> Result<(), NetError> {
        let done = self.handle.route().del(route(prefix).build()).execute();
        match within(done).await {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(()),
            done => done.map_err(NetError::io(format!("remove the route to {prefix}"))),
        }
    }

    /// All routes of ours.
    pub async fn ours(&self) -> Result<Vec<Way>, NetError> {
        let question = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let all =
            self.handle.route().get(question).execute().take(MOST).try_filter_map(|m| async move { Ok(ours(&m)) });
        within(all.try_collect()).await.map_err(NetError::io("read routes by netlink"))
    }

    /// Where packets for `ip` go: the neighbour that they are handed to (`ip` itself on the link) and the
    /// interface. `None` if they go nowhere.
    pub async fn toward(&self, ip: Ipv6Addr) -> Result<Option<(Ipv6Addr, u32)>, NetError> {
        let question = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(ip, 128).build();
        let mut answers = Box::pin(self.handle.route().get(question).execute());
        match within(async { answers.try_next().await }).await {
            Ok(found) => Ok(found.and_then(|m| hop(&m, ip))),
            Err(e) if matches!(e.raw_os_error(), Some(libc::ENETUNREACH | libc::EHOSTUNREACH)) => Ok(None),
            Err(e) => Err(NetError::io(format!("ask for the way to {ip}"))(e)),
        }
    }
}

impl Drop for RouteTable {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

fn route(prefix: Ipv6Net) -> RouteMessageBuilder<Ipv6Addr> {
    RouteMessageBuilder::<Ipv6Addr>::new()
        .destination_prefix(prefix.network(), prefix.prefix_len())
        .protocol(RouteProtocol::from(PROTOCOL))
        .priority(METRIC)
}

/// The kernel's word, or its silence, as one kind of error.
async fn within<T>(work: impl Future<Output = Result<T, Error>>) -> std::io::Result<T> {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Error::NetlinkError(e))) => Err(e.to_io()),
        Ok(Err(e)) => Err(std::io::Error::other(e)),
        Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
    }
}

fn ours(message: &RouteMessage) -> Option<Way> {
    let header = &message.header;
    if header.protocol != RouteProtocol::from(PROTOCOL) || header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let destination = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::Destination(RouteAddress::Inet6(ip)) => Some(*ip),
        _ => None,
    })?;
    let (via, ifindex) = hop(message, Ipv6Addr::UNSPECIFIED)?;
    Some(Way { prefix: Ipv6Net::new(destination, header.destination_prefix_length).ok()?, via, ifindex })
}

fn hop(message: &RouteMessage, direct: Ipv6Addr) -> Option<(Ipv6Addr, u32)> {
    let (mut via, mut ifindex) = (direct, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet6(ip)) => via = *ip,
            RouteAttribute::Oif(index) => ifindex = Some(*index),
            _ => {}
        }
    }
    Some((via, ifindex?))
}

/// True if the process may not change routes: it lacks CAP_NET_ADMIN.
pub fn is_forbidden(error: &NetError) -> bool {
    matches!(error, NetError::Io { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied)
}
