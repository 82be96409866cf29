//! Listeners and connections. Owns the time that a peer may take (axum's own loop sets no timer, so a slow
//! peer would stay for ever) and how many connections there may be; refuses to look at a request.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::problem::Problem;
use crate::metrics;

/// Connections at once on one listener.
const CONNECTIONS: usize = 1_024;
/// Time for the head of a request, the first one and each further one.
const HEAD: Duration = Duration::from_secs(10);
/// Octets and lines of a head.
const HEAD_BYTES: usize = 16 << 10;
const HEAD_LINES: usize = 100;
/// Time to finish what is in flight when the daemon stops.
const GRACE: Duration = Duration::from_secs(3);
/// After an error of accept(2), e.g. no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    Tcp(SocketAddr),
    /// A local process, as the kernel knows it.
    Unix {
        uid: u32,
        gid: u32,
    },
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Tcp(address) => write!(f, "{address}"),
            Remote::Unix { uid, .. } => write!(f, "uid {uid}"),
        }
    }
}

/// Serves until `cancel`; then takes no more connections and lets those in flight finish.
pub async fn serve(listener: Listener, router: Router, cancel: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let tracker = TaskTracker::new();
    while let Some(permit) = cancel.run_until_cancelled(places.clone().acquire_owned()).await {
        let Some(accepted) = cancel.run_until_cancelled(accept(&listener)).await else { break };
        let (router, cancel) = (router.clone(), cancel.clone());
        match accepted {
            Ok((Stream::Tcp(stream), remote)) => {
                let _ = stream.set_nodelay(true);
                tracker.spawn(async move {
                    connection(stream, remote, router, cancel).await;
                    drop(permit);
                });
            }
            Ok((Stream::Unix(stream), remote)) => {
                tracker.spawn(async move {
                    connection(stream, remote, router, cancel).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    tracker.close();
    let _ = tokio::time::timeout(GRACE, tracker.wait()).await;
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &Listener) -> std::io::Result<(Stream, Remote)> {
    match listener {
        Listener::Tcp(tcp) => tcp.accept().await.map(|(stream, from)| (Stream::Tcp(stream), Remote::Tcp(from))),
        Listener::Unix(unix) => {
            let (stream, _) = unix.accept().await?;
            let peer = stream.peer_cred()?;
            Ok((Stream::Unix(stream), Remote::Unix { uid: peer.uid(), gid: peer.gid() }))
        }
    }
}

async fn connection<S>(stream: S, remote: Remote, router: Router, cancel: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = hyper::service::service_fn(move |request| answer(router.clone(), remote, request));
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_LINES)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = match cancel.run_until_cancelled(serving.as_mut()).await {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%remote, %error, "a connection ended early");
    }
}

/// One request. A panic in it is counted, and stops nothing else.
async fn answer(router: Router, remote: Remote, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(remote);
    match AssertUnwindSafe(router.oneshot(request)).catch_unwind().await {
        Ok(Ok(response)) => Ok(response),
        Err(_) => {
            metrics::count("lanlord_panics_total", &[("in", "http")]);
            Ok(Problem::internal().into())
        }
    }
}
