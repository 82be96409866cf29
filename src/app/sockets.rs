//! Listening sockets of the API: inherited from the service manager, or made here.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use crate::server::http::accept::Listener;

/// The Unix socket. One that was passed in is preferred; a stale file of an earlier run is replaced, a
/// socket that somebody answers on is not.
pub(super) fn unix(path: &Path) -> io::Result<Listener> {
    if let Some(inherited) = listenfd::ListenFd::from_env().take_unix_listener(0).ok().flatten() {
        inherited.set_nonblocking(true)?;
        return Ok(Listener::Unix(tokio::net::UnixListener::from_std(inherited)?));
    }
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match std::fs::symlink_metadata(path) {
        Ok(meta) if !meta.file_type().is_socket() => {
            return Err(named(io::Error::new(io::ErrorKind::AlreadyExists, "is there and no socket")));
        }
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            return Err(named(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there")));
        }
        Ok(_) => std::fs::remove_file(path).map_err(named)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(named(error)),
    }
    let listener = tokio::net::UnixListener::bind(path).map_err(named)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(named)?;
    Ok(Listener::Unix(listener))
}

/// A loopback address.
pub(super) fn tcp(address: SocketAddr) -> io::Result<Listener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(Listener::Tcp(tokio::net::TcpListener::from_std(listener)?))
}
