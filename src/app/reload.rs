//! Loading the configuration again (DH-607): one task, asked by SIGHUP, the API and the command line alike.
//! The file and the zone files are checked whole, then taken over; or nothing is (I11). Sockets, offers,
//! holds and commits in flight are not touched.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::services::{self, Services};
use super::{process, settings};
use crate::clock::Clock;
use crate::config::{self, Config, Problem, diff};
use crate::domain::dns::zonefile;
use crate::net::LinkWatch;
use crate::service::health::{Health, State};
use crate::service::reload::{Answer, Difference, Fault, How, Refused, Reloaded};

/// Differences that one answer lists.
const LISTED: usize = 1_000;

/// What a reload needs to know.
#[derive(Clone)]
pub(super) struct Reloader {
    pub file: PathBuf,
    /// As it was at the start: what a restart would take over is told against it.
    pub first: Arc<Config>,
    pub services: Services,
    pub links: LinkWatch,
    pub clock: Arc<dyn Clock>,
}

impl Reloader {
    /// Answers one question after the other until `cancel`.
    pub async fn run(self, mut asked: mpsc::Receiver<Answer>, cancel: CancellationToken) {
        let mut hangups = process::reload_signal();
        let mut changes = self.links.changes();
        loop {
            let answer = tokio::select! {
                Ok(()) = changes.changed() => {
                    let this = self.clone();
                    if tokio::task::spawn_blocking(move || this.follow()).await.is_err() {
                        tracing::error!("the prefix of an interface was not followed");
                    }
                    continue;
                }
                () = cancel.cancelled() => return,
                Some(()) = hangups.recv() => None,
                Some(answer) = asked.recv() => Some(answer),
                else => return,
            };
            process::reloading();
            let this = self.clone();
            // files are read: not on a thread that packets wait for
            let done = tokio::task::spawn_blocking(move || this.reload()).await;
            process::reloaded();
            let done = done.unwrap_or_else(|_| {
                tracing::error!("a reload broke off");
                Err(Refused::Broken)
            });
            if let Some(answer) = answer {
                // whoever asked may have gone away
                let _ = answer.send(done);
            }
        }
    }

    fn reload(&self) -> Result<Reloaded, Refused> {
        let health = &self.services.health;
        let refuse = |faults: Vec<Fault>, text: String| {
            health.set("configuration", State::Degraded(text));
            Err(Refused::Invalid(faults))
        };
        let read = config::load(&self.file);
        let read = read.and_then(|config| {
            let prefixes = settings::prefixes(&config, &self.links.links());
            config.at(prefixes)
        });
        let config = match read {
            Ok(config) => config,
            Err(problems) => {
                problems.0.iter().for_each(|problem| tracing::error!("{problem}"));
                let text = format!("the new configuration has {} problems; the old one stays", problems.0.len());
                return refuse(problems.0.into_iter().map(fault).collect(), text);
            }
        };
        // zone files are the last that can be wrong: nothing is taken over before they are read
        let names = settings::naming(&config, &self.links.links(), 0);
        let zones = match self.services.naming.reload(names, self.clock.wall()) {
            Ok(zones) => zones,
            Err(problems) => {
                problems.iter().for_each(|problem| tracing::error!("zone file {problem}"));
                let first = problems.first().map(ToString::to_string).unwrap_or_default();
                let text = format!(
                    "zone files have {} problems, as {first}; the old zones and the old configuration stay",
                    problems.len()
                );
                let folder = &config.dns.zones;
                return refuse(problems.into_iter().map(|p| zone_fault(folder, p)).collect(), text);
            }
        };
        health.forget("zones");
        let mut done = self.take_over(config);
        done.findings.extend(zones.warnings.iter().map(|warning| format!("zone file {warning}")));
        Ok(done)
    }

