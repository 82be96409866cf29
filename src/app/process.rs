//! The process and its surroundings: signals, readiness and watchdog of the service manager.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::metrics::Samples;
use crate::service::health::{Health, State};

/// How long parts may take to say how they are before we call ourselves ready.
const SETTLE: Duration = Duration::from_secs(2);

/// Sets another filter for what is logged; the error says what is wrong with it.
pub type Relevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

static RELEVEL: OnceLock<Relevel> = OnceLock::new();

/// Whoever set the log up says how its filter is changed. Without it, as in tests and where the environment has
/// the last word, a reload leaves the log alone.
pub fn on_relevel(relevel: Relevel) {
    let _ = RELEVEL.set(relevel);
}

/// Logs as `level` says from now on.
pub(super) fn relevel(level: &str) -> Result<(), String> {
    RELEVEL.get().map_or(Ok(()), |relevel| relevel(level))
}

/// Cancelled by SIGTERM or SIGINT.
pub(super) fn stop_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        match signal(kind) {
            Ok(mut signals) => {
                let stop = stop.clone();
                tokio::spawn(async move {
                    signals.recv().await;
                    stop.cancel();
                });
            }
            Err(error) => tracing::error!(%error, "a signal cannot be caught"),
        }
    }
    stop
}

/// Tells the service manager that we are up, once every part has said how it is.
pub(super) async fn ready(health: &Arc<Health>) {
    let settled = async {
        while health.parts().values().any(|state| *state == State::Starting) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(SETTLE, settled).await;
    let parts = health.parts();
    let told = |wanted: fn(&State) -> Option<String>| -> Vec<String> {
        parts.iter().filter_map(|(part, state)| Some(format!("{part}: {}", wanted(state)?))).collect()
    };
    let failing = told(|state| if let State::Fails(why) = state { Some(why.clone()) } else { None });
    let starting = told(|state| (*state == State::Starting).then(|| "still starting".to_owned()));
    let waiting = [failing, starting].concat();
    let status = if waiting.is_empty() { "everything works".to_owned() } else { waiting.join("; ") };
    match waiting.len() {
        0 => tracing::info!("ready; everything works"),
        n => tracing::warn!("started, but {n} of {} parts do not serve yet: {status}", parts.len()),
    }
    notify(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Rings on SIGHUP.
pub(super) fn reload_signal() -> tokio::sync::mpsc::Receiver<()> {
    let (ring, rings) = tokio::sync::mpsc::channel(1);
    match signal(SignalKind::hangup()) {
        Ok(mut signals) => {
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if ring.send(()).await.is_err() {
                        return;
                    }
                }
            });
        }
        Err(error) => tracing::error!(%error, "SIGHUP cannot be caught"),
    }
    rings
}

/// The service manager waits for what follows.
pub(super) fn reloading() {
    notify(&[NotifyState::Reloading]);
}

pub(super) fn reloaded() {
    notify(&[NotifyState::Ready]);
}

pub(super) fn stopping() {
    tracing::info!("stopping");
    notify(&[NotifyState::Stopping]);
}

/// The period in which the service manager wants to hear from us, if it does.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

pub(super) fn alive() {
    notify(&[NotifyState::Watchdog]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

/// What the process uses, under the names that all Prometheus clients use. A figure that the kernel does not
/// tell is left out.
pub(super) fn usage(samples: &mut Samples) {
    let lines = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        |key: &str| lines.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok());
    for (name, key) in [("process_resident_memory_bytes", "VmRSS:"), ("process_virtual_memory_bytes", "VmSize:")] {
        if let Some(kib) = kib(key) {
            let kib: f64 = kib;
            samples.put(name, &[], kib * 1024.0);
        }
    }
    if let Ok(used) = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF) {
        #[allow(clippy::cast_precision_loss)]
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        samples.put("process_cpu_seconds_total", &[], seconds(used.user_time()) + seconds(used.system_time()));
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        samples.put("process_open_fds", &[], open.count() as f64);
    }
    if let Ok((most, _)) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE) {
        samples.put("process_max_fds", &[], most as f64);
    }
}
