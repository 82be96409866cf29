//! Mirrors the kernel's neighbour table into the bindings, and asks the kernel to resolve what they need.
//!
//! Owns one netlink stream and one socket. Refuses to dump the table per request (PR-5): it is read once,
//! after lost notices, and when interfaces changed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::net::neighbours::{Neighbour, Neighbours, Notice};
use crate::net::{Link, LinkWatch, Links, NetError, Outbox, Udp};
use crate::service::bindings::{Ask, Neighbourhood, Want};

/// RFC 863: a datagram to the discard port makes the kernel resolve the address; nobody answers it.
const DISCARD: u16 = 9;
/// Between two attempts to open the stream after it broke.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until `cancel`. Returns an error only if it cannot begin.
pub async fn run(table: Arc<Neighbourhood>, links: LinkWatch, cancel: CancellationToken) -> Result<(), NetError> {
    let mut mirror = Mirror {
        asks: table.asks(),
        table,
        prober: Udp::bind(SocketAddr::from(([0, 0, 0, 0], 0)), 0)?,
        prober6: Udp::bind(SocketAddr::from(([0u16; 8], 0)), 0).ok(),
        links,
    };
    let mut stream = Neighbours::open()?;
    while let Some(()) = cancel.run_until_cancelled(mirror.follow(&mut stream)).await {
        if cancel.run_until_cancelled(tokio::time::sleep(RETRY)).await.is_none() {
            break;
        }
        match Neighbours::open() {
            Ok(again) => stream = again,
            Err(e) => tracing::warn!("{e}"),
        }
    }
    Ok(())
}

struct Mirror {
    table: Arc<Neighbourhood>,
    asks: tokio::sync::mpsc::Receiver<Ask>,
    prober: Udp,
    /// `None` on a machine without IPv6.
    prober6: Option<Udp>,
    links: LinkWatch,
}

impl Mirror {
    /// Takes in one stream until it ends or fails.
    async fn follow(&mut self, stream: &mut Neighbours) {
        let mut changes = self.links.changes();
        self.segments();
        loop {
            tokio::select! {
                notice = stream.next() => match notice {
                    Some(Ok(notice)) => self.take(notice),
                    Some(Err(e)) => return tracing::warn!("{e}"),
                    None => return tracing::warn!("the kernel closed the stream of neighbours"),
                },
                Some(ask) = self.asks.recv() => self.answer(stream, ask).await,
                changed = changes.changed() => {
                    if changed.is_err() {
                        // nobody follows the links any more: the daemon is on its way down
                        std::future::pending::<()>().await;
                    }
                    self.segments();
                    stream.reread();
                }
            }
        }
    }

    fn take(&self, notice: Notice) {
        let links = self.links.links();
        match notice {
            Notice::Changed(n) => {
                if let Some(link) = links.by_index(n.ifindex) {
                    self.table.learn(&link.name, n.ip, n.mac);
                }
            }
            Notice::Table(all) => self.table.replace(&named(&links, &all)),
        }
    }

    fn segments(&self) {
        let links = self.links.links();
        let own = links.iter().filter(|l| !l.loopback);
        let own = own.flat_map(|l| l.addresses.iter().map(|a| (Arc::from(l.name.as_str()), *a)));
        self.table.set_segments(own.collect());
    }

    async fn answer(&self, stream: &mut Neighbours, ask: Ask) {
        let links = self.links.links();
        let Some(link) = links.by_name(&ask.interface) else { return };
        match ask.want {
            Want::Resolve => self.probe(link, &ask),
            Want::Confirm(done) => {
                match stream.entry(link.index, ask.ip).await {
                    Ok(entry) => self.table.learn(&ask.interface, ask.ip, entry.and_then(|n| n.mac)),
                    Err(e) => tracing::warn!("{e}"),
                }
                // whoever asked may have given up
                let _ = done.send(());
            }
        }
    }

    fn probe(&self, link: &Link, ask: &Ask) {
        let prober = match ask.ip {
            IpAddr::V4(_) => Some(&self.prober),
            IpAddr::V6(_) => self.prober6.as_ref(),
        };
        if let Some(prober) = prober {
            let mut out = Outbox::new();
            out.push(SocketAddr::new(ask.ip, DISCARD), None, link.index, &[]);
            prober.send_now(&mut out);
        }
    }
}

fn named(links: &Links, all: &[Neighbour]) -> Vec<(Arc<str>, IpAddr, crate::domain::net::Mac)> {
    all.iter().filter_map(|n| Some((Arc::from(links.by_index(n.ifindex)?.name.as_str()), n.ip, n.mac?))).collect()
}
