//! The boot folder: files for computers that boot from the network. Owns which request names mean a file of
//! it, and who may have one: everybody on a served network, without a name or a device. Kept apart from
//! phone files: what it answers makes no device and is remembered nowhere but in its counters.
//!
//! HTTP: all of `/boot/…`, and nothing else. TFTP: `boot/…` likewise; besides, any name whose first part
//! the folder has, since boot loaders look for their files beside each other and not below a prefix.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use ipnet::IpNet;

use super::request::{FileReply, FileRequest, Protocol};
use crate::domain::dhcp::v4::BootClient;
use crate::domain::lease::Binding;
use crate::domain::phone::route::Name;
use crate::folder::{Folder, Opened};

/// First part of the names that mean the boot folder whatever it holds.
const PREFIX: &[u8] = b"boot/";
/// Most that is read at once, bytes: what each transfer holds in memory.
const CHUNK: usize = 32 << 10;

/// What the boot folder is told by the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootSettings {
    pub folder: PathBuf,
    /// Prefixes whose addresses get files, beside loopback.
    pub networks: Vec<IpNet>,
}

/// A file of the boot folder, read piece by piece.
#[derive(Debug, Clone)]
pub struct BootFile {
    opened: Arc<Opened>,
    /// Bytes.
    pub size: u64,
    /// A strong validator: changes with file, size and time of change.
    pub etag: String,
    /// `Content-Type`.
    pub media: &'static str,
    /// Seconds since 1970.
    pub modified: i64,
}

impl PartialEq for BootFile {
    fn eq(&self, other: &BootFile) -> bool {
        self.etag == other.etag && self.size == other.size
    }
}

impl Eq for BootFile {}

impl BootFile {
    fn new(opened: Opened, name: &[u8]) -> BootFile {
        let (seconds, nanoseconds) = opened.modified;
        let etag = format!("{:x}-{seconds:x}-{nanoseconds:x}-{:x}", opened.inode, opened.size);
        BootFile { size: opened.size, etag, media: media(name), modified: seconds, opened: Arc::new(opened) }
    }

    /// The next bytes at an offset, at most 32 KiB and at most up to `end`; read on a thread that may block.
    /// A file that has become shorter is an error: whoever waits for the rest must not take it for whole.
    fn read(&self, offset: u64, end: u64) -> impl Future<Output = io::Result<Bytes>> + Send + 'static {
        let length = usize::try_from(end.saturating_sub(offset)).unwrap_or(CHUNK).min(CHUNK);
        let opened = self.opened.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; length];
            let read = opened.read_at(&mut buffer, offset)?;
            if read < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Bytes::from(buffer)) }
        });
        async { reading.await.map_err(io::Error::other)? }
    }

    /// Its bytes from `part.start` to before `part.end`, piece by piece.
    pub fn pieces(self, part: Range<u64>) -> Pieces {
        Pieces { file: self, left: part, reading: None }
    }
}

/// A part of a boot file that is read as it is taken. An error ends it.
pub struct Pieces {
    file: BootFile,
    left: Range<u64>,
    reading: Option<Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>>,
}

impl Pieces {
    /// Bytes of the whole file.
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// Bytes that were not taken yet.
    pub fn left(&self) -> u64 {
        self.left.end.saturating_sub(self.left.start)
    }

    /// The next piece, never an empty one; `None` at the end.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left() == 0 {
            return Poll::Ready(None);
        }
        let (file, left) = (&self.file, &self.left);
        let reading = self.reading.get_or_insert_with(|| Box::pin(file.read(left.start, left.end)));
        let read = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        self.left.start = read.as_ref().map_or(self.left.end, |bytes| self.left.start + bytes.len() as u64);
        Poll::Ready(Some(read))
    }
}

/// What firmware tells images by (UEFI 2.10 §24.7.2 names the types of EFI programs and disk images).
fn media(name: &[u8]) -> &'static str {
    match name.rsplit(|b| *b == b'.').next().unwrap_or_default() {
        b"efi" => "application/efi",
        b"iso" => "application/vnd.efi-iso",
        b"img" => "application/vnd.efi-img",
        b"ipxe" | b"cfg" | b"txt" | b"ks" | b"yaml" | b"yml" => "text/plain",
        _ => "application/octet-stream",
    }
}

