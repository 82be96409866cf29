//! UDP: batches in, answers of the snapshot out in one go; only what has to be asked elsewhere gets a task.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Server;
use crate::domain::dns::query::UDP_SIZE;
use crate::domain::dns::respond::{Foreign, Verdict, complete, respond};
use crate::net::{Datagram, Inbox, Outbox, Udp};

/// Octets of a question that are looked at: with cookies and padding far less is usual.
const QUESTION: usize = 4_096;
const BATCH: usize = 32;

/// Serves one socket until the server stops.
pub async fn serve(server: Arc<Server>, socket: Arc<Udp>) {
    let (mut inbox, mut outbox) = (Inbox::new(BATCH, QUESTION), Outbox::new());
    let mut scratch = Vec::with_capacity(UDP_SIZE);
    loop {
        let received = tokio::select! {
            () = server.cancel.cancelled() => return,
            received = socket.receive(&mut inbox) => received,
        };
        if let Err(error) = received {
            tracing::error!(%error, "a DNS socket cannot receive");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            continue;
        }
        answer_batch(&server, &socket, &inbox, &mut outbox, &mut scratch);
        let sent = socket.send(&mut outbox).await;
        if sent.failed > 0 {
            server.counters.silent("send", sent.failed as u64);
        }
    }
}

fn answer_batch(server: &Arc<Server>, socket: &Arc<Udp>, inbox: &Inbox, outbox: &mut Outbox, scratch: &mut Vec<u8>) {
    // one load for the whole batch: forward and reverse of one commit are seen together (DN-114)
    let state = server.naming.state();
    for datagram in inbox.iter() {
        if !is_plausible(datagram.source) {
            server.counters.silent("source", 1);
            continue;
        }
        if datagram.truncated {
            server.counters.silent("truncated", 1);
            continue;
        }
        scratch.clear();
        let asker = server.asker(datagram.source.ip(), false);
        match respond(&state, datagram.bytes, asker, scratch) {
            Verdict::Silent(why) => server.counters.silent(why, 1),
            Verdict::Answered(rcode) => {
                server.counters.answered(false, rcode);
                outbox.push(datagram.source, datagram.local, 0, scratch);
            }
            Verdict::Foreign(foreign) => ask_elsewhere(server, socket, &datagram, foreign),
        }
    }
}

/// DN-623: not from a port that answers by itself, not from an address that is no host's.
fn is_plausible(source: SocketAddr) -> bool {
    let good = match source.ip() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    };
    good && !matches!(source.port(), 0 | 7 | 19)
}

/// The forwarder bounds how many of these there are.
fn ask_elsewhere(server: &Arc<Server>, socket: &Arc<Udp>, datagram: &Datagram<'_>, foreign: Foreign) {
    let (source, local, packet) = (datagram.source, datagram.local, datagram.bytes.to_vec());
    let asker = server.asker(source.ip(), false);
    let Some(place) = server.forwarder.place(source.ip()) else {
        server.counters.silent("queue", 1);
        return;
    };
    let (server, socket) = (server.clone(), socket.clone());
    server.clone().tasks.spawn(async move {
        let resolved = tokio::select! {
            () = server.cancel.cancelled() => return,
            resolved = server.forwarder.resolve(foreign) => resolved,
        };
        drop(place);
        let mut out = Vec::with_capacity(UDP_SIZE);
        let rcode = complete(&server.naming.state(), &packet, asker, resolved.as_deref(), &mut out);
        server.counters.answered(false, rcode);
        let mut outbox = Outbox::new();
        outbox.push(source, local, 0, &out);
        if socket.send_now(&mut outbox).failed > 0 {
            server.counters.silent("send", 1);
        }
    });
}
