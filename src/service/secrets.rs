//! Secrets at rest (PR-58): values are sealed with ChaCha20-Poly1305 under the installation's key before
//! they enter the ledger. A sealed value is bound to its place (noun, id, field): moved elsewhere it does
//! not open. Owns the key file `master.key` (0600) in the state directory; refuses one that others can read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// Name of the key file in the state directory.
pub const KEY_FILE: &str = "master.key";
/// First byte of a sealed value.
const VERSION: u8 = 1;
/// Version, key id, nonce.
const HEAD: usize = 1 + 4 + 12;

/// The installation's key.
pub struct Secrets {
    key: LessSafeKey,
    id: [u8; 4],
    /// What other secrets are derived from; not the key itself.
    seed: [u8; 32],
    random: SystemRandom,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: holds {length} bytes, expected 32; restore it from where you keep it, or remove it to give up all sealed secrets", path.display())]
    Length { path: PathBuf, length: usize },
    #[error("{}: others can read it (mode {mode:o}); make it 0600", path.display())]
    Mode { path: PathBuf, mode: u32 },
    #[error("the system has no random numbers")]
    Random,
}

/// Why a value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("sealed under another key than this installation's")]
    OtherKey,
    #[error("is damaged, or was sealed for another place")]
    Damaged,
}

/// Random bytes, from the system or from a simulation's seed.
pub type Random = std::sync::Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// The system's random numbers. A system without them cannot run this daemon.
pub fn system_random() -> Random {
    let random = SystemRandom::new();
    std::sync::Arc::new(move |bytes| random.fill(bytes).expect("the kernel has random numbers"))
}

impl Secrets {
    /// Reads the key of the state directory, or makes one at the first start.
    pub fn load(state: &Path) -> Result<Secrets, KeyError> {
        let path = state.join(KEY_FILE);
        let failed = |error| KeyError::Io { path: path.clone(), error };
        match fs::metadata(&path) {
            Ok(meta) if meta.mode() & 0o077 != 0 => Err(KeyError::Mode { path, mode: meta.mode() & 0o777 }),
            Ok(_) => {
                let bytes = fs::read(&path).map_err(failed)?;
                let length = bytes.len();
                Ok(Secrets::from_key(&bytes.try_into().map_err(|_| KeyError::Length { path, length })?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = [0u8; 32];
                SystemRandom::new().fill(&mut key).map_err(|_| KeyError::Random)?;
                let mut file =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
                file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)?;
                Ok(Secrets::from_key(&key))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A key from elsewhere: a service manager's credential, or a test.
    pub fn from_key(key: &[u8; 32]) -> Secrets {
        let digest = Sha256::digest(key);
        let unbound = UnboundKey::new(&CHACHA20_POLY1305, key).expect("the algorithm takes 32 bytes");
        Secrets {
            key: LessSafeKey::new(unbound),
            id: [digest[0], digest[1], digest[2], digest[3]],
            seed: Sha256::new().chain_update(b"lanlord derived secrets").chain_update(key).finalize().into(),
            random: SystemRandom::new(),
        }
    }

    /// A secret for one purpose, the same for the life of the installation; it tells nothing of the key.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        Sha256::new().chain_update(self.seed).chain_update(purpose).finalize().into()
    }

    /// Seals `plain` for one place: the noun, e.g. `config`, the object's id, the dotted field.
    pub fn seal(&self, noun: &str, id: &str, field: &str, plain: &str) -> Vec<u8> {
        let mut nonce = [0u8; 12];
        self.random.fill(&mut nonce).expect("the kernel has random numbers");
        let mut body = plain.as_bytes().to_vec();
        let sealed = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            self.place(noun, id, field),
            &mut body,
        );
        sealed.expect("a setting is shorter than 256 GiB");
        [&[VERSION][..], &self.id, &nonce, &body].concat()
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, noun: &str, id: &str, field: &str, sealed: &[u8]) -> Result<String, OpenError> {
        let (head, body) = sealed.split_at_checked(HEAD).ok_or(OpenError::Damaged)?;
        if head[0] != VERSION {
            return Err(OpenError::Damaged);
        }
        if head[1..5] != self.id {
            return Err(OpenError::OtherKey);
        }
        let nonce = Nonce::try_assume_unique_for_key(&head[5..]).map_err(|_| OpenError::Damaged)?;
        let mut body = body.to_vec();
        let plain =
            self.key.open_in_place(nonce, self.place(noun, id, field), &mut body).map_err(|_| OpenError::Damaged)?;
        String::from_utf8(plain.to_vec()).map_err(|_| OpenError::Damaged)
    }

    fn place(&self, noun: &str, id: &str, field: &str) -> Aad<Vec<u8>> {
        Aad::from([noun.as_bytes(), b"\0", id.as_bytes(), b"\0", field.as_bytes(), b"\0", &self.id].concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_in_its_place_only() {
        let dir = tempfile::tempdir().unwrap();
        let secrets = Secrets::load(dir.path()).unwrap();
        let sealed = secrets.seal("config", "a", "admin_password", "hunter");
        assert!(!sealed.windows(6).any(|w| w == b"hunter"));
        assert_eq!(secrets.open("config", "a", "admin_password", &sealed).as_deref(), Ok("hunter"));
        assert_eq!(secrets.open("config", "b", "admin_password", &sealed), Err(OpenError::Damaged));
        assert_eq!(secrets.open("config", "a", "user_password", &sealed), Err(OpenError::Damaged));
        assert_eq!(secrets.open("config", "a", "admin_password", &sealed[..9]), Err(OpenError::Damaged));
        assert_ne!(sealed, secrets.seal("config", "a", "admin_password", "hunter"), "the nonce is fresh");
        let again = Secrets::load(dir.path()).unwrap();
        assert_eq!(again.open("config", "a", "admin_password", &sealed).as_deref(), Ok("hunter"));
        let other = Secrets::load(tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(other.open("config", "a", "admin_password", &sealed), Err(OpenError::OtherKey));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        assert!(Secrets::load(dir.path()).is_ok());
        let path = dir.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Secrets::load(dir.path()), Err(KeyError::Mode { .. })));
    }
}
