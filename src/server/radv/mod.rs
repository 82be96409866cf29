//! The shell of router advertisements: one raw ICMPv6 socket for each interface that says so, off otherwise
//! (DH-724). Owns sockets and timers; what is said, and when, is decided by `domain::ra`.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::ra;
use crate::net::{LinkWatch, Watcher};
use crate::service::access::Random;

/// One interface.
mod speaker;

/// What is said on one interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    pub interface: String,
    pub said: ra::Settings,
    /// Our own addresses there are named as DNS servers if `said` names none.
    pub own_dns: bool,
    /// Other routers that are not reported.
    pub known: Vec<Ipv6Addr>,
}

/// A router that is not this one (DH-724).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    pub interface: String,
    pub from: Ipv6Addr,
    /// Seconds; 0: it is no default router.
    pub lifetime: u16,
    pub managed: bool,
    pub other: bool,
    pub prefixes: Vec<(Ipv6Addr, u8)>,
}

/// Those who hear of what happens.
#[derive(Clone)]
pub struct Ears {
    /// How an interface fares.
    pub state: Watcher,
    /// A foreign router spoke: once an hour for each.
    pub foreign: Arc<dyn Fn(Foreign) + Send + Sync>,
}

/// What all speakers share.
#[derive(Clone)]
pub struct Radv {
    pub links: LinkWatch,
    pub clock: Arc<dyn Clock>,
    pub random: Random,
    pub ears: Ears,
}

/// A running speaker.
struct Speaking {
    stop: CancellationToken,
    tell: watch::Sender<Served>,
    task: JoinHandle<()>,
}

impl Radv {
    /// Speaks as `served` says, and follows its changes, until `cancel`; then takes its leave everywhere.
    pub async fn run(self, mut served: watch::Receiver<Vec<Served>>, cancel: CancellationToken) {
        let mut all: HashMap<String, Speaking> = HashMap::new();
        while !cancel.is_cancelled() {
            let now = served.borrow_and_update().clone();
            let gone: Vec<String> =
                all.keys().filter(|name| !now.iter().any(|s| s.interface == **name)).cloned().collect();
            for (name, speaking) in gone.iter().filter_map(|name| Some((name, all.remove(name)?))) {
                // its last words come before another one begins there
                speaking.stop.cancel();
                end(speaking).await;
                (self.ears.state)(name, None);
            }
            for one in now {
                match all.get(&one.interface) {
                    Some(speaking) => {
                        speaking.tell.send_if_modified(|old| {
                            let other = *old != one;
                            *old = one;
                            other
                        });
                    }
                    None => {
                        all.insert(one.interface.clone(), self.begin(one, &cancel));
                    }
                }
            }
            if !matches!(cancel.run_until_cancelled(served.changed()).await, Some(Ok(()))) {
                break;
            }
        }
        cancel.cancelled().await;
        for speaking in all.into_values() {
            end(speaking).await;
        }
    }

    fn begin(&self, served: Served, cancel: &CancellationToken) -> Speaking {
        let stop = cancel.child_token();
        let (tell, told) = watch::channel(served);
        let speaker = speaker::Speaker { shell: self.clone(), told, cancel: stop.clone() };
        Speaking { stop, tell, task: tokio::spawn(speaker.run()) }
    }
}

async fn end(speaking: Speaking) {
    if let Err(error) = speaking.task.await {
        tracing::error!(%error, "a speaker of router advertisements broke off");
    }
}
