//! Serving one interface whenever it is there: it may come late, go, return as another one, be renumbered.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::links::{Link, LinkWatch};

/// Between two attempts to serve an interface that is there.
const RETRY: Duration = Duration::from_secs(1);

/// How an interface fares, for status pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// For what, such as the interface itself.
    Waiting(&'static str),
    Serving,
    /// It is there but cannot be served; the text says why and what to do.
    Failing(String),
}

/// Whoever hears how interfaces fare; `None` when one is not served any more.
pub type Watcher = Arc<dyn Fn(&str, Option<Presence>) + Send + Sync>;

/// One interface by its name, and what it takes to serve it.
pub struct Place<'a> {
    pub links: &'a LinkWatch,
    pub interface: &'a str,
    pub cancel: &'a CancellationToken,
}

impl Place<'_> {
    /// Runs `serve` whenever `ready` finds the interface usable, with what it found; drops it when that is
    /// not so any more, or another. `serve` says when it serves, and ends with `Ok` when `cancel` is
    /// cancelled, as this does.
    pub async fn attend<K: PartialEq + Copy, E: ToString, S: Future<Output = Result<(), E>>>(
        &self,
        ready: impl Fn(&Link) -> Result<K, &'static str>,
        note: impl Fn(Presence),
        serve: impl Fn(K) -> S,
    ) {
        let mut changes = self.links.changes();
        while !self.cancel.is_cancelled() {
            changes.mark_unchanged();
            match self.found(&ready) {
                Err(what) => note(Presence::Waiting(what)),
                Ok(key) => tokio::select! {
                    ended = serve(key) => match ended {
                        Ok(()) => return,
                        Err(why) => note(Presence::Failing(why.to_string())),
                    },
                    () = self.other_than(key, &ready) => continue,
                },
            }
            // woken by a change of the links, or tried again anyway
            let wake = async {
                tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    Ok(()) = changes.changed() => {}
                }
            };
            self.cancel.run_until_cancelled(wake).await;
        }
    }

    fn found<K>(&self, ready: &impl Fn(&Link) -> Result<K, &'static str>) -> Result<K, &'static str> {
        let links = self.links.links();
        ready(links.by_name(self.interface).ok_or("the interface, which does not exist")?)
    }

    /// Returns when the interface is not what it was.
    async fn other_than<K: PartialEq>(&self, key: K, ready: &impl Fn(&Link) -> Result<K, &'static str>) {
        let mut changes = self.links.changes();
        loop {
            changes.mark_unchanged();
            if self.found(ready).as_ref() != Ok(&key) {
                return;
            }
            if changes.changed().await.is_err() {
                // a watch that never changes
                return std::future::pending().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::net::Links;

    fn link(name: &str) -> Link {
        Link {
            index: 7,
            name: name.to_owned(),
            up: true,
            loopback: false,
            mac: None,
            mtu: 1500,
            addresses: vec!["fe80::1/64".parse().unwrap()],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_service_is_tried_again_and_one_that_ends_well_is_the_end() {
        let links = LinkWatch::fixed(Links::new([link("eth1")]));
        let cancel = CancellationToken::new();
        let (notes, calls) = (RefCell::new(Vec::new()), RefCell::new(0));
        let place = Place { links: &links, interface: "eth1", cancel: &cancel };
        let serve = |index: u32| {
            assert_eq!(index, 7);
            *calls.borrow_mut() += 1;
            std::future::ready(if *calls.borrow() < 3 { Err("no luck") } else { Ok(()) })
        };
        place.attend(|l| Ok(l.index), |p| notes.borrow_mut().push(p), serve).await;
        assert_eq!(*notes.borrow(), vec![Presence::Failing("no luck".to_owned()); 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missing_interface_is_waited_for_until_the_end() {
        let (links, cancel) = (LinkWatch::fixed(Links::new([link("eth1")])), CancellationToken::new());
        let seen = RefCell::new(None);
        let place = Place { links: &links, interface: "eth2", cancel: &cancel };
        let serve = |_: u32| -> std::future::Ready<Result<(), String>> { panic!("it is not there") };
        let attend = place.attend(|l| Ok(l.index), |p| *seen.borrow_mut() = Some(p), serve);
        assert!(tokio::time::timeout(Duration::from_secs(9), attend).await.is_err());
        assert!(matches!(*seen.borrow(), Some(Presence::Waiting(what)) if what.contains("does not exist")));
    }
}
