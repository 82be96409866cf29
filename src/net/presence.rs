//! Serving one interface whenever it is there: it may come late, go, return as another one, be renumbered.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
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

/// Keeps one task for each name of a list that may change, until `cancel`. A task ends when its token is
/// cancelled; another one of the same name begins only after it.
pub async fn attend_all<F: Future<Output = ()> + Send + 'static>(
    mut names: watch::Receiver<Vec<String>>,
    cancel: CancellationToken,
    start: impl Fn(String, CancellationToken) -> F,
) {
    let mut all: HashMap<String, (CancellationToken, JoinHandle<()>)> = HashMap::new();
    loop {
        let now = names.borrow_and_update().clone();
        let gone: Vec<_> = all.extract_if(|name, _| !now.contains(name)).map(|(_, task)| task).collect();
        for (stop, task) in gone {
            stop.cancel();
            end(task).await;
        }
        for name in now {
            all.entry(name).or_insert_with_key(|name| {
                let stop = cancel.child_token();
                (stop.clone(), tokio::spawn(start(name.clone(), stop)))
            });
        }
        match cancel.run_until_cancelled(names.changed()).await {
            Some(Ok(())) => {}
            // a list that never changes
            Some(Err(_)) => break cancel.cancelled().await,
            None => break,
        }
    }
    for (_, task) in all.into_values() {
        end(task).await;
    }
}

async fn end(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "the task of an interface broke off");
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
            mtu: 1500,
            addresses: vec!["fe80::1/64".parse().unwrap()],
            ..Link::default()
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

    #[tokio::test(start_paused = true)]
    async fn a_list_that_changes_begins_and_ends_tasks_and_leaves_the_others_alone() {
        let (tell, names) = watch::channel(vec!["a".to_owned(), "b".to_owned()]);
        let (cancel, log) = (CancellationToken::new(), Arc::new(std::sync::Mutex::new(Vec::new())));
        let (stop, seen) = (cancel.clone(), log.clone());
        let task = tokio::spawn(attend_all(names, stop, move |name, stop| {
            let seen = seen.clone();
            async move {
                seen.lock().unwrap().push(format!("+{name}"));
                stop.cancelled().await;
                seen.lock().unwrap().push(format!("-{name}"));
            }
        }));
        let settle = || tokio::time::sleep(Duration::from_millis(5));
        settle().await;
        tell.send_replace(vec!["b".to_owned(), "c".to_owned()]);
        settle().await;
        assert_eq!(log.lock().unwrap()[2..], ["-a", "+c"]);
        cancel.cancel();
        task.await.unwrap();
        let mut rest = log.lock().unwrap()[4..].to_vec();
        rest.sort();
        assert_eq!(rest, ["-b", "-c"]);
    }
}
