//! What the queue promises to whoever waits on it, over a journal in memory.

use std::sync::Mutex;
use std::sync::atomic::AtomicI64;

use super::*;
use crate::domain::lease::End;
use crate::domain::time::Mono;
use crate::store::memory::Memory;

#[derive(Default)]
struct Still(AtomicI64);

impl Clock for Still {
    fn wall(&self) -> Wall {
        Wall(self.0.fetch_add(1, Ordering::SeqCst))
    }
    fn mono(&self) -> Mono {
        Mono(0)
    }
}

/// Remembers what it was given, batch by batch.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Vec<Entry>>>>);

impl Seen {
    fn batches(&self) -> Vec<Vec<Entry>> {
        self.0.lock().expect("no holder panics").clone()
    }
    fn seqs(&self) -> Vec<u64> {
        self.batches().concat().iter().map(|e| e.seq).collect()
    }
}

impl View for Seen {
    fn apply(&mut self, batch: &[Entry]) {
        self.0.lock().expect("no holder panics").push(batch.to_vec());
    }
}

fn start(memory: &Memory) -> (Ledger, WriterEnd, Seen) {
    let seen = Seen::default();
    let (ledger, end) =
        Ledger::start(memory.clone(), memory.recovered(), vec![Box::new(seen.clone())], Arc::new(Still::default()));
    (ledger, end, seen)
}

fn ended(last: u8) -> Change {
    Change::LeaseEnded { network: "lan".into(), ip: [10, 0, 0, last].into(), end: End::Released }
}

fn removed(id: &str) -> Change {
    Change::HostRemoved { id: id.to_owned() }
}

fn voted(changes: Vec<Change>, vote: impl FnOnce(Wall) -> Result<(), Refusal> + Send + 'static) -> Proposal {
    Proposal { changes, vote: Some(Box::new(vote)), otherwise: Vec::new() }
}

fn no() -> Result<(), Refusal> {
    Err(Refusal { code: "conflict".into(), message: "taken".into() })
}

#[tokio::test]
async fn what_waits_together_becomes_one_batch_in_order_of_submission() {
    let memory = Memory::default();
    let (ledger, _end, seen) = start(&memory);
    let waiting: Vec<_> = (0..10).map(|n| ledger.submit(vec![ended(n), removed("a")].into()).expect("room")).collect();
    for (n, answer) in waiting.into_iter().enumerate() {
        let Ok(Ok(Outcome::Committed(committed))) = answer.await else { panic!("not committed") };
        assert_eq!(committed.seq, 2 * n as u64 + 1);
    }
    let batches = seen.batches();
    assert_eq!(batches.len(), 1, "nobody slept, and yet they shared one row");
    assert_eq!(seen.seqs(), (1..=20).collect::<Vec<_>>());
    assert!(batches[0].iter().all(|e| e.at == batches[0][0].at), "a batch is committed at one time");
    assert_eq!(ledger.head(), 20);
}

#[tokio::test]
async fn a_batch_takes_in_no_more_than_its_bound_and_splits_nothing() {
    let memory = Memory::default();
    let (ledger, _end, seen) = start(&memory);
    let many: Vec<Change> = (0..BATCH_CHANGES + 1).map(|_| removed("a")).collect();
    let first = ledger.submit(vec![removed("b")].into()).expect("room");
    let second = ledger.submit(many.into()).expect("room");
    let third = ledger.submit(vec![removed("c")].into()).expect("room");
    for answer in [first, second, third] {
        answer.await.expect("answered").expect("committed");
    }
    let sizes: Vec<usize> = seen.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [BATCH_CHANGES + 2, 1]);
}

#[tokio::test]
async fn too_many_changes_are_refused_before_they_queue() {
    let (ledger, _end, seen) = start(&Memory::default());
    let many: Vec<Change> = (0..PROPOSAL_CHANGES + 1).map(|_| removed("a")).collect();
    assert_eq!(ledger.commit(many).await, Err(CommitError::TooLarge(PROPOSAL_CHANGES + 1)));
    let long = Change::Audit {
        who: String::new(),
        action: String::new(),
        object: String::new(),
        detail: "x".repeat(PROPOSAL_BYTES),
    };
    assert!(matches!(ledger.commit(vec![long]).await, Err(CommitError::TooLong(_))));
    assert_eq!(ledger.commit(vec![removed("b")]).await.map(|c| c.seq), Ok(1));
    assert_eq!(seen.seqs(), [1]);
}