/// How requests came out, by closed words.
const OUTCOMES: [&str; 3] = ["served", "missing", "refused"];

/// Counts by protocol and outcome; they outlive a reload.
#[derive(Default)]
pub(super) struct BootCounters {
    http: [AtomicU64; OUTCOMES.len()],
    tftp: [AtomicU64; OUTCOMES.len()],
}

impl BootCounters {
    fn count(&self, protocol: Protocol, outcome: &str) {
        let row = if protocol == Protocol::Http { &self.http } else { &self.tftp };
        if let Some(at) = OUTCOMES.iter().position(|word| *word == outcome) {
            row[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Metric, labels, value.
    #[allow(clippy::type_complexity)] // the shape that all services render their counters in
    pub fn all(&self) -> impl Iterator<Item = (&'static str, Vec<(&'static str, &'static str)>, u64)> {
        [("http", &self.http), ("tftp", &self.tftp)].into_iter().flat_map(|(protocol, row)| {
            OUTCOMES.iter().zip(row).map(move |(outcome, counter)| {
                let labels = vec![("protocol", protocol), ("outcome", *outcome)];
                ("lanlord_boot_files_total", labels, counter.load(Ordering::Relaxed))
            })
        })
    }
}

/// The folder in force.
pub(super) struct BootFolder {
    folder: Folder,
    networks: Vec<IpNet>,
}

impl BootFolder {
    pub fn new(settings: BootSettings) -> BootFolder {
        BootFolder { folder: Folder::new(settings.folder), networks: settings.networks }
    }

    /// The answer, if the request is one for the boot folder. `holder` is asked for only when the name alone
    /// does not tell. Opens the file at once, so that TFTP can tell its size: the folder is to be on a disk
    /// of this machine.
    pub fn answer(
        &self,
        request: &FileRequest,
        counters: &BootCounters,
        holder: impl FnOnce() -> Option<Arc<Binding>>,
    ) -> Option<FileReply> {
        let name = self.name(request)?;
        let named = name.strip_prefix(PREFIX);
        let first = name.split(|b| *b == b'/').next().unwrap_or_default();
        // over HTTP no other name comes so far
        let ours = named.is_some() || self.folder.holds(first) || holder().is_some_and(|binding| boots(&binding));
        if !ours {
            return None;
        }
        let admitted = request.peer.is_loopback() || self.networks.iter().any(|net| net.contains(&request.peer));
        let file = named.unwrap_or(&name);
        let (reply, outcome) = match self.folder.open(file).ok().filter(|_| admitted) {
            Some(opened) => (FileReply::Boot(BootFile::new(opened, file)), "served"),
            None => (FileReply::NotFound, if admitted { "missing" } else { "refused" }),
        };
        tracing::debug!(peer = %request.peer, file = %String::from_utf8_lossy(file).escape_debug(), outcome, "boot file");
        counters.count(request.protocol, outcome);
        Some(reply)
    }

    /// The name without its leading `/`; `None` for what is refused whoever asks.
    fn name(&self, request: &FileRequest) -> Option<Vec<u8>> {
        let name = match request.protocol {
            Protocol::Http => Name::from_http(&request.path).ok().filter(|name| name.bytes()[1..].starts_with(PREFIX)),
            // Windows' boot manager writes paths with backslashes
            Protocol::Tftp => {
                let slashes: Vec<u8> = request.path.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect();
                Name::from_tftp(&slashes).ok()
            }
            Protocol::Dhcp => None,
        };
        name.map(|name| name.bytes()[1..].to_vec())
    }
}

/// True if the lease says that a boot ROM or boot loader holds the address: it is no phone, whatever it asks for.
fn boots(binding: &Binding) -> bool {
    let class = binding.vendor_class.as_deref().unwrap_or_default();
    let user = binding.user_class.as_deref().unwrap_or_default();
    BootClient::of(class).is_some() || user == b"iPXE" || user == b"\x04iPXE"
}
