//! The composition root: configuration in, a running daemon out, and its orderly end. The only place that
//! sees everything; refuses to decide anything that a service or a shell could decide.
//!
//! Order of a start: configuration → database → services → ledger (which feeds what was recovered to the
//! services' views) → shells. Order of an end: shells take nothing more in → what is in flight is finished
//! → the ledger commits what waits, and closes. A part that cannot start (a taken port, a missing
//! interface) is tried again every five seconds, and stops nothing else (AP-902).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, Sure, System};
use crate::config::{Config, Problems};
use crate::domain::time::Wall;
use crate::metrics::Sources;
use crate::net::{self, LinkWatch};
use crate::server::dns::Counters;
use crate::service::access::ADMIN;
use crate::service::health::{Health, State};
use crate::service::leasing::Replies;
use crate::service::reload::Reloads;
use crate::store::history::SqliteHistory;
use crate::store::ledger::WriterEnd;
use crate::store::{self, Ledger, OpenError, SqlitePort};

/// Router advertisements.
mod announce;
/// REST, page and bus on their listeners.
mod api;
/// How interfaces fare.
mod board;
/// DHCPv6.
mod dhcp6;
/// Leases of another server, into the state of a daemon that is stopped.
pub mod import;
/// Our own addresses, and who hears of them.
mod own;
/// Signals, service manager, watchdog.
mod process;
/// The configuration, read again.
mod reload;
/// Listeners of DNS.
mod resolvers;
/// The services and their views.
mod services;
/// From the configuration to the settings of each part.
mod settings;
/// Shells that speak to the network.
mod shells;
/// Listening sockets of the API.
mod sockets;

pub use process::on_relevel;
use services::{Ground, Services};
use shells::Shells;

/// Longest orderly end.
const GRACE: Duration = Duration::from_secs(5);
/// Between two attempts of a part that cannot start.
const RETRY: Duration = Duration::from_secs(5);

/// Why the daemon did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// Invalid or insecure: exit code 2.
    #[error("{0}")]
    Config(#[from] Problems),
    /// Exit code 7.
    #[error("{0}")]
    State(#[from] OpenError),
    #[error("{0}")]
    Failed(String),
}

/// What `lanlord serve` was told.
#[derive(Debug, Clone)]
pub struct Options {
    pub config: PathBuf,
    pub state: PathBuf,
    pub socket: Option<PathBuf>,
}

/// A daemon, built and not yet serving.
pub struct App {
    options: Options,
    config: Config,
    clock: Arc<dyn Clock>,
    services: Services,
    replies: Replies,
    links: LinkWatch,
    ledger: Ledger,
    writer: WriterEnd,
    history: SqliteHistory,
    /// Ends what follows the kernel, last of all.
    background: CancellationToken,
}

/// Starts, and runs until SIGTERM or SIGINT.
pub async fn serve(options: Options, config: Config) -> Result<(), AppError> {
    let stop = process::stop_signal();
    App::build(options, config).await?.run(stop).await
}

impl App {
    /// Opens the state and constructs the services; nothing listens yet.
    pub async fn build(options: Options, config: Config) -> Result<App, AppError> {
        let background = CancellationToken::new();
        let links = net::links::watch(background.clone()).await.map_err(|e| AppError::Failed(e.to_string()))?;
        let prefixes = settings::prefixes(&config, &links.links());
        let config = config.at(prefixes)?;
        let store::Opened { mut port, recovered, history } = store::open(&options.state, "local").await?;
        port.keep_history(config.log.lease_history);
        let committed = recovered.entries.last().map_or(Wall::LONG_AGO, |entry| entry.at);
        let clock: Arc<dyn Clock> = Arc::new(Sure::new(Arc::new(System), committed));
        let ground = Ground {
            config: &config,
            state: &options.state,
            clock: clock.clone(),
            random: random(),
            links: &links.links(),
            history: Arc::new(history.clone()),
        };
        let (services, replies) = Services::new(ground)?;
        for finding in &recovered.findings {
            tracing::error!("{finding}");
            services.health.set("state", State::Degraded(finding.clone()));
        }
        // until every shell has said that it starts: the API listens before them
        services.health.set("daemon", State::Starting);
        reload::tell_findings(&config, &services.health);
        reload::tell_followed(&config, &services.health);
        let (ledger, writer) = Ledger::start::<SqlitePort>(port, recovered, services.views(), clock.clone());
        services.attach(&ledger);
        services.health.set("ledger", State::Works);
        let app = App { options, config, clock, services, replies, links, ledger, writer, history, background };
        app.first_token().await?;
        Ok(app)
    }

    /// The first start leaves a token for the administrator, which only the daemon's user and root can read.
    async fn first_token(&self) -> Result<(), AppError> {
        if !self.services.access.list().is_empty() {
            return Ok(());
        }
        let path = self.options.state.join("admin.token");
        let made = self.services.access.create("admin", &[ADMIN.to_owned()], "lanlord").await;
        let (_, secret) = made.map_err(|e| AppError::Failed(format!("no first token: {e}")))?;
        write_secret(&path, &secret).map_err(|e| AppError::Failed(format!("{}: {e}", path.display())))?;
        tracing::info!("a token for the administrator is in {}", path.display());
        Ok(())
    }

    /// Serves until `stop`, then ends in order. Fails if the disk cannot be trusted any more.
    pub async fn run(self, stop: CancellationToken) -> Result<(), AppError> {
        let App { options, config, clock, services, replies, links, ledger, mut writer, history, background } = self;
        let intake = CancellationToken::new();
        let tracker = TaskTracker::new();
        // leasing answers what the shells have taken in, so it ends after them
        let answering = CancellationToken::new();
        let leasing = services.leasing.start(ledger.clone(), answering.clone());
        tracker.spawn(services.phones.clone().follow(ledger.clone(), intake.clone()));
        services.bus.start(ledger.clone(), Some(Arc::new(history.clone())));
        let shells = Shells { config: &config, services: &services, links: &links, intake: &intake, tracker: &tracker };
        let (reloads, asked) = Reloads::new();
        let socket = options.socket.clone().or_else(|| config.server.socket.clone());
        let sources = Sources::default();
        let socket = socket.unwrap_or_else(|| options.state.join("api.sock"));
        shells.api(clock.clone(), reloads, socket, sources.clone());
        let resolvers = shells.start(replies, clock.clone(), ledger.clone());
        // whoever has seen that it is ready finds all of them
        publish_metrics(&sources, &ledger, &services, resolvers);
        services.health.set("daemon", State::Works);
        start_watchdog(&ledger, &intake, &tracker);
        let reloader = reload::Reloader {
            file: options.config,
            first: Arc::new(config.clone()),
            services: services.clone(),
            links: links.clone(),
            clock,
        };
        tracker.spawn(reloader.run(asked, intake.clone()));
        process::ready(&services.health).await;
        let ended = tokio::select! {
            () = stop.cancelled() => None,
            ended = &mut writer => Some(ended),
        };
        process::stopping();
        services.health.set("daemon", State::Fails("stopping".to_owned()));
        services.bus.stop().await;
        intake.cancel();
        tracker.close();
        let drained = async {
            tracker.wait().await;
            answering.cancel();
            futures_util::future::join_all(leasing).await;
        };
        if tokio::time::timeout(GRACE, drained).await.is_err() {
            tracing::warn!("{} tasks did not end in {} s", tracker.len(), GRACE.as_secs());
            answering.cancel();
        }
        history.close().await;
        let ended = match ended {
            Some(ended) => ended,
            None => {
                ledger.stop().await;
                writer.await
            }
        };
        background.cancel();
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(AppError::Failed(error.to_string())),
            Err(_) => Err(AppError::Failed("the ledger's writer is gone".to_owned())),
        }
    }
}

