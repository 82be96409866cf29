//! When somebody sets the wall clock (DH-507, DH-508): nothing ends early, nothing that ended comes back. In memory
//! leases end by the clock that does not step; here what is on disk follows, so that a restart knows no better.

use tokio_util::sync::CancellationToken;

use super::{Core, Leasing};
use crate::domain::change::{Change, Sight};
use crate::domain::dhcp::book::Mark;
use crate::domain::dhcp::review::Finding;
use crate::domain::dhcp::v6::book::Mark6;
use crate::domain::time::{Now, Pace, Wall};
use crate::store::Ledger;

/// Leases that are looked at in one go.
const BATCH: usize = 1000;

/// What is remembered from look to look.
#[derive(Default)]
pub(super) struct Steps {
    pace: Pace,
    /// Ends on disk must be looked through.
    stale: bool,
}

/// How far a walk through the leases of both families has come.
enum Walk {
    Four(Option<Mark>),
    Six(Option<Mark6>),
    Over,
}

impl Leasing {
    /// Looks whether the clock was set, and does what follows.
    pub(super) async fn follow_clock(&self, steps: &mut Steps, ledger: &Ledger, cancel: &CancellationToken) {
        let now = self.now();
        if let Some(by) = steps.pace.step(now) {
            steps.stale = true;
            self.tell_step(by, ledger);
            let moved = {
                let mut core = self.core();
                core.book.read_again(now);
                core.book6.read_again(now);
                core.quarantines_moved(by)
            };
            for some in moved.chunks(BATCH) {
                if let Err(why) = ledger.commit(some.to_vec()).await {
                    tracing::warn!(%why, "quarantines end by the clock as it was before it was set");
                }
            }
        }
        if steps.stale {
            steps.stale = !self.write_ends(ledger, cancel).await;
        }
    }

    fn tell_step(&self, by: i64, ledger: &Ledger) {
        let seconds = by as f64 / 1_000.0;
        let detail = format!("the clock of this machine was set by {seconds:+.3} s; no lease ends earlier by it");
        tracing::warn!("{detail}");
        // without room in the queue the log has told
        let _ = ledger.submit(vec![Change::Seen { what: Sight::ClockStep, object: "clock".to_owned(), detail }].into());
    }

    /// Writes down again when leases end, where that was by another clock; true if all is done.
    async fn write_ends(&self, ledger: &Ledger, cancel: &CancellationToken) -> bool {
        let mut walk = Walk::Four(None);
        while !matches!(walk, Walk::Over) && !cancel.is_cancelled() {
            let (changes, tickets) = {
                let mut core = self.core();
                let changes = core.drifted(self.now(), &mut walk);
                if changes.is_empty() {
                    continue;
                }
                let tickets = core.begin(&changes);
                (changes, tickets)
            };
            let written = ledger.commit(changes).await;
            self.core().settle(tickets);
            if let Err(why) = written {
                tracing::warn!(%why, "the ends of leases could not be written down again; trying again");
                return false;
            }
        }
        !cancel.is_cancelled()
    }

    /// What is to be said of the clock now.
    pub(super) fn clock_finding(&self) -> Option<Finding> {
        let doubt = self.clock.doubt()?;
        let text = match (doubt.behind.as_secs(), doubt.young) {
            (0, _) => "the clock of this machine is not set by others yet; until then, ten minutes at most after its \
                       start, no lease ends"
                .to_owned(),
            (behind, true) => format!(
                "the clock of this machine is {behind} s behind the last commit or the build; until it is set, ten \
                 minutes at most after the machine's start, no lease ends"
            ),
            (behind, false) => format!(
                "the clock of this machine is {behind} s behind the build; time is taken from the clock that does not \
                 step"
            ),
        };
        let fix = "have the clock set (systemd-timesyncd, chrony), or set it: `date -s`";
        Some(Finding::new("clock", text, fix))
    }
}

impl Core {
    /// The next leases whose end on disk is another one than in memory.
    fn drifted(&self, now: Now, walk: &mut Walk) -> Vec<Change> {
        match *walk {
            Walk::Four(after) => {
                let (changes, next) = self.book.drifted(now, after, BATCH);
                *walk = next.map_or(Walk::Six(None), |mark| Walk::Four(Some(mark)));
                changes
            }
            Walk::Six(after) => {
                let (changes, next) = self.book6.drifted(now, after, BATCH);
                *walk = next.map_or(Walk::Over, |mark| Walk::Six(Some(mark)));
                changes
            }
            Walk::Over => Vec::new(),
        }
    }

    /// Quarantines last as long as they were meant to.
    fn quarantines_moved(&self, by: i64) -> Vec<Change> {
        let four = self.book.quarantined().map(|(network, ip, until)| (network, ip.into(), until));
        let six = self.book6.quarantined().map(|(network, ip, until)| (network, ip.into(), until));
        let moved = four.chain(six).map(|(network, ip, until)| Change::Quarantined {
            network: network.to_owned(),
            ip,
            until: Wall(until.0.saturating_add(by)),
            mac: None,
        });
        moved.collect()
    }
}