    /// DH-708: the prefix of an interface has changed, and so the subnets that are parts of it. The text is the one
    /// in force, whatever the file says by now.
    fn follow(&self) {
        let present = self.services.configured.borrow().clone();
        let prefixes = settings::prefixes(&present, &self.links.links());
        if prefixes == present.prefixes {
            return;
        }
        let config = match config::parse_at(&present.file, &present.text, prefixes) {
            Ok(config) => config,
            Err(problems) => {
                problems.0.iter().for_each(|problem| tracing::error!("with another prefix: {problem}"));
                let text = "a new prefix of an interface does not fit the configuration; the old one stays";
                return self.services.health.set("prefixes", State::Degraded(text.to_owned()));
            }
        };
        self.services.health.forget("prefixes");
        let names = settings::naming(&config, &self.links.links(), 0);
        if let Err(problems) = self.services.naming.reload(names, self.clock.wall()) {
            // the names of the new prefix wait for the zone files to be put right, its addresses do not
            problems.iter().for_each(|problem| tracing::error!("zone file {problem}"));
        }
        for (interface, prefix) in &config.prefixes {
            tracing::info!(interface, %prefix, "subnets follow the prefix of an interface");
        }
        self.take_over(config);
    }

    /// Everything here succeeds.
    fn take_over(&self, config: Config) -> Reloaded {
        let services = &self.services;
        tell_findings(&config, &services.health);
        tell_followed(&config, &services.health);
        let plugins = services::load_plugins(&config.provisioning.plugins, &services.health);
        services.leasing.reload(settings::policy(&config, &plugins));
        services.phones.reload(plugins);
        services.phones.configure(provisioning(&self.first, &config));
        services.bus.reload(settings::bus(&config), services::enrichers(&config, &services.leasing));
        services.phones.set_boot(settings::boot(&config));
        let restart = settings::needs_restart(&self.first, &config);
        let mut findings: Vec<String> = config.findings.iter().map(ToString::to_string).collect();
        findings.extend(process::relevel(&config.log.level).err());
        let config = Arc::new(config);
        let before = services.configured.send_replace(config.clone());
        let mut changed: Vec<Difference> =
            diff::differences(&before.text, &config.text).into_iter().map(difference).collect();
        let more = changed.len().saturating_sub(LISTED);
        changed.truncate(LISTED);
        if restart.is_empty() {
            services.health.forget("configuration");
            tracing::info!(changed = changed.len() + more, "the configuration was loaded again");
        } else {
            let text = format!("restart to take over what changed in {}", restart.join(", "));
            tracing::warn!("the configuration was loaded again, but not all of it; {text}");
            services.health.set("configuration", State::Degraded(text));
        }
        Reloaded { changed, more, restart, findings, outside: services.leasing.outside() }
    }
}

/// What phones are told follows the file; whether they are served, and at which port, is as at the start.
fn provisioning(first: &Config, now: &Config) -> crate::service::provisioning::Settings {
    let mut config = now.clone();
    config.provisioning.enabled = first.provisioning.enabled;
    config.provisioning.http_port = first.provisioning.http_port;
    settings::provisioning(&config)
}

/// What the configuration leaves out while all else is served (DH-309).
pub(super) fn tell_findings(config: &Config, health: &Health) {
    config.findings.iter().for_each(|finding| tracing::warn!("{finding}"));
    match config.findings.first() {
        Some(first) => {
            let text = format!("{} left out, as {first}", config.findings.len());
            health.set("reservations", State::Degraded(text));
        }
        None => health.forget("reservations"),
    }
}

/// Which subnets wait for a prefix.
pub(super) fn tell_followed(config: &Config, health: &Health) {
    for network in config.networks.iter().filter(|network| !network.follows.is_empty()) {
        let part = format!("prefix {}", network.name);
        match network.follows.iter().find(|follows| follows.prefix.is_none()) {
            Some(follows) => {
                let text = format!("a subnet waits: {} has no IPv6 prefix that it fits into", follows.interface);
                tracing::warn!("{part}: {text}");
                health.set(&part, State::Degraded(text));
            }
            None => health.forget(&part),
        }
    }
}

fn fault(problem: Problem) -> Fault {
    let Problem { file, at, message, hint } = problem;
    Fault { file, at, message, hint }
}

fn zone_fault(folder: &std::path::Path, problem: zonefile::Problem) -> Fault {
    let zonefile::Problem { file, line, column, message, hint, .. } = problem;
    let at = (line > 0).then_some((line, column));
    Fault { file: folder.join(file), at, message, hint: Some(hint).filter(|hint| !hint.is_empty()) }
}

fn difference((key, how): (String, diff::How)) -> Difference {
    let how = match how {
        diff::How::Added => How::Added,
        diff::How::Changed => How::Changed,
        diff::How::Removed => How::Removed,
    };
    Difference { key, how }
}
