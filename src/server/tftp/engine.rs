//! The only place that knows async-tftp 0.4.2.
//!
//! Gaps of the engine (found in its source), and what this adapter does about them:
//!
//! | gap | here |
//! |---|---|
//! | the transfer socket binds the listener's address, the handler gets none | one server per local address |
//! | no default limit on block and window size | limits are set: 1468 and 16 |
//! | its lock is held across `read_req_open`: a slow one stops all | never awaits: polled once, then a lazy reader |
//! | 100 retries of 3 s, and the client's `timeout` up to 255 s | 5 retries of 2 s; `timeout` is left out of the OACK |
//! | no cap on transfers | counted here; beyond it ERROR 0 |
//! | an ERROR of the peer is ignored while an ACK is awaited: it goes on sending, and a retry from the same port is dropped until it gives up, after 12 s | open |
//! | netascii and mail are sent as octet; the handler does not see the mode | open |
//! | a name that is no UTF-8, an unknown mode, trailing bytes without NUL: silence instead of ERROR 4 | open |
//! | a packet from a wrong port is ignored instead of answered with ERROR 5; no back-off; the whole window again on a timeout; all transfers of an address share one task | open |
//! | `tsize` must be known when the file is opened: a request that has to wait (a new device is written down, a neighbour is asked) gets an OACK without it | open |
//!
//! The open ones need a transfer engine of our own, behind this same file.

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use async_tftp::packet::Error as Refusal;
use async_tftp::server::{Handler, TftpServerBuilder};
use bytes::Bytes;
use futures_util::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::Settings;
use super::transfers::{Slot, Transfers};
use crate::service::provisioning::{BootFile, FileReply, FileRequest, Pieces, Protocol, Provisioning};

/// Sendings of a block after the first (PR-48).
const RETRIES: u32 = 5;
/// Longest transfer of an empty file.
const TRANSFER: Duration = Duration::from_secs(120);
/// Bytes per second below which a transfer takes too long.
const SLOWEST: u64 = 8192;

/// What one server needs to answer requests to one of our addresses.
pub(super) struct Door {
    pub phones: Arc<Provisioning>,
    pub transfers: Arc<Transfers>,
    pub local: IpAddr,
    pub interface: Option<Arc<str>>,
}

/// Binds `address`; the future serves until it is dropped.
pub(super) async fn open(
    address: SocketAddr,
    door: Door,
    settings: &Settings,
) -> io::Result<(SocketAddr, impl Future<Output = ()> + Send + use<>)> {
    let socket = UdpSocket::bind(address)?;
    let at = socket.local_addr()?;
    let server = TftpServerBuilder::with_handler(door)
        .std_socket(socket)
        .map_err(io::Error::other)?
        .block_size_limit(settings.block_size)
        .window_size_limit(settings.window_size)
        .timeout(settings.timeout)
        .max_send_retries(RETRIES)
        .ignore_client_timeout()
        .build()
        .await
        .map_err(io::Error::other)?;
    let serving = async move {
        if let Err(error) = server.serve().await {
            tracing::error!(%error, %at, "the TFTP server of an address ended");
        }
    };
    Ok((at, serving))
}

type Asking = Pin<Box<dyn Future<Output = FileReply> + Send>>;

impl Handler for Door {
    type Reader = Lazy;
    type Writer = Nowhere;

    async fn read_req_open(&mut self, client: &SocketAddr, path: &Path) -> Result<(Lazy, Option<u64>), Refusal> {
        let peer = client.ip().to_canonical();
        let slot = self.transfers.begin(peer).ok_or_else(|| Refusal::Msg("too many transfers".to_owned()))?;
        let request = FileRequest {
            protocol: Protocol::Tftp,
            peer,
            interface: self.interface.clone(),
            local: self.local,
            path: OsStr::as_bytes(path.as_os_str()).to_vec(),
            query: None,
            user_agent: None,
        };
        let phones = self.phones.clone();
        let mut asking: Asking = Box::pin(async move { phones.serve(request).await });
        let began = Instant::now();
        // Usually the answer is there at once, and its size can be told. No await: the engine holds a lock.
        let state = match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => State::Asking(asking),
            Poll::Ready(reply) => State::of(reply).map_err(|kind| match kind {
                io::ErrorKind::NotFound => Refusal::FileNotFound,
                _ => Refusal::UnknownError,
            })?,
        };
        let size = state.size();
        Ok((Lazy { state, began, _slot: slot }, size))
    }

    /// PR-46: ERROR 2, whatever it is.
    async fn write_req_open(&mut self, _: &SocketAddr, _: &Path, _: Option<u64>) -> Result<Nowhere, Refusal> {
        Err(Refusal::PermissionDenied)
    }
}

enum State {
    Asking(Asking),
    Sending { bytes: Arc<[u8]>, at: usize },
    Reading(Box<Reading>),
}

impl State {
    /// What comes of an answer. `NotFound`: ERROR 1, as the engine makes it of that; else ERROR 0.
    fn of(reply: FileReply) -> Result<State, io::ErrorKind> {
        match reply {
            FileReply::File(file) => Ok(State::Sending { bytes: file.bytes, at: 0 }),
            FileReply::Boot(file) => Ok(State::Reading(Box::new(Reading::new(file)))),
            FileReply::NotFound => Err(io::ErrorKind::NotFound),
            FileReply::Failed | FileReply::Busy => Err(io::ErrorKind::Other),
        }
    }

    /// Bytes of the file, once it is there.
    fn size(&self) -> Option<u64> {
        match self {
            State::Asking(_) => None,
            State::Sending { bytes, .. } => Some(bytes.len() as u64),
            State::Reading(reading) => Some(reading.pieces.size()),
        }
    }
}

/// A boot file, a piece of which is in memory.
struct Reading {
    pieces: Pieces,
    piece: Bytes,
}

impl Reading {
    fn new(file: BootFile) -> Reading {
        let whole = 0..file.size;
        Reading { pieces: file.pieces(whole), piece: Bytes::new() }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.piece.is_empty() {
            self.piece = ready!(self.pieces.poll(cx)).transpose()?.unwrap_or_default();
        }
        let piece = self.piece.split_to(self.piece.len().min(buf.len()));
        buf[..piece.len()].copy_from_slice(&piece);
        Poll::Ready(Ok(piece.len()))
    }
}

/// A file that may still have to be asked for.
pub(super) struct Lazy {
    state: State,
    began: Instant,
    _slot: Slot,
}

impl AsyncRead for Lazy {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if let State::Asking(asking) = &mut self.state {
            let Poll::Ready(reply) = asking.as_mut().poll(cx) else { return Poll::Pending };
            self.state = State::of(reply)?;
        }
        let began = self.began;
        let Some(size) = self.state.size() else { return Poll::Pending };
        if began.elapsed() > TRANSFER + Duration::from_secs(size / SLOWEST) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match &mut self.state {
            State::Asking(_) => Poll::Pending,
            State::Sending { bytes, at } => {
                let next = (bytes.len() - *at).min(buf.len());
                buf[..next].copy_from_slice(&bytes[*at..*at + next]);
                *at += next;
                Poll::Ready(Ok(next))
            }
            State::Reading(reading) => reading.poll_read(cx, buf),
        }
    }
}

/// The writer that no request gets.
pub(super) enum Nowhere {}

impl AsyncWrite for Nowhere {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}
