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

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::{Clock, System};
use crate::config::{Config, Problems};
use crate::metrics;
use crate::server::http;
use crate::service::access::{ADMIN, Access};
use crate::service::bindings::Bindings;
use crate::service::events::Events;
use crate::service::health::{Health, State};
use crate::store::{self, Ledger, OpenError, SqlitePort};

/// Signals, service manager, watchdog.
mod process;
/// Listening sockets of the API.
mod sockets;

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
    ledger: Ledger,
    writer: store::ledger::WriterEnd,
    services: Services,
    history: store::history::SqliteHistory,
    clock: Arc<dyn Clock>,
}

/// The services, for whoever composes.
struct Services {
    access: Arc<Access>,
    bindings: Arc<Bindings>,
    events: Arc<Events>,
    health: Arc<Health>,
}

/// Starts, and runs until SIGTERM or SIGINT.
pub async fn serve(options: Options, config: Config) -> Result<(), AppError> {
    let app = App::build(options, config).await?;
    app.run(process::stop_signal()).await
}

impl App {
    /// Opens the state and constructs the services; nothing listens yet.
    pub async fn build(options: Options, config: Config) -> Result<App, AppError> {
        let clock: Arc<dyn Clock> = Arc::new(System);
        let store::Opened { port, recovered, history } = store::open(&options.state, "local").await?;
        let health = Health::new();
        for finding in &recovered.findings {
            tracing::error!("{finding}");
            health.set("state", State::Degraded(finding.clone()));
        }
        let services = Services {
            access: Access::new(clock.clone(), random()),
            bindings: Bindings::new(clock.clone()),
            events: Events::new(Arc::new(history.clone())),
            health,
        };
        let views = vec![services.bindings.view(), services.access.view()];
        let (ledger, writer) = Ledger::start::<SqlitePort>(port, recovered, views, clock.clone());
        services.access.attach(ledger.clone());
        services.events.attach(ledger.clone());
        services.health.set("ledger", State::Works);
        let app = App { options, config, ledger, writer, services, history, clock };
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
        let intake = CancellationToken::new();
        let tracker = TaskTracker::new();
        self.start_http(&intake, &tracker);
        self.start_metrics();
        self.start_watchdog(&intake, &tracker);
        let App { ledger, mut writer, history, services, .. } = self;
        process::ready(&services.health).await;
        let ended = tokio::select! {
            () = stop.cancelled() => None,
            ended = &mut writer => Some(ended),
        };
        process::stopping();
        services.health.set("daemon", State::Fails("stopping".to_owned()));
        intake.cancel();
        tracker.close();
        if tokio::time::timeout(GRACE, tracker.wait()).await.is_err() {
            tracing::warn!("{} tasks did not end in {} s", tracker.len(), GRACE.as_secs());
        }
        history.close().await;
        let ended = match ended {
            Some(ended) => ended,
            None => {
                ledger.stop().await;
                writer.await
            }
        };
        match ended {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(AppError::Failed(error.to_string())),
            Err(_) => Err(AppError::Failed("the ledger's writer is gone".to_owned())),
        }
    }

    fn start_http(&self, intake: &CancellationToken, tracker: &TaskTracker) {
        let Services { access, events, health, .. } = &self.services;
        let api = http::api::Api {
            access: access.clone(),
            events: events.clone(),
            health: health.clone(),
            clock: self.clock.clone(),
            began: self.clock.wall(),
            stopping: intake.clone(),
        };
        let door = http::guard::Door {
            access: access.clone(),
            sessions: http::session::Sessions::new(self.clock.clone(), random()),
            settings: self.door_settings(),
        };
        let router = http::api::router(Arc::new(api))
            .layer(axum::middleware::from_fn_with_state(Arc::new(door), http::guard::guard));
        let socket = self.options.socket.clone().or_else(|| self.config.server.socket.clone());
        let socket = socket.unwrap_or_else(|| self.options.state.join("api.sock"));
        let (unix, health_unix) = (router.clone(), health.clone());
        let cancel = intake.clone();
        tracker.spawn(async move {
            let bind = || sockets::unix(&socket);
            if let Some(listener) = keep_trying("api socket", &health_unix, &cancel, bind).await {
                http::accept::serve(listener, unix, cancel).await;
            }
        });
        for address in self.config.server.listen.clone() {
            let (router, health, cancel) = (router.clone(), health.clone(), intake.clone());
            tracker.spawn(async move {
                let part = format!("api {address}");
                let bind = || sockets::tcp(address);
                if let Some(listener) = keep_trying(&part, &health, &cancel, bind).await {
                    http::accept::serve(listener, router, cancel).await;
                }
            });
        }
    }

    fn door_settings(&self) -> http::guard::Settings {
        let users = self.config.claws.credentials.iter();
        http::guard::Settings {
            own_uid: nix::unistd::geteuid().as_raw(),
            admin_group: self.config.server.admin_group.clone(),
            local: users.filter_map(|c| c.uid.map(|uid| (uid, c.name.clone()))).collect(),
        }
    }

    fn start_metrics(&self) {
        metrics::clear_sources();
        let ledger = self.ledger.clone();
        let bindings = self.services.bindings.clone();
        metrics::source(move |samples| {
            samples.put("lanlord_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
            samples.put("lanlord_ledger_queue", &[], ledger.depth() as f64);
            samples.put("lanlord_ledger_seq", &[], ledger.head() as f64);
            samples.rendered(bindings.counters());
        });
    }

    /// The service manager hears from us as long as the ledger's task passes its heartbeat.
    fn start_watchdog(&self, intake: &CancellationToken, tracker: &TaskTracker) {
        if let Some(period) = process::watchdog() {
            let (ledger, cancel) = (self.ledger.clone(), intake.clone());
            tracker.spawn(async move {
                while cancel.run_until_cancelled(tokio::time::sleep(period / 3)).await.is_some() {
                    if tokio::time::timeout(period / 3, ledger.commit(Vec::new())).await.is_ok() {
                        process::alive();
                    }
                }
            });
        }
    }
}

/// Tries every five seconds until it works or the daemon stops; says on the board how it is.
async fn keep_trying<T, E: std::fmt::Display>(
    part: &str,
    health: &Health,
    cancel: &CancellationToken,
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Option<T> {
    let mut told = String::new();
    while !cancel.is_cancelled() {
        match attempt() {
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
        cancel.run_until_cancelled(tokio::time::sleep(RETRY)).await;
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
