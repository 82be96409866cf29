//! Replies out, in the order in which leasing gives them (DH-211): to relays and clients with an address by
//! UDP, to clients without one as frames.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Settings;
use crate::domain::dhcp::v4::Target;
use crate::metrics;
use crate::net::{BATCH, Frames, LinkWatch, Links, Outbox, Sent, Udp};
use crate::service::leasing::{Leasing, Outgoing, Replies};

/// The port that a request's sender is answered on if it is a relay (RFC 2131 §4.1).
const RELAYS: u16 = 67;
/// How long replies in flight are waited for at the end.
const GRACE: Duration = Duration::from_secs(2);

pub(super) struct Outlet {
    pub settings: Settings,
    pub routed: Udp,
    /// Opened with the first answer that leaves from the boot port.
    pub boot: Option<Udp>,
    pub frames: Frames,
    pub links: LinkWatch,
}

/// Reused from batch to batch.
#[derive(Default)]
struct Boxes {
    udp: Outbox,
    boot: Outbox,
    frames: Outbox,
}

impl Outlet {
    /// Until `cancel`, and then until nothing is in flight or the grace is over.
    pub async fn run(mut self, mut replies: Replies, leasing: &Leasing, cancel: &CancellationToken) {
        let failed = metrics::counter("lanlord_dhcp_send_failed_total", &[("family", "4")]);
        let mut batch = Vec::with_capacity(BATCH);
        let mut boxes = Boxes::default();
        while cancel.run_until_cancelled(replies.recv_many(&mut batch, BATCH)).await.is_some_and(|n| n > 0) {
            self.send(&mut batch, &mut boxes, &failed).await;
        }
        let end = Instant::now() + GRACE;
        loop {
            while let Ok(reply) = replies.try_recv() {
                batch.push(reply);
            }
            self.send(&mut batch, &mut boxes, &failed).await;
            if leasing.in_flight() == 0 && replies.is_empty() || Instant::now() >= end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn send(&mut self, batch: &mut Vec<Outgoing>, boxes: &mut Boxes, failed: &Arc<AtomicU64>) {
        if batch.is_empty() {
            return;
        }
        let links = self.links.links();
        batch.drain(..).for_each(|reply| self.pack(&links, &reply, boxes));
        if !boxes.udp.is_empty() {
            note(self.routed.send(&mut boxes.udp).await, failed);
        }
        if !boxes.boot.is_empty() {
            match self.boot_socket() {
                Some(socket) => note(socket.send(&mut boxes.boot).await, failed),
                None => boxes.boot = Outbox::default(),
            }
        }
        if !boxes.frames.is_empty() {
            note(self.frames.send(&mut boxes.frames).await, failed);
        }
    }

    fn boot_socket(&mut self) -> Option<&Udp> {
        if self.boot.is_none() {
            let opened = Udp::send_only(self.settings.boot_port);
            self.boot = opened.inspect_err(|error| tracing::warn!(%error, "boot requests are not answered")).ok();
        }
        self.boot.as_ref()
    }

    fn pack(&self, links: &Links, reply: &Outgoing, boxes: &mut Boxes) {
        let Some(link) = links.by_name(&reply.interface) else { return };
        let client = self.settings.client_port;
        let from = Some(reply.from.into());
        let mut udp = |ip: Ipv4Addr, port: u16, ifindex: u32| {
            boxes.udp.push(SocketAddr::from((ip, port)), from, ifindex, &reply.bytes);
        };
        match reply.to {
            Target::Relay(ip, RELAYS) => udp(ip, self.settings.server_port, 0),
            Target::Relay(ip, port) => udp(ip, port, 0),
            // on the link by the interface that the request came from; behind a router by the routing table
            Target::Unicast(ip) => udp(ip, client, if link.on_link(ip.into()) { link.index } else { 0 }),
            Target::Port(ip, port) => {
                let ifindex = if link.on_link(ip.into()) { link.index } else { 0 };
                boxes.boot.push(SocketAddr::from((ip, port)), from, ifindex, &reply.bytes);
            }
            Target::Broadcast => udp(Ipv4Addr::BROADCAST, client, link.index),
            Target::Hardware(mac, ip) => {
                let source = SocketAddrV4::new(reply.from, self.settings.server_port);
                boxes.frames.push_frame(link.index, mac, source, SocketAddrV4::new(ip, client), &reply.bytes);
            }
        }
    }
}

/// Counts what the kernel refused; the client will ask again.
fn note(sent: Sent, failed: &AtomicU64) {
    if sent.failed > 0 {
        failed.fetch_add(sent.failed as u64, Ordering::Relaxed);
        tracing::debug!(failed = sent.failed, error = ?sent.last_error, "replies could not be sent");
    }
}
