//! Sends replies: on the link that the request came from, or to relays by the routing table.

use std::net::{SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::net::{BATCH, LinkWatch, Links, Outbox, Udp};
use crate::service::leasing::{Leasing, Outgoing6, Replies6};

/// How long replies in flight are waited for at the end.
const GRACE: Duration = Duration::from_secs(2);

pub(super) struct Outlet {
    pub routed: Udp,
    pub links: LinkWatch,
}

impl Outlet {
    /// Until `cancel`, and then until nothing is in flight or the grace is over.
    pub async fn run(self, mut replies: Replies6, leasing: &Leasing, cancel: &CancellationToken) {
        let failed = metrics::counter("lanlord_dhcp_send_failed_total", &[("family", "6")]);
        let mut batch = Vec::with_capacity(BATCH);
        let mut outbox = Outbox::new();
        while cancel.run_until_cancelled(replies.recv_many(&mut batch, BATCH)).await.is_some_and(|n| n > 0) {
            self.send(&mut batch, &mut outbox, &failed).await;
        }
        let end = Instant::now() + GRACE;
        loop {
            while let Ok(reply) = replies.try_recv() {
                batch.push(reply);
            }
            self.send(&mut batch, &mut outbox, &failed).await;
            if leasing.in_flight() == 0 && replies.is_empty() || Instant::now() >= end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn send(&self, batch: &mut Vec<Outgoing6>, outbox: &mut Outbox, failed: &Arc<AtomicU64>) {
        if batch.is_empty() {
            return;
        }
        let links = self.links.links();
        batch.drain(..).for_each(|reply| pack(&links, &reply, outbox));
        let sent = self.routed.send(outbox).await;
        if sent.failed > 0 {
            failed.fetch_add(sent.failed as u64, Ordering::Relaxed);
            tracing::debug!(failed = sent.failed, error = ?sent.last_error, "replies could not be sent");
        }
    }
}

/// On the link of the request from our link-local address there; to a relay with another address as the
/// routing table says.
fn pack(links: &Links, reply: &Outgoing6, outbox: &mut Outbox) {
    if !reply.to.ip().is_unicast_link_local() {
        return outbox.push(SocketAddr::V6(reply.to), None, 0, &reply.bytes);
    }
    let Some(link) = links.by_name(&reply.interface) else { return };
    let to = SocketAddrV6::new(*reply.to.ip(), reply.to.port(), 0, link.index);
    outbox.push(SocketAddr::V6(to), link.link_local().map(Into::into), link.index, &reply.bytes);
}
