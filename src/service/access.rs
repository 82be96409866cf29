//! Who may come in: access tokens, and what a credential may do with which noun. Owns the tokens' hashes,
//! read from the ledger; the secrets themselves are shown once and kept nowhere (AP-604). Refuses to know
//! how a request carried its credential.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use crate::clock::Clock;
use crate::domain::change::{Change, Token};
use crate::store::{CommitError, Entry, Ledger, Outcome, Proposal, Refusal, View};

/// Tokens in all (reliability reference, section 4).
pub const TOKENS: usize = 1_000;
/// The scope of an administrator.
pub const ADMIN: &str = "*:admin";
/// What a source or module of the bus needs.
pub const BUS: &str = "bus:write";
/// Nouns that a scope may name; `*` stands for all.
pub const NOUNS: &[&str] = &[
    "lease",
    "reservation",
    "device",
    "config",
    "host",
    "event",
    "status",
    "dns",
    "provisioning",
    "token",
    "metrics",
    "bus",
];

/// What is done with a noun; each right holds the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    Read,
    Write,
    Admin,
}

/// How somebody proved who they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Peer {
    /// A token of that id.
    Token(String),
    /// A process of that user on the Unix socket.
    Socket(u32),
}

/// Somebody who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// What CLAWS calls a source, and the audit a name.
    pub name: String,
    pub scopes: Vec<String>,
    pub peer: Peer,
}

impl Credential {
    /// An administrator on the Unix socket.
    pub fn administrator(name: &str, uid: u32) -> Credential {
        Credential { name: name.to_owned(), scopes: vec![ADMIN.to_owned()], peer: Peer::Socket(uid) }
    }

    /// True if one of the scopes covers it.
    pub fn may(&self, noun: &str, right: Right) -> bool {
        self.scopes.iter().filter_map(|scope| parse(scope)).any(|(n, r)| (n == "*" || n == noun) && r >= right)
    }
}

/// `noun:right`; a right alone is meant for all nouns, `bus` for the bus.
fn parse(scope: &str) -> Option<(&str, Right)> {
    let scope = match scope {
        "admin" => ADMIN,
        "write" => "*:write",
        "read" => "*:read",
        "bus" => BUS,
        other => other,
    };
    let (noun, right) = scope.split_once(':')?;
    let right = match right {
        "read" => Right::Read,
        "write" => Right::Write,
        "admin" => Right::Admin,
        _ => return None,
    };
    (noun == "*" || NOUNS.contains(&noun)).then_some((noun, right))
}

/// Why a token was not made or revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    #[error("`{0}` is no scope; write noun:read, noun:write or noun:admin, with * or one of {list}", list = NOUNS.join(", "))]
    Scope(String),
    #[error("a name has 1 to 128 printable characters")]
    Name,
    #[error("there are {TOKENS} tokens already; revoke one first")]
    TooMany,
    #[error("there is no token `{0}`")]
    Unknown(String),
    #[error("a token `{0}` exists already; revoke it first")]
    Taken(String),
    #[error(transparent)]
    Ledger(#[from] CommitError),
}

/// Fills the slice with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

#[derive(Default, Clone)]
struct Tokens {
    by_hash: HashMap<String, Arc<Token>>,
    by_id: HashMap<String, Arc<Token>>,
}

/// The service.
pub struct Access {
    tokens: Arc<ArcSwap<Tokens>>,
    ledger: OnceLock<Ledger>,
    clock: Arc<dyn Clock>,
    random: Random,
}

impl Access {
    pub fn new(clock: Arc<dyn Clock>, random: Random) -> Arc<Access> {
        Arc::new(Access { tokens: Arc::default(), ledger: OnceLock::new(), clock, random })
    }

    /// Its read side, for the ledger.
    pub fn view(&self) -> Box<dyn View> {
        Box::new(TokenView { tokens: self.tokens.clone() })
    }

    /// Where it writes from now on.
    pub fn attach(&self, ledger: Ledger) {
        let _ = self.ledger.set(ledger);
    }

    /// Who holds that secret.
    pub fn by_secret(&self, secret: &str) -> Option<Credential> {
        let tokens = self.tokens.load();
        let token = tokens.by_hash.get(&hash(secret))?;
        Some(Credential { name: token.name.clone(), scopes: token.scopes.clone(), peer: Peer::Token(token.id.clone()) })
    }

    /// False once the credential's token was revoked: long answers must end then.
    pub fn is_live(&self, credential: &Credential) -> bool {
        match &credential.peer {
            Peer::Token(id) => self.tokens.load().by_id.contains_key(id),
            Peer::Socket(_) => true,
        }
    }

    /// All tokens by name, without their secrets.
    pub fn list(&self) -> Vec<Arc<Token>> {
        let mut all: Vec<Arc<Token>> = self.tokens.load().by_id.values().cloned().collect();
        all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        all
    }

    /// Makes a token; the secret is in the answer and nowhere else.
    pub async fn create(&self, name: &str, scopes: &[String], who: &str) -> Result<(Token, String), AccessError> {
        let bad = |c: char| c.is_control();
        if name.trim().is_empty() || name.len() > 128 || name.contains(bad) {
            return Err(AccessError::Name);
        }
        if let Some(scope) = scopes.iter().find(|scope| parse(scope).is_none()) {
            return Err(AccessError::Scope(scope.clone()));
        }
        if self.tokens.load().by_id.len() >= TOKENS {
            return Err(AccessError::TooMany);
        }
        let secret = self.secret();
        let hash = hash(&secret);
        let token = Token {
            id: hash[..12].to_owned(),
            name: name.to_owned(),
            hash,
            scopes: scopes.to_vec(),
            created: self.clock.wall(),
        };
        self.propose(Change::TokenPut(Box::new(token.clone())), "token.create", name, who).await?;
        Ok((token, secret))
    }