#[tokio::test]
async fn a_full_queue_refuses_and_loses_nothing_that_it_took() {
    let (ledger, _end, seen) = start(&Memory::default());
    let waiting: Vec<_> = (0..QUEUE).map(|_| ledger.submit(vec![removed("a")].into()).expect("room")).collect();
    assert!(matches!(ledger.submit(vec![removed("b")].into()), Err(CommitError::Full)));
    for answer in waiting {
        answer.await.expect("answered").expect("committed");
    }
    assert_eq!(seen.seqs().len(), QUEUE);
}

#[tokio::test]
async fn a_vote_sees_every_earlier_change_that_it_claims_applied() {
    let (ledger, _end, seen) = start(&Memory::default());
    let first = ledger.submit(vec![removed("a")].into()).expect("room");
    let unrelated = ledger.submit(voted(vec![removed("b")], |_| Ok(()))).expect("room");
    let watched = seen.clone();
    let contender = ledger
        .submit(voted(vec![removed("a")], move |_| if watched.seqs().contains(&1) { no() } else { Ok(()) }))
        .expect("room");
    let last = ledger.submit(vec![removed("c")].into()).expect("room");
    assert!(matches!(first.await, Ok(Ok(Outcome::Committed(_)))));
    assert!(matches!(unrelated.await, Ok(Ok(Outcome::Committed(Committed { seq: 2, .. })))));
    assert!(matches!(contender.await, Ok(Ok(Outcome::Refused { committed: None, .. }))));
    assert!(matches!(last.await, Ok(Ok(Outcome::Committed(Committed { seq: 3, .. })))));
    let sizes: Vec<usize> = seen.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [2, 1], "the claim cut the batch, and only there");
}

#[tokio::test]
async fn the_loser_of_a_vote_is_undone_alone_and_its_otherwise_is_written() {
    let (ledger, _end, seen) = start(&Memory::default());
    let before = ledger.submit(vec![removed("a")].into()).expect("room");
    let mut proposal = voted(vec![removed("b"), ended(1)], |_| no());
    proposal.otherwise = vec![removed("instead")];
    let loser = ledger.submit(proposal).expect("room");
    let panics = ledger.submit(voted(vec![removed("c")], |_| panic!("a bug in a vote"))).expect("room");
    let after = ledger.submit(vec![removed("d")].into()).expect("room");
    before.await.expect("answered").expect("committed");
    let Ok(Ok(Outcome::Refused { refusal, committed: Some(committed) })) = loser.await else { panic!("not refused") };
    assert_eq!((refusal.code.as_str(), committed.seq), ("conflict", 2));
    assert!(matches!(panics.await, Ok(Ok(Outcome::Refused { committed: None, .. }))));
    assert!(matches!(after.await, Ok(Ok(Outcome::Committed(Committed { seq: 3, .. })))));
    let changes: Vec<Change> = seen.batches().concat().into_iter().map(|e| e.change).collect();
    assert_eq!(changes, [removed("a"), removed("instead"), removed("d")]);
}

/// I2: nothing is acknowledged before it is committed.
#[tokio::test]
async fn a_refusing_disk_acknowledges_nothing_and_leaves_the_views_untouched() {
    let memory = Memory::default();
    let (ledger, _end, seen) = start(&memory);
    memory.refuse(true);
    assert!(matches!(ledger.commit(vec![removed("a")]).await, Err(CommitError::Port(PortError::Refused(_)))));
    assert_eq!((seen.seqs().len(), ledger.head(), memory.recovered().head), (0, 0, 0));
    memory.refuse(false);
    assert_eq!(ledger.commit(vec![removed("b")]).await.map(|c| c.seq), Ok(1), "the next batch tries again");
}

/// A disk that is full, and that says so when told to.
struct SlowlyRefusing(Arc<tokio::sync::Notify>);

