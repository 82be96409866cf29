//! The kernel's neighbour table as a stream of facts: a dump first, then every change (PR-5).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use rtnetlink::packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use rtnetlink::{Handle, MulticastGroup};

use super::NetError;
use crate::domain::net::Mac;

/// The kernel answers in microseconds, unless the socket was full when it did: then that answer never comes.
const ANSWER: Duration = Duration::from_millis(500);
/// The same for the whole table, which may be large.
const TABLE: Duration = Duration::from_secs(5);

/// What the kernel holds for one address on one interface; `mac` is `None` when it holds nothing usable
/// (all states but FAILED, INCOMPLETE and NOARP are).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    pub ifindex: u32,
    pub ip: IpAddr,
    pub mac: Option<Mac>,
}

/// One step of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The whole table: at first, and whenever changes were lost.
    Table(Vec<Neighbour>),
    Changed(Neighbour),
}

/// The stream; ends its netlink connection when dropped.
pub struct Neighbours {
    handle: Handle,
    // rtnetlink's own queue: it holds at most what the kernel's bounded socket buffer lets through
    notices: BoxStream<'static, NetlinkPayload<RouteNetlinkMessage>>,
    connection: tokio::task::JoinHandle<()>,
    dump: bool,
    /// Changes were lost.
    lost: bool,
}

impl Neighbours {
    /// Starts to listen; the first [`next`](Self::next) is the whole table.
    pub fn open() -> Result<Neighbours, NetError> {
        let (connection, handle, notices) = rtnetlink::new_multicast_connection(&[MulticastGroup::Neigh])
            .map_err(NetError::io("follow neighbours by netlink"))?;
        let notices = notices.map(|(message, _)| message.payload).boxed();
        Ok(Neighbours { handle, notices, connection: tokio::spawn(connection), dump: true, lost: false })
    }

    /// The next fact; `None` when the kernel's end is gone.
    pub async fn next(&mut self) -> Option<Result<Notice, NetError>> {
        loop {
            if self.lost {
                // The kernel tells of the loss ahead of what was queued before it. Whatever that is, it is here once
                // a question has been answered, and says less than a table which is read after it.
                if let Err(e) = self.table().await {
                    return Some(Err(NetError::io("read neighbours by netlink")(e)));
                }
                (self.lost, self.dump) = (false, true);
                while let Some(notice) = self.notices.next().now_or_never() {
                    self.lost |= matches!(notice?, NetlinkPayload::Overrun(_));
                }
                continue;
            }
            if self.dump {
                let table = self.table().await;
                self.dump = table.is_err();
                return Some(table.map(Notice::Table).map_err(NetError::io("read neighbours by netlink")));
            }
            match self.notices.next().await? {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(m)) => {
                    if let Some(n) = neighbour(&m) {
                        return Some(Ok(Notice::Changed(n)));
                    }
                }
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelNeighbour(m)) => {
                    if let Some(n) = neighbour(&m) {
                        return Some(Ok(Notice::Changed(Neighbour { mac: None, ..n })));
                    }
                }
                NetlinkPayload::Overrun(_) => self.lost = true,
                _ => {}
            }
        }
    }

    /// Makes the next fact the whole table again.
    pub fn reread(&mut self) {
        self.dump = true;
    }

    /// The kernel's entry for one address, now; not a dump. `None`: it has none.
    pub async fn entry(&mut self, ifindex: u32, ip: IpAddr) -> Result<Option<Neighbour>, NetError> {
        let doing = || NetError::io("read a neighbour by netlink");
        let mut question = NeighbourMessage::default();
        question.header.ifindex = ifindex;
        question.header.family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        question.attributes = vec![NeighbourAttribute::Destination(match ip {
            IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
            IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
        })];
        let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetNeighbour(question));
        request.header.flags = NLM_F_REQUEST;
        let mut answers = self.handle.request(request).map_err(io::Error::other).map_err(doing())?;
        let answer = tokio::time::timeout(ANSWER, answers.next()).await;
        match answer.map_err(|_| doing()(io::ErrorKind::TimedOut.into()))?.map(|answer| answer.payload) {
            Some(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(m))) => Ok(neighbour(&m)),
            Some(NetlinkPayload::Error(e)) if e.raw_code() == -libc::ENOENT => Ok(None),
            Some(NetlinkPayload::Error(e)) => Err(doing()(e.to_io())),
            _ => Ok(None),
        }
    }

    async fn table(&mut self) -> io::Result<Vec<Neighbour>> {
        let all = self.handle.neighbours().get().execute().try_collect();
        let all: Vec<NeighbourMessage> = tokio::time::timeout(TABLE, all).await?.map_err(io::Error::other)?;
        Ok(all.iter().filter_map(neighbour).filter(|n| n.mac.is_some()).collect())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// `None` for what is no IP neighbour, such as a bridge's forwarding entry.
fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    use NeighbourState::{Failed, Incomplete, Noarp, None as Nothing};
    let usable = !matches!(message.header.state, Failed | Incomplete | Noarp | Nothing);
    let (mut ip, mut mac) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => ip = Some(IpAddr::V4(*v4)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => ip = Some(IpAddr::V6(*v6)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = <[u8; 6]>::try_from(&bytes[..]).ok().map(Mac),
            _ => {}
        }
    }
    let mac = mac.filter(|m| usable && m.is_identity());
    Some(Neighbour { ifindex: message.header.ifindex, ip: ip?, mac })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn begins_with_the_whole_table() {
        let mut stream = Neighbours::open().unwrap();
        let first = tokio::time::timeout(std::time::Duration::from_secs(60), stream.next()).await.unwrap();
        let Some(Ok(Notice::Table(table))) = first else { panic!("{first:?}") };
        assert!(table.iter().all(|n| n.mac.is_some_and(Mac::is_identity)));
    }
}
