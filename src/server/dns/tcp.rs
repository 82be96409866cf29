//! TCP (RFC 7766): pipelining, answers as they come, limits on connections, sources and waiting.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::Server;
use super::counters::Counters;
use crate::domain::dns::respond::{Foreign, Verdict, complete, respond};

/// Connections, of one source address, and open questions of one connection (DN-611, DN-612).
const CONNECTIONS: usize = 256;
const PER_SOURCE: usize = 16;
const OPEN: usize = 32;
/// Without a question; with half of one; for the client to take an answer.
const IDLE: Duration = Duration::from_secs(10);
const PARTIAL: Duration = Duration::from_secs(5);

/// Binds a listener; IPv6 only where it says so.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(256)?;
    TcpListener::from_std(socket.into())
}

struct Connection {
    ip: IpAddr,
    /// Milliseconds since the table began at which the last question came.
    active: Arc<AtomicU64>,
    close: CancellationToken,
}

/// All open connections.
pub struct Connections {
    began: Instant,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Connection>,
}

impl Default for Connections {
    fn default() -> Connections {
        Connections { began: Instant::now(), table: Mutex::default() }
    }
}

impl Connections {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Enters a connection; beyond a limit, the longest idle one has to go. True if one had to.
    fn enter(&self, ip: IpAddr, close: CancellationToken) -> (u64, Arc<AtomicU64>, bool) {
        let active = Arc::new(AtomicU64::new(self.now()));
        let mut table = self.table();
        let same = table.open.values().filter(|c| c.ip == ip).count();
        let of = if same >= PER_SOURCE { Some(Some(ip)) } else { (table.open.len() >= CONNECTIONS).then_some(None) };
        let closed = of.is_some_and(|of| table.close_idlest(of));
        let id = table.next;
        table.next += 1;
        table.open.insert(id, Connection { ip, active: active.clone(), close });
        (id, active, closed)
    }

    fn leave(&self, id: u64) {
        self.table().open.remove(&id);
    }
}

impl Table {
    /// Takes the longest idle connection (of one source) out, and tells it.
    fn close_idlest(&mut self, of: Option<IpAddr>) -> bool {
        let candidates = self.open.iter().filter(|(_, c)| of.is_none_or(|ip| c.ip == ip));
        let idlest = candidates.min_by_key(|(_, c)| c.active.load(Ordering::Relaxed)).map(|(id, _)| *id);
        let Some(gone) = idlest.and_then(|id| self.open.remove(&id)) else { return false };
        gone.close.cancel();
        true
    }
}

/// Accepts until the server stops.
pub async fn serve(server: Arc<Server>, listener: TcpListener, connections: Arc<Connections>) {
    loop {
        let accepted = tokio::select! {
            () = server.cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let close = server.cancel.child_token();
                let (id, active, closed) = connections.enter(peer.ip(), close.clone());
                if closed {
                    Counters::bump(&server.counters.tcp_closed);
                }
                let (inner, connections) = (server.clone(), connections.clone());
                server.tasks.spawn(async move {
                    let talk = converse(inner, stream, peer, Activity { connections: connections.clone(), active });
                    tokio::select! {
                        () = close.cancelled() => {}
                        () = talk => {}
                    }
                    connections.leave(id);
                });
            }
            Err(error) => {
                // out of descriptors: those that are open will end
                tracing::warn!(%error, "a DNS connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Activity {
    connections: Arc<Connections>,
    active: Arc<AtomicU64>,
}

impl Activity {
    fn note(&self) {
        self.active.store(self.connections.now(), Ordering::Relaxed);
    }
}

async fn converse(server: Arc<Server>, stream: TcpStream, peer: SocketAddr, activity: Activity) {
    let _ = stream.set_nodelay(true);
    let (mut reader, writer) = stream.into_split();
    let (answers, queue) = mpsc::channel::<Vec<u8>>(OPEN);
    let open = Arc::new(Semaphore::new(OPEN));
    let talk = async {
        while let Some(packet) = read_message(&mut reader).await {
            activity.note();
            // with too many questions open, the next one waits in the kernel
            let Ok(permit) = open.clone().acquire_owned().await else { return };
            let asker = server.asker(peer.ip(), true);
            let mut out = vec![0, 0];
            let verdict = respond(&server.naming.state(), &packet, asker, &mut out);
            match verdict {
                Verdict::Silent(why) => server.counters.silent(why, 1),
                Verdict::Answered(rcode) => {
                    server.counters.answered(true, rcode);
                    if answers.send(out).await.is_err() {
                        return;
                    }
                }
                Verdict::Foreign(foreign) => {
                    let (server, answers) = (server.clone(), answers.clone());
                    server.clone().tasks.spawn(async move {
                        let out = ask_elsewhere(&server, &packet, peer, foreign).await;
                        let _ = answers.send(out).await;
                        drop(permit);
                    });
                }
            }
        }
        // the client said all it had to: what is still open is answered
        drop(answers);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = talk => {}
        () = write_all(writer, queue) => {}
    }
}

async fn ask_elsewhere(server: &Arc<Server>, packet: &[u8], peer: SocketAddr, foreign: Foreign) -> Vec<u8> {
    let asker = server.asker(peer.ip(), true);
    let resolved = match server.forwarder.place(peer.ip()) {
        Some(_place) => tokio::select! {
            () = server.cancel.cancelled() => None,
            resolved = server.forwarder.resolve(foreign) => resolved,
        },
        None => None,
    };
    let mut out = vec![0, 0];
    let rcode = complete(&server.naming.state(), packet, asker, resolved.as_deref(), &mut out);
    server.counters.answered(true, rcode);
    out
}

/// The next message; `None` at the end, after too long a wait, or if it is cut off.
async fn read_message(reader: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let first = timeout(IDLE, reader.read_u8()).await.ok()?.ok()?;
    let rest = async {
        let second = reader.read_u8().await?;
        let mut packet = vec![0; usize::from(u16::from_be_bytes([first, second]))];
        reader.read_exact(&mut packet).await?;
        Ok::<_, io::Error>(packet)
    };
    timeout(PARTIAL, rest).await.ok()?.ok()
}

/// Length and message in one write; ends when all senders are gone or the client takes nothing any more.
async fn write_all(mut writer: OwnedWriteHalf, mut queue: mpsc::Receiver<Vec<u8>>) {
    while let Some(mut answer) = queue.recv().await {
        let Ok(length) = u16::try_from(answer.len() - 2) else { return };
        answer[..2].copy_from_slice(&length.to_be_bytes());
        if !matches!(timeout(PARTIAL, writer.write_all(&answer)).await, Ok(Ok(()))) {
            return;
        }
    }
}
