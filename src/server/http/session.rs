//! Sessions of the status page: a random cookie for a credential that was proved once. In memory only, a
//! bounded number, forgotten after half an hour without a request (SE-17).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, header};

use crate::clock::Clock;
use crate::domain::time::Mono;
use crate::service::access::{Credential, Random};

/// Sessions at once; the one that was idle longest goes first.
const SESSIONS: usize = 200;
const IDLE: Duration = Duration::from_secs(30 * 60);
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// Name of the cookie.
pub const COOKIE: &str = "lanlord";

struct Session {
    credential: Credential,
    began: Mono,
    used: Mono,
}

/// All open sessions.
pub struct Sessions {
    open: Mutex<HashMap<String, Session>>,
    clock: Arc<dyn Clock>,
    random: Random,
}

impl Sessions {
    pub fn new(clock: Arc<dyn Clock>, random: Random) -> Arc<Sessions> {
        Arc::new(Sessions { open: Mutex::default(), clock, random })
    }

    /// Opens one; the cookie's value is returned.
    pub fn begin(&self, credential: Credential) -> String {
        let mut bytes = [0u8; 24];
        (self.random)(&mut bytes);
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let now = self.clock.mono();
        let mut open = self.open.lock().unwrap_or_else(|e| e.into_inner());
        if open.len() >= SESSIONS
            && let Some(oldest) = open.iter().min_by_key(|(_, s)| s.used).map(|(id, _)| id.clone())
        {
            open.remove(&oldest);
        }
        open.insert(id.clone(), Session { credential, began: now, used: now });
        id
    }

    /// The credential of the request's cookie.
    pub fn of(&self, headers: &HeaderMap) -> Option<Credential> {
        let id = cookie(headers)?;
        let now = self.clock.mono();
        let mut open = self.open.lock().unwrap_or_else(|e| e.into_inner());
        open.retain(|_, s| now.since(s.used) < IDLE && now.since(s.began) < LONGEST);
        let session = open.get_mut(id)?;
        session.used = now;
        Some(session.credential.clone())
    }

    /// Ends the session of the request's cookie.
    pub fn end(&self, headers: &HeaderMap) {
        if let Some(id) = cookie(headers) {
            self.open.lock().unwrap_or_else(|e| e.into_inner()).remove(id);
        }
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|text| text.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}