impl Port for SlowlyRefusing {
    async fn append(&mut self, batch: Batch) -> Result<(), PortError> {
        if batch.entries.iter().any(|e| e.change == removed("too much")) {
            self.0.notified().await;
            return Err(PortError::Refused("the disk is full".into()));
        }
        Ok(())
    }
    async fn fold(&mut self) -> Result<bool, PortError> {
        Ok(false)
    }
    async fn close(&mut self) -> Result<(), PortError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_failed_batch_fails_what_was_decided_upon_it_newest_first() {
    let (told, seen) = (Arc::new(tokio::sync::Notify::new()), Seen::default());
    let port = SlowlyRefusing(told.clone());
    let clock = Arc::new(Still::default());
    let (ledger, _end) = Ledger::start(port, Recovered::default(), vec![Box::new(seen.clone())], clock);
    let order = Arc::new(Mutex::new(Vec::new()));
    let submit = |name: &'static str, changes: Vec<Change>| {
        let (order, answer) = (order.clone(), ledger.submit(changes.into()).expect("room"));
        tokio::spawn(async move {
            let outcome = answer.await.expect("answered");
            order.lock().expect("no holder panics").push(name);
            outcome
        })
    };
    let failing = submit("failing", vec![removed("too much"), ended(1)]);
    tokio::task::yield_now().await; // the writer has it now; the rest waits
    let dependent = submit("dependent", vec![removed("a"), ended(1)]);
    let independent = submit("independent", vec![ended(2)]);
    let transitive = submit("transitive", vec![removed("a")]);
    tokio::task::yield_now().await;
    told.notify_one();
    for task in [failing, dependent, transitive] {
        assert!(matches!(task.await.expect("no panic"), Err(CommitError::Port(_))));
    }
    assert!(matches!(independent.await.expect("no panic"), Ok(Outcome::Committed(Committed { seq: 1, .. }))));
    assert_eq!(*order.lock().expect("no holder panics"), ["transitive", "dependent", "failing", "independent"]);
    assert_eq!(seen.seqs(), [1]);
}

/// A disk whose fsync failed.
struct Broken;

impl Port for Broken {
    async fn append(&mut self, _: Batch) -> Result<(), PortError> {
        Err(PortError::Fatal("fsync failed".into()))
    }
    async fn fold(&mut self) -> Result<bool, PortError> {
        Ok(false)
    }
    async fn close(&mut self) -> Result<(), PortError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_failed_fsync_ends_the_writer_and_is_never_retried() {
    let seen = Seen::default();
    let clock = Arc::new(Still::default());
    let (ledger, end) = Ledger::start(Broken, Recovered::default(), vec![Box::new(seen.clone())], clock);
    let lost = ledger.commit(vec![removed("a")]).await;
    assert_eq!(lost, Err(CommitError::Port(PortError::Fatal("fsync failed".into()))));
    assert_eq!(end.await, Ok(Err(PortError::Fatal("fsync failed".into()))));
    assert_eq!(ledger.commit(vec![removed("b")]).await, Err(CommitError::Stopping));
    assert!(seen.seqs().is_empty());
}

#[tokio::test]
async fn views_hold_the_batch_before_its_waiters_are_released_and_subscribers_come_last() {
    let (ledger, _end, seen) = start(&Memory::default());
    let mut published = ledger.subscribe();
    for n in 1..=100 {
        let committed = ledger.commit(vec![ended(1)]).await.expect("committed");
        assert_eq!((committed.seq, ledger.head()), (n, n));
        assert_eq!(seen.seqs().last(), Some(&n), "the view has it when the waiter wakes");
    }
    for n in 1..=100 {
        assert_eq!(published.recv().await.expect("not lagged")[0].seq, n);
    }
}

#[tokio::test]
async fn stop_commits_what_waits_and_refuses_what_comes_later() {
    let memory = Memory::default();
    let (ledger, end, seen) = start(&memory);
    let waiting: Vec<_> = (0..1000).map(|n| ledger.submit(vec![ended(n as u8)].into()).expect("room")).collect();
    ledger.stop().await;
    for answer in waiting {
        answer.await.expect("answered").expect("committed");
    }
    assert_eq!(end.await, Ok(Ok(())));
    assert_eq!(ledger.commit(vec![ended(1)]).await, Err(CommitError::Stopping));
    assert_eq!((seen.seqs().len(), memory.recovered().head), (1000, 1000));
}

#[tokio::test]
async fn a_restart_feeds_the_views_what_was_committed_and_goes_on_counting() {
    let memory = Memory::default();
    let (ledger, _end, before) = start(&memory);
    ledger.commit(vec![ended(1), removed("a")]).await.expect("committed");
    ledger.stop().await;
    let (ledger, _end, after) = start(&memory);
    assert_eq!(after.batches().concat(), before.batches().concat());
    assert_eq!(ledger.commit(vec![ended(2)]).await.map(|c| c.seq), Ok(3));
}
