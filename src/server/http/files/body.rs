//! Bodies of answers: bytes that are there, or a part of a boot file that is read as the peer takes it. Owns
//! that a transfer which goes on keeps its connection alive, and one that does not loses it.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::Instant;

use crate::service::provisioning::{BootFile, Pieces};

/// When a connection ends at the latest.
#[derive(Clone)]
pub(super) struct Life(Arc<Mutex<Instant>>);

impl Life {
    pub fn new(length: Duration) -> Life {
        Life(Arc::new(Mutex::new(Instant::now() + length)))
    }

    /// It ends no sooner than after this time from now.
    fn extend(&self, length: Duration) {
        let mut end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *end = (*end).max(Instant::now() + length);
    }

    /// Waits for the end, which may move away meanwhile.
    pub async fn over(&self) {
        loop {
            let end = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// What a piece of a file gives its connection to be taken in.
const PIECE: Duration = Duration::from_secs(60);

pub(super) enum Payload {
    Bytes(Full<Bytes>),
    File(Part),
}

impl From<&'static str> for Payload {
    fn from(text: &'static str) -> Payload {
        Payload::Bytes(Full::from(text))
    }
}

impl Payload {
    pub fn empty() -> Payload {
        Payload::Bytes(Full::default())
    }

    /// A part of a boot file; the peer keeps its connection as long as it takes it in.
    pub fn part(file: BootFile, part: Range<u64>, life: Life) -> Payload {
        Payload::File(Part { pieces: file.pieces(part), life })
    }
}

/// Each piece that is taken keeps the connection alive.
pub(super) struct Part {
    pieces: Pieces,
    life: Life,
}

impl Part {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let piece = ready!(self.pieces.poll(cx));
        if piece.is_some() {
            self.life.extend(PIECE);
        }
        Poll::Ready(piece)
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Payload::Bytes(bytes) => {
                Pin::new(bytes).poll_frame(cx).map(|frame| frame.map(|f| f.map_err(|never| match never {})))
            }
            Payload::File(part) => part.poll(cx).map(|read| read.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Payload::Bytes(bytes) => bytes.is_end_stream(),
            Payload::File(part) => part.pieces.left() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Payload::Bytes(bytes) => bytes.size_hint(),
            Payload::File(part) => SizeHint::with_exact(part.pieces.left()),
        }
    }
}
