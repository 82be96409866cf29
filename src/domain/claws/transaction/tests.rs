use super::*;

fn member(name: &str, role: Role) -> Member {
    Member { name: name.to_owned(), policy: Policy { role, ..Policy::default() }, absent: false }
}

fn update() -> Reply {
    Reply::Update { edits: Vec::new(), hold_ms: None }
}

fn start(members: Vec<Member>) -> Collecting {
    Collecting::start(members, Mono(10_000), None, Mono(0))
}

#[test]
fn collecting_ends_once_every_frozen_member_has_answered() {
    let mut tx = start(vec![member("a", Role::Optional), member("b", Role::Required)]);
    assert_eq!(tx.answer("a", update(), Mono(1)), Ok(true));
    assert_eq!(tx.decide(Mono(1)), None);
    assert_eq!(tx.answer("b", update(), Mono(2)), Ok(true));
    assert!(matches!(tx.decide(Mono(2)), Some(Decision::Merge(answers)) if answers.len() == 2));
    assert_eq!(tx.decide(Mono(3)), None, "decided once");
}

#[test]
fn an_optional_module_is_given_up_at_its_timeout_a_required_one_cancels() {
    let mut tx = start(vec![member("a", Role::Optional)]);
    assert_eq!((tx.next(), tx.decide(Mono(4_999))), (Mono(5_000), None));
    assert!(matches!(tx.decide(Mono(5_000)), Some(Decision::Merge(answers)) if answers.is_empty()));
    assert_eq!(tx.outcomes()[0].result, "timed-out");
    let mut tx = start(vec![member("a", Role::Required)]);
    assert!(matches!(tx.decide(Mono(5_000)), Some(Decision::Cancel { reason, .. }) if reason == "timed-out"));
}

#[test]
fn a_module_that_goes_away_is_not_waited_for() {
    let mut tx = start(vec![member("a", Role::Optional)]);
    tx.gone("a");
    assert!(matches!(tx.decide(Mono(1)), Some(Decision::Merge(_))));
    let mut tx = start(vec![member("a", Role::Required), member("b", Role::Optional)]);
    tx.gone("a");
    let decision = tx.decide(Mono(1));
    assert!(matches!(decision, Some(Decision::Cancel { reason, .. }) if reason == "module-unavailable"));
}

#[test]
fn an_absent_required_module_cancels_at_once_unless_it_has_grace() {
    let absent = |role| Member { absent: true, ..member("a", role) };
    let mut tx = start(vec![absent(Role::Required)]);
    assert!(matches!(tx.decide(Mono(0)), Some(Decision::Cancel { .. })));
    let grace = Some(Duration::from_secs(1));
    let mut tx = Collecting::start(vec![absent(Role::Required)], Mono(8_000), grace, Mono(0));
    assert_eq!((tx.decide(Mono(2_000)), tx.next()), (None, Mono(8_000)));
    tx.arrived("a", Mono(3_000));
    assert_eq!(tx.answer("a", update(), Mono(4_000)), Ok(true));
    let mut tx = Collecting::start(vec![absent(Role::Optional)], Mono(8_000), grace, Mono(0));
    assert!(matches!(tx.decide(Mono(1_000)), Some(Decision::Merge(_))));
}

#[test]
fn an_update_counts_once_and_a_different_one_or_a_late_one_never() {
    let mut tx = start(vec![member("a", Role::Optional), member("b", Role::Optional)]);
    assert_eq!(tx.answer("a", update(), Mono(1)), Ok(true));
    assert_eq!(tx.answer("a", update(), Mono(2)), Ok(false));
    let other = Reply::Reject { code: "x".to_owned(), message: String::new() };
    assert_eq!(tx.answer("a", other, Mono(3)), Err(Unheard::AlreadyAnswered));
    assert_eq!(tx.answer("stranger", update(), Mono(3)), Err(Unheard::NotMember));
    assert!(tx.decide(Mono(9_000)).is_some());
    assert_eq!(tx.answer("b", update(), Mono(9_001)), Err(Unheard::RoundClosed));
}

#[test]
fn only_a_module_with_veto_can_refuse() {
    let reject = || Reply::Reject { code: "no-licence".to_owned(), message: "seats are used up".to_owned() };
    let mut veto = member("a", Role::Optional);
    veto.policy.veto = true;
    let mut tx = start(vec![veto, member("b", Role::Optional)]);
    assert_eq!(tx.answer("a", reject(), Mono(1)), Ok(true));
    assert!(matches!(tx.decide(Mono(1)), Some(Decision::Cancel { reason, .. }) if reason == "no-licence"));
    let mut tx = start(vec![member("a", Role::Optional)]);
    assert_eq!(tx.answer("a", reject(), Mono(1)), Ok(true));
    assert!(matches!(tx.decide(Mono(1)), Some(Decision::Merge(_))));
    assert_eq!(tx.outcomes()[0].result, "rejected");
}

#[test]
fn an_answer_whose_reservation_ran_out_counts_as_timed_out() {
    let mut tx = start(vec![member("a", Role::Optional), member("b", Role::Optional)]);
    let held = Reply::Update { edits: Vec::new(), hold_ms: Some(1_000) };
    assert_eq!(tx.answer("a", held, Mono(0)), Ok(true));
    assert_eq!(tx.answer("b", update(), Mono(2_000)), Ok(true));
    assert!(matches!(tx.decide(Mono(2_000)), Some(Decision::Merge(answers)) if answers.len() == 1));
}

#[test]
fn it_fails_if_an_applier_says_so_or_stays_silent() {
    let names = ["a".to_owned(), "b".to_owned()];
    let mut tx = Applying::start(&names, Mono(30_000));
    assert!(tx.report("a", Applied::Applied, "") && !tx.report("c", Applied::Applied, ""));
    assert_eq!(tx.ended(Mono(1)), None);
    assert!(tx.ended(Mono(30_000)).unwrap().0);
    tx.report("b", Applied::Ignored, "");
    assert!(!tx.ended(Mono(1)).unwrap().0);
    assert!(!Applying::start(&[], Mono(5)).ended(Mono(0)).unwrap().0);
}