    /// Revokes a token by its id or its name.
    pub async fn revoke(&self, id: &str, who: &str) -> Result<(), AccessError> {
        let tokens = self.tokens.load_full();
        let found = tokens.by_id.get(id).or_else(|| tokens.by_id.values().find(|token| token.name == id));
        let token = found.ok_or_else(|| AccessError::Unknown(id.to_owned()))?.clone();
        self.propose(Change::TokenRemoved { id: token.id.clone() }, "token.revoke", &token.name, who).await
    }

    /// A name is one credential: of two tokens of one name that are made at once, the second is refused.
    async fn propose(&self, change: Change, action: &str, name: &str, who: &str) -> Result<(), AccessError> {
        let ledger = self.ledger.get().ok_or(CommitError::Stopping)?;
        let tokens = self.tokens.clone();
        let putting = matches!(change, Change::TokenPut(_));
        let taken = name.to_owned();
        let vote = move |_| {
            let exists = tokens.load().by_id.values().any(|token| token.name == taken);
            if putting && exists {
                return Err(Refusal { code: "conflict".to_owned(), message: taken });
            }
            Ok(())
        };
        let audit = Change::Audit {
            who: who.to_owned(),
            action: action.to_owned(),
            object: format!("token/{name}"),
            detail: String::new(),
        };
        let proposal = Proposal { changes: vec![change, audit], vote: Some(Box::new(vote)), otherwise: Vec::new() };
        match ledger.propose(proposal).await? {
            Outcome::Committed(_) => Ok(()),
            Outcome::Refused { refusal, .. } => Err(AccessError::Taken(refusal.message)),
        }
    }

    /// 256 random bits behind `lan_`, so that scanners recognise what leaked.
    fn secret(&self) -> String {
        let mut bytes = [0u8; 32];
        (self.random)(&mut bytes);
        let mut out = String::from("lan_");
        bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
        out
    }
}

fn hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

struct TokenView {
    tokens: Arc<ArcSwap<Tokens>>,
}

impl View for TokenView {
    fn apply(&mut self, batch: &[Entry]) {
        let touches = |entry: &&Entry| matches!(entry.change, Change::TokenPut(_) | Change::TokenRemoved { .. });
        let mut changes = batch.iter().filter(touches).peekable();
        if changes.peek().is_none() {
            return;
        }
        let mut tokens = Tokens::clone(&self.tokens.load());
        for entry in changes {
            let id = match &entry.change {
                Change::TokenPut(token) => &token.id,
                Change::TokenRemoved { id } => id,
                _ => continue,
            };
            if let Some(old) = tokens.by_id.remove(id) {
                tokens.by_hash.remove(&old.hash);
            }
            if let Change::TokenPut(token) = &entry.change {
                let token = Arc::new(Token::clone(token));
                tokens.by_hash.insert(token.hash.clone(), token.clone());
                tokens.by_id.insert(token.id.clone(), token);
            }
        }
        self.tokens.store(Arc::new(tokens));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::System;
    use crate::store::memory::Memory;
    use std::sync::atomic::{AtomicU8, Ordering};

    fn start(memory: &Memory) -> Arc<Access> {
        let next = AtomicU8::new(1);
        let random: Random = Arc::new(move |bytes| bytes.fill(next.fetch_add(1, Ordering::Relaxed)));
        let access = Access::new(Arc::new(System), random);
        let (ledger, _) = Ledger::start(memory.clone(), memory.recovered(), vec![access.view()], Arc::new(System));
        access.attach(ledger);
        access
    }

    #[tokio::test]
    async fn a_token_opens_until_it_is_revoked_and_after_a_restart() {
        let memory = Memory::default();
        let access = start(&memory);
        let (token, secret) = access.create("Web Client", &[BUS.to_owned()], "root").await.expect("made");
        assert!(!format!("{:?}", memory.recovered()).contains(&secret), "only its hash is kept");
        let found = access.by_secret(&secret).expect("known");
        assert!(found.may("bus", Right::Write) && !found.may("bus", Right::Admin) && !found.may("lease", Right::Read));
        assert!(access.by_secret("lan_0").is_none());
        let again = access.create("Web Client", &[], "root").await;
        assert_eq!(again.map(|_| ()), Err(AccessError::Taken("Web Client".to_owned())));

        let restarted = start(&memory);
        assert!(restarted.by_secret(&secret).is_some() && restarted.is_live(&found));
        restarted.revoke(&token.id, "root").await.expect("revoked");
        assert!(restarted.by_secret(&secret).is_none() && !restarted.is_live(&found));
    }

    #[tokio::test]
    async fn unknown_scopes_and_empty_names_are_refused() {
        let access = start(&Memory::default());
        let made = |name: &'static str, scope: &str| {
            let (access, scope) = (access.clone(), scope.to_owned());
            async move { access.create(name, &[scope], "root").await.map(|_| ()) }
        };
        assert_eq!(made("a", "lease:fly").await, Err(AccessError::Scope("lease:fly".to_owned())));
        assert_eq!(made(" ", ADMIN).await, Err(AccessError::Name));
        assert_eq!(made("a", ADMIN).await, Ok(()));
    }
}
