//! Files of a folder, opened by names from the network. The only place where such a name meets the file
//! system: the kernel itself refuses whatever leads out of the folder (`openat2` with RESOLVE_BENEATH,
//! RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS; SE-10). Opens for reading only, and only plain files that
//! everybody on this machine may read: a hard link to a secret is no way to it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

/// A folder; it is looked up anew for each name, so that it may be replaced or mounted over at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
}

/// An open file, as it was when it was opened.
#[derive(Debug)]
pub struct Opened {
    file: File,
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970 of the last change, and nanoseconds.
    pub modified: (i64, i64),
    pub inode: u64,
}

impl Folder {
    pub fn new(path: PathBuf) -> Folder {
        Folder { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the plain file of that name. The name is relative: no leading `/`.
    pub fn open(&self, name: &[u8]) -> io::Result<Opened> {
        // O_NONBLOCK: a FIFO must not be waited for; on plain files it means nothing
        let file = File::from(self.reach(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)?);
        let about = file.metadata()?;
        if !about.is_file() || about.mode() & 0o004 == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Opened { size: about.size(), modified: (about.mtime(), about.mtime_nsec()), inode: about.ino(), file })
    }

    /// True if the folder has anything of that name.
    pub fn holds(&self, name: &[u8]) -> bool {
        self.reach(name, OFlag::O_PATH).is_ok()
    }

    fn reach(&self, name: &[u8], flags: OFlag) -> io::Result<OwnedFd> {
        let root = open(&self.path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let resolve =
            ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve);
        Ok(openat2(root, Path::new(std::ffi::OsStr::from_bytes(name)), how)?)
    }
}

impl Opened {
    /// Reads at an offset until `buffer` is full or the file ends; how much. May block on the disk.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// SE-10: links of both kinds, and a sibling whose name begins alike.
    #[test]
    fn nothing_outside_of_the_folder_is_opened() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        fs::create_dir_all(at("boot/sub")).unwrap();
        fs::create_dir(at("boot-private")).unwrap();
        for (name, mode) in [("boot/sub/kernel", 0o644), ("boot-private/key", 0o644), ("secret", 0o640)] {
            fs::write(at(name), name).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink(at("secret"), at("boot/link")).unwrap();
        symlink("..", at("boot/up")).unwrap();
        symlink("sub/kernel", at("boot/inside")).unwrap();
        fs::hard_link(at("secret"), at("boot/hard")).unwrap();
        nix::unistd::mkfifo(&at("boot/fifo"), Mode::from_bits_truncate(0o644)).unwrap();
        let folder = Folder::new(at("boot"));
        let kernel = folder.open(b"sub/kernel").unwrap();
        let mut buffer = [0; 32];
        assert_eq!((kernel.size, kernel.read_at(&mut buffer, 4).unwrap()), (15, 11));
        assert_eq!(&buffer[..11], b"/sub/kernel");
        let absolute = at("secret").display().to_string();
        let names = ["link", "inside", "up/secret", "hard", "fifo", "sub", "../secret", "../boot-private/key", "."];
        for name in names.into_iter().chain([absolute.as_str(), "/etc/passwd", "sub/../../secret", "", "sub/kernel/"]) {
            assert!(folder.open(name.as_bytes()).is_err(), "{name} was opened");
        }
        assert!(folder.open(b"sub/kernel\0x").is_err());
        assert!(folder.holds(b"sub") && !folder.holds(b"up") && !folder.holds(b"none"));
    }
}
