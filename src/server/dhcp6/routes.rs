//! Routes to delegated prefixes in the kernel's table (DH-707): put there before the reply, taken away when the
//! delegation ends, made the same again at the start and whenever the links change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ipnet::Ipv6Net;
use tokio_util::sync::CancellationToken;

use crate::net::routes::{RouteTable, Way, is_forbidden};
use crate::net::{LinkWatch, NetError};
use crate::service::leasing::{PrefixRoute, RouteError, Routes};

/// What to do about a missing capability.
const FORBIDDEN: &str = "the daemon lacks CAP_NET_ADMIN; grant it with the drop-in \
                         /usr/share/doc/lanlord/prefix-routes.conf, or route the prefix yourself";

/// Missing routes that are remembered as told.
const TOLD: usize = 4_096;

/// The kernel's table, as far as delegated prefixes go.
pub struct KernelRoutes {
    table: RouteTable,
    links: LinkWatch,
    /// Delegations that live, by prefix: as many as there are leases of prefixes.
    wanted: Mutex<BTreeMap<Ipv6Net, PrefixRoute>>,
    /// Hears of each route that is missing, once until it is there.
    missing: Missing,
    told: Mutex<BTreeSet<Ipv6Net>>,
}

/// Whoever hears of a missing route.
pub type Missing = Box<dyn Fn(&RouteError) + Send + Sync>;

impl KernelRoutes {
    pub fn open(links: LinkWatch, missing: Missing) -> Result<Arc<KernelRoutes>, NetError> {
        let (wanted, told) = (Mutex::default(), Mutex::default());
        Ok(Arc::new(KernelRoutes { table: RouteTable::open()?, links, wanted, missing, told }))
    }

    /// Makes the table what it should be, at once and at every change of the links, until `cancel`. `living`
    /// are the delegations that were recovered.
    pub async fn follow(self: Arc<Self>, living: Vec<PrefixRoute>, cancel: CancellationToken) {
        self.wanted().extend(living.into_iter().map(|route| (route.prefix, route)));
        let mut changes = self.links.changes();
        loop {
            changes.mark_unchanged();
            if let Err(error) = self.resynchronise().await {
                tracing::warn!("routes to delegated prefixes: {error}");
            }
            if !matches!(cancel.run_until_cancelled(changes.changed()).await, Some(Ok(()))) {
                return;
            }
        }
    }

    /// Notes what has become of a route.
    fn outcome(&self, prefix: Ipv6Net, done: Result<(), String>) -> Result<(), RouteError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let done = done.map_err(|why| RouteError { prefix, why });
        match &done {
            Ok(()) => drop(told.remove(&prefix)),
            Err(error) if told.len() < TOLD && told.insert(prefix) => (self.missing)(error),
            Err(_) => {}
        }
        done
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeMap<Ipv6Net, PrefixRoute>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn resynchronise(&self) -> Result<(), NetError> {
        let there = self.table.ours().await?;
        let wanted = self.wanted().clone();
        for way in there.iter().filter(|way| !wanted.contains_key(&way.prefix)) {
            self.table.remove(way.prefix).await?;
        }
        for (prefix, route) in &wanted {
            let done = match self.way(route).await {
                Ok(way) if there.contains(&way) => Ok(()),
                Ok(way) => self.table.replace(way).await.map_err(|e| why(&e)),
                Err(why) => Err(why),
            };
            // told once; its interface may come later
            let _ = self.outcome(*prefix, done);
        }
        Ok(())
    }

    async fn way(&self, route: &PrefixRoute) -> Result<Way, String> {
        let prefix = route.prefix;
        if route.via.is_unicast_link_local() {
            let links = self.links.links();
            let link = links.by_name(&route.interface).ok_or_else(|| format!("{} is not there", route.interface))?;
            return Ok(Way { prefix, via: route.via, ifindex: link.index });
        }
        let found = self.table.toward(route.via).await.map_err(|e| e.to_string())?;
        let (via, ifindex) = found.ok_or_else(|| format!("there is no way to the relay {}", route.via))?;
        Ok(Way { prefix, via, ifindex })
    }

    async fn put(&self, route: &PrefixRoute) -> Result<(), String> {
        let way = self.way(route).await?;
        self.table.replace(way).await.map_err(|e| why(&e))
    }
}

fn why(error: &NetError) -> String {
    if is_forbidden(error) { FORBIDDEN.to_owned() } else { error.to_string() }
}

#[async_trait]
impl Routes for KernelRoutes {
    async fn install(&self, route: &PrefixRoute) -> Result<(), RouteError> {
        self.wanted().insert(route.prefix, route.clone());
        let done = self.put(route).await;
        self.outcome(route.prefix, done)
    }

    async fn remove(&self, prefix: Ipv6Net) -> Result<(), RouteError> {
        self.wanted().remove(&prefix);
        self.told.lock().unwrap_or_else(PoisonError::into_inner).remove(&prefix);
        match self.table.remove(prefix).await {
            // what we may not put there is not there
            Err(error) if is_forbidden(&error) => Ok(()),
            done => done.map_err(|e| RouteError { prefix, why: why(&e) }),
        }
    }
}
