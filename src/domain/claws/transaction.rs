//! One transaction as a state machine without IO: answers, departures and ticks of the monotonic clock go
//! in, decisions come out. Owns the failure policy (CL-3xx). Refuses to know sessions, journals and XML.

use std::time::Duration;

use super::merge::Answer;
use super::message::{Applied, Edit};
use crate::domain::change::TxOutcome;
use crate::domain::time::Mono;

/// Longest wait for one module.
pub const WAIT_CAP: Duration = Duration::from_secs(30);
/// Longest life of a transaction until it is decided.
pub const DEADLINE_CAP: Duration = Duration::from_secs(60);
/// Time of a whole transaction, unless configured otherwise.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// How much a transaction depends on a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// No decision without its answer.
    Required,
    Optional,
    /// Sees the final event only.
    Observer,
}

/// What follows if a module is not connected when it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDown {
    Skip,
    Cancel,
    /// Until the transaction's deadline.
    Wait,
}

/// What the operator decided about one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub role: Role,
    /// From broadcast to answer.
    pub timeout: Duration,
    /// Whether silence ends the transaction; `None`: only that of a required module.
    pub cancel_on_timeout: Option<bool>,
    /// `None`: skip an optional module, cancel without a required one.
    pub on_down: Option<OnDown>,
    /// Whether its reject ends the transaction.
    pub veto: bool,
    pub priority: u32,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy {
            role: Role::Optional,
            timeout: Duration::from_secs(5),
            cancel_on_timeout: None,
            on_down: None,
            veto: false,
            priority: 100,
        }
    }
}

impl Policy {
    fn cancels_on_timeout(&self) -> bool {
        self.cancel_on_timeout.unwrap_or(self.role == Role::Required)
    }

    fn down(&self) -> OnDown {
        self.on_down.unwrap_or(if self.role == Role::Required { OnDown::Cancel } else { OnDown::Skip })
    }
}

/// A module that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub policy: Policy,
    /// Not connected when the set was frozen.
    pub absent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    Waiting { until: Mono },
    Updated { edits: Vec<Edit>, hold: Option<Mono> },
    Rejected { code: String, message: String },
    TimedOut,
    Gone,
    Denied(String),
}

/// What a module says to a provisional event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Update {
        edits: Vec<Edit>,
        hold_ms: Option<u32>,
    },
    Reject {
        code: String,
        message: String,
    },
    /// An update that touched what it may not.
    Denied(String),
}

/// Why a reply does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    NotMember,
    AlreadyAnswered,
    RoundClosed,
}

/// What follows once collecting is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Merge these and try to commit.
    Merge(Vec<Answer>),
    Cancel {
        reason: String,
        message: String,
    },
}

/// A transaction between J1 and J2.
#[derive(Debug, Clone)]
pub struct Collecting {
    members: Vec<(Member, Standing, Option<Reply>)>,
    deadline: Mono,
    cancelled: Option<(String, String)>,
    closed: bool,
}

impl Collecting {
    /// Freezes the set of members (CL-126). An absent optional member is not waited for unless it gets
    /// `grace` to come back; an absent required one ends the transaction, unless it gets that grace until
    /// the deadline.
    pub fn start(members: Vec<Member>, deadline: Mono, grace: Option<Duration>, now: Mono) -> Collecting {
        let mut this = Collecting { members: Vec::new(), deadline, cancelled: None, closed: false };
        for member in members {
            let wait = now.plus(member.policy.timeout.min(WAIT_CAP));
            let down = member.policy.down();
            let standing = match (member.absent, grace, down) {
                (false, ..) => Standing::Waiting { until: wait },
                (true, _, OnDown::Wait) | (true, Some(_), OnDown::Cancel) => Standing::Waiting { until: deadline },
                (true, Some(grace), OnDown::Skip) => Standing::Waiting { until: now.plus(grace) },
                (true, None, _) => Standing::Gone,
            };
            if standing == Standing::Gone && down == OnDown::Cancel {
                this.lost(&member, "module-unavailable", "is not connected");
            }
            this.members.push((member, standing, None));
        }
        this
    }