fn publish_metrics(sources: &Sources, ledger: &Ledger, services: &Services, resolvers: Arc<Counters>) {
    let (ledger, services) = (ledger.clone(), services.clone());
    sources.add(move |samples| {
        samples.put("lanlord_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        samples.put("lanlord_ledger_queue", &[], ledger.depth() as f64);
        samples.put("lanlord_ledger_seq", &[], ledger.head() as f64);
        samples.put("lanlord_devices", &[], services.devices.count() as f64);
        for pool in services.leasing.pools() {
            let subnet = pool.subnet.to_string();
            let mut put = |state, value: usize| {
                samples.put("lanlord_dhcp_pool_addresses", &[("subnet", &subnet), ("state", state)], value as f64);
            };
            put("free", pool.free);
            put("leased", pool.leased);
            put("reserved", pool.reserved);
            put("offered", pool.offered);
            put("quarantined", pool.quarantined);
        }
        for usage in services.leasing.usage6() {
            let subnet = usage.subnet.to_string();
            let mut put = |state, value: f64| {
                samples.put("lanlord_dhcp_pool_addresses", &[("subnet", &subnet), ("state", state)], value);
            };
            put("leased", usage.leased as f64);
            put("delegated", usage.delegated as f64);
        }
        for (name, histogram) in services.leasing.durations() {
            samples.histogram(name, histogram);
        }
        process::usage(samples);
        samples.rendered(services.bindings.counters());
        samples.rendered(services.leasing.counters());
        samples.rendered(services.naming.counters());
        samples.rendered(services.phones.counters());
        samples.rendered(services.bus.counters());
        samples.put("lanlord_hosts", &[], services.hosts.count() as f64);
        samples.rendered(resolvers.read());
    });
}

/// The service manager hears from us as long as the ledger's task passes its heartbeat.
fn start_watchdog(ledger: &Ledger, intake: &CancellationToken, tracker: &TaskTracker) {
    let Some(period) = process::watchdog() else { return };
    let (ledger, cancel) = (ledger.clone(), intake.clone());
    tracker.spawn(async move {
        while cancel.run_until_cancelled(tokio::time::sleep(period / 3)).await.is_some() {
            if tokio::time::timeout(period / 3, ledger.commit(Vec::new())).await.is_ok() {
                process::alive();
            }
        }
    });
}

/// Tries every five seconds, and whenever the links `change`, until it works or the daemon stops; says on the board how it is.
async fn keep_trying<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    part: &str,
    health: &Health,
    cancel: &CancellationToken,
    mut changes: watch::Receiver<u64>,
    mut attempt: impl FnMut() -> F,
) -> Option<T> {
    let mut told = String::new();
    while !cancel.is_cancelled() {
        changes.mark_unchanged();
        match attempt().await {
            Ok(done) => {
                health.set(part, State::Works);
                return Some(done);
            }
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    tracing::warn!("{part}: {text}; trying again every {} s", RETRY.as_secs());
                }
                health.set(part, State::Fails(text.clone()));
                told = text;
            }
        }
        let retry = async {
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                Ok(()) = changes.changed() => {}
            }
        };
        cancel.run_until_cancelled(retry).await;
    }
    None
}

/// The system's random numbers; a system without them cannot run this daemon.
fn random() -> crate::service::access::Random {
    let random = ring::rand::SystemRandom::new();
    Arc::new(move |bytes| {
        ring::rand::SecureRandom::fill(&random, bytes).expect("the kernel has random numbers");
    })
}

/// A file that only its owner can read, complete or not there.
fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let new = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    std::fs::rename(new, path)
}