    /// Names of the members.
    pub fn names(&self) -> Vec<String> {
        self.members.iter().map(|(member, ..)| member.name.clone()).collect()
    }

    /// True if that module may answer at all.
    pub fn has(&self, module: &str) -> bool {
        self.members.iter().any(|(member, ..)| member.name == module)
    }

    /// Starts the waiting anew: the broadcast left now.
    pub fn broadcast(&mut self, now: Mono) {
        for (member, standing, _) in &mut self.members {
            if let (Standing::Waiting { until }, false) = (standing, member.absent) {
                *until = now.plus(member.policy.timeout.min(WAIT_CAP));
            }
        }
    }

    /// A member that was absent is there: from now on it has its usual time.
    pub fn arrived(&mut self, module: &str, now: Mono) {
        for (member, standing, _) in &mut self.members {
            if let (true, Standing::Waiting { until }) = (member.name == module && member.absent, standing) {
                *until = now.plus(member.policy.timeout.min(WAIT_CAP));
                member.absent = false;
            }
        }
    }

    /// Takes an answer in. The same answer again is heard again (CL-513); `Ok(false)` tells it apart.
    pub fn answer(&mut self, module: &str, reply: Reply, now: Mono) -> Result<bool, Unheard> {
        let closed = self.closed || self.cancelled.is_some();
        let Some((member, standing, heard)) = self.members.iter_mut().find(|(m, ..)| m.name == module) else {
            return Err(Unheard::NotMember);
        };
        if let Some(heard) = heard {
            return if *heard == reply { Ok(false) } else { Err(Unheard::AlreadyAnswered) };
        }
        match standing {
            Standing::Waiting { until } if !closed && now <= *until && now <= self.deadline => {}
            _ => return Err(Unheard::RoundClosed),
        }
        let member = member.clone();
        *standing = match &reply {
            Reply::Update { edits, hold_ms } => Standing::Updated {
                edits: edits.clone(),
                hold: hold_ms.map(|ms| now.plus(Duration::from_millis(u64::from(ms)))),
            },
            Reply::Reject { code, message } => Standing::Rejected { code: code.clone(), message: message.clone() },
            Reply::Denied(why) => Standing::Denied(why.clone()),
        };
        *heard = Some(reply.clone());
        match reply {
            Reply::Reject { code, message } if member.policy.veto => {
                let text = format!("{}: {message}", member.name);
                self.cancelled.get_or_insert((code, text));
            }
            Reply::Denied(why) if member.policy.cancels_on_timeout() => {
                self.lost(&member, "denied", &format!("answered beyond its rights: {why}"));
            }
            _ => {}
        }
        Ok(true)
    }

    /// A module's session ended.
    pub fn gone(&mut self, module: &str) {
        let Some((member, standing, _)) = self.members.iter_mut().find(|(m, ..)| m.name == module) else { return };
        if matches!(standing, Standing::Waiting { .. }) && !member.absent {
            *standing = Standing::Gone;
            let member = member.clone();
            if member.policy.down() != OnDown::Skip {
                self.lost(&member, "module-unavailable", "went away");
            }
        }
    }

    /// When [`Collecting::decide`] is to be asked next, if nothing else happens.
    pub fn next(&self) -> Mono {
        let waits = self.members.iter().filter_map(|(_, standing, _)| match standing {
            Standing::Waiting { until } => Some(*until),
            _ => None,
        });
        waits.fold(self.deadline, Mono::min)
    }

    /// CL-311: a decision once every member has answered or run out of time. Asked again, it stays silent.
    pub fn decide(&mut self, now: Mono) -> Option<Decision> {
        if self.closed {
            return None;
        }
        let over = now >= self.deadline;
        for i in 0..self.members.len() {
            let (member, standing, _) = &mut self.members[i];
            let late = match standing {
                Standing::Waiting { until } => over || now >= *until,
                // CL-307: the module's own reservation has run out
                Standing::Updated { hold: Some(hold), .. } => now >= *hold,
                _ => false,
            };
            if late {
                *standing = Standing::TimedOut;
                let member = member.clone();
                if member.policy.cancels_on_timeout() {
                    self.lost(&member, "timed-out", "did not answer in time");
                }
            }
        }
        if let Some((reason, message)) = self.cancelled.clone() {
            self.closed = true;
            return Some(Decision::Cancel { reason, message });
        }
        if self.members.iter().any(|(_, standing, _)| matches!(standing, Standing::Waiting { .. })) {
            return None;
        }
        self.closed = true;
        let answers = self.members.iter().filter_map(|(member, standing, _)| match standing {
            Standing::Updated { edits, .. } => {
                Some(Answer { module: member.name.clone(), priority: member.policy.priority, edits: edits.clone() })
            }
            _ => None,
        });
        Some(Decision::Merge(answers.collect()))
    }

    /// How each member fared so far.
    pub fn outcomes(&self) -> Vec<TxOutcome> {
        let one = |(member, standing, _): &(Member, Standing, Option<Reply>)| {
            let (result, detail) = match standing {
                Standing::Waiting { .. } => ("skipped", String::new()),
                Standing::Updated { edits, .. } if edits.is_empty() => ("empty", String::new()),
                Standing::Updated { .. } => ("updated", String::new()),
                Standing::Rejected { code, message } => ("rejected", format!("{code}: {message}")),
                Standing::TimedOut => ("timed-out", String::new()),
                Standing::Gone => ("gone", String::new()),
                Standing::Denied(why) => ("denied", why.clone()),
            };
            TxOutcome { module: member.name.clone(), result: result.to_owned(), detail, late: false }
        };
        self.members.iter().map(one).collect()
    }

    /// There will be no decision without this member; the first such loss is the reason.
    fn lost(&mut self, member: &Member, reason: &str, what: &str) {
        self.cancelled.get_or_insert((reason.to_owned(), format!("{} {what}", member.name)));
    }
}

/// A transaction between J2 and J3: who applies, and what they said.
#[derive(Debug, Clone)]
pub struct Applying {
    reports: Vec<(String, Option<(Applied, String)>)>,
    deadline: Mono,
}

impl Applying {
    /// Waits for these until the deadline.
    pub fn start(appliers: &[String], deadline: Mono) -> Applying {
        Applying { reports: appliers.iter().map(|name| (name.clone(), None)).collect(), deadline }
    }

    /// Takes a report in; the first one of a module counts. False for a module that is not asked.
    pub fn report(&mut self, module: &str, applied: Applied, message: &str) -> bool {
        let Some((_, report)) = self.reports.iter_mut().find(|(name, _)| name == module) else { return false };
        report.get_or_insert_with(|| (applied, message.to_owned()));
        true
    }

    /// When waiting ends at the latest.
    pub fn deadline(&self) -> Mono {
        self.deadline
    }

    /// The outcomes and whether it failed, once all have spoken or the time is over (CL-310).
    pub fn ended(&self, now: Mono) -> Option<(bool, Vec<TxOutcome>)> {
        if now < self.deadline && self.reports.iter().any(|(_, report)| report.is_none()) {
            return None;
        }
        let outcome = |(name, report): &(String, Option<(Applied, String)>)| {
            let (result, detail) = match report {
                Some((applied, message)) => (applied.word(), message.clone()),
                None => ("timed-out", "did not report in time".to_owned()),
            };
            TxOutcome { module: name.clone(), result: result.to_owned(), detail, late: false }
        };
        let outcomes: Vec<TxOutcome> = self.reports.iter().map(outcome).collect();
        Some((outcomes.iter().any(|o| o.result == "failed" || o.result == "timed-out"), outcomes))
    }
}

#[cfg(test)]
mod tests;
