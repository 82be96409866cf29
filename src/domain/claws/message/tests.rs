use super::*;
use crate::domain::claws::xml::{decode, decode_assuming_prefixes};
use crate::domain::claws::{CLAWS, DNS, Fault, HOST};

const M1: &str = include_str!("../../../../tests/golden/claws/m1-submission.xml");
const M2: &str = include_str!("../../../../tests/golden/claws/m2-provisional.xml");
const M3: &str = include_str!("../../../../tests/golden/claws/m3-dns-update.xml");
const M4: &str = include_str!("../../../../tests/golden/claws/m4-address-update.xml");
const M5: &str = include_str!("../../../../tests/golden/claws/m5-final.xml");
const PROGRESS: [&str; 4] = [
    include_str!("../../../../tests/golden/claws/m6-progress-0.xml"),
    include_str!("../../../../tests/golden/claws/m7-progress-33.xml"),
    include_str!("../../../../tests/golden/claws/m8-progress-66.xml"),
    include_str!("../../../../tests/golden/claws/m9-progress-100.xml"),
];

fn strict(text: &str) -> Result<Uplink, Fault> {
    decode(text.as_bytes()).and_then(|root| parse(&root))
}

fn lenient(text: &str) -> Result<Uplink, Fault> {
    decode_assuming_prefixes(text.as_bytes()).and_then(|root| parse(&root))
}

fn repaired(text: &str) -> Result<Uplink, Fault> {
    lenient(&text.replace("</claws:event>", "</claws:event-update>"))
}

/// Section 3 of the claws reference: the sketch's messages as sent, with assumed prefixes, and repaired.
#[test]
fn the_sketchs_messages_are_judged_as_the_table_says() {
    let refused = |result: Result<Uplink, Fault>| result.map_err(|fault| (fault.code, fault.place)).unwrap_err();
    let undeclared = ("undeclared-prefix", Some((1, 2)));
    for text in [M1, M2, M5].into_iter().chain(PROGRESS) {
        assert_eq!(refused(strict(text)), undeclared);
    }
    assert_eq!(refused(strict(M3)), ("xml-malformed", Some((10, 1))));
    assert_eq!(refused(strict(M4)), ("xml-malformed", Some((11, 1))));
    assert_eq!(refused(lenient(M3)), ("xml-malformed", Some((10, 1))));
    assert_eq!(refused(lenient(M4)), ("xml-malformed", Some((11, 1))));
    assert_eq!(refused(lenient(M2)), ("server-attribute", None));
    assert_eq!(refused(lenient(M5)), ("server-attribute", None));
    assert!(matches!(lenient(M1), Ok(Uplink::Submission(_))));
    assert!(PROGRESS.iter().all(|text| matches!(lenient(text), Ok(Uplink::Progress(_)))));
}

#[test]
fn the_sketchs_submission_and_updates_say_what_they_say() {
    let Ok(Uplink::Submission(submission)) = lenient(M1) else { panic!("M1 is a submission") };
    assert_eq!((submission.source.as_str(), submission.identity.as_deref()), ("Web Client", Some("Alice")));
    assert!(submission.payload.is(HOST, "add-host") && submission.payload.children().count() == 8);
    let Ok(Uplink::Update(update)) = repaired(M3) else { panic!("M3 is an update") };
    assert_eq!(update.source.as_deref(), Some("DNS Management Module"));
    let actions: Vec<Action> = update.edits.iter().map(|edit| edit.action).collect();
    assert_eq!(actions, [Action::Append, Action::Remove]);
    assert!(update.edits[1].block.find(DNS, "auto-assign-fqdn").is_some());
    assert!(update.edits[0].block.attributes.is_empty());
    let Ok(Uplink::Update(update)) = repaired(M4) else { panic!("M4 is an update") };
    let option = update.edits[0].block.children().last().unwrap();
    assert_eq!((option.attribute("number"), option.text().as_str()), (Some("252"), "\\n"));
}

#[test]
fn progress_comes_out_as_it_came_in_with_a_timestamp() {
    let Ok(Uplink::Progress(progress)) = lenient(PROGRESS[1]) else { panic!("M7 is progress") };
    assert_eq!((progress.percent, progress.correlation_id.as_str()), (33, "000000-0000-0000-000000000000"));
    assert!(progress.message.as_deref().is_some_and(|text| text.contains('\n')), "CL-211: kept as sent");
    let out = progress_out(&progress, crate::domain::time::Wall(1_362_663_927_554));
    let sent = decode_assuming_prefixes(PROGRESS[1].as_bytes()).unwrap();
    assert_eq!(out, sent.with("timestamp", "2013-03-07T13:45:27.554000Z"));
}

#[test]
fn what_the_grammar_does_not_know_is_refused() {
    let event = |inside: &str| {
        format!(
            "<claws:event txid='000000-0000-0000-000000000000'><claws:source>s</claws:source>\
             <claws:identity>i</claws:identity>{inside}</claws:event>"
        )
    };
    let code = |text: &str| lenient(text).map(|_| "ok").unwrap_or_else(|fault| fault.code);
    assert_eq!(code(&event("<host:add-host/>")), "ok");
    assert_eq!(code(&event("<claws:grant/>")), "ok");
    for inside in [
        "",
        "<host:a/><host:b/>",
        "text<host:a/>",
        "<host:a update-action='append'/>",
        "<host:a><host:b update-action='append'/></host:a>",
        "<host:a><claws:source/></host:a>",
        "<claws:source>again</claws:source><host:a/>",
        "<claws:welcome/>",
    ] {
        assert_eq!(code(&event(inside)), "grammar", "{inside}");
    }
    assert_eq!(code(&event("<host:a/>").replace("txid=", "seq='1' txid=")), "server-attribute");
    assert_eq!(code(&event("<host:a/>").replace("000000-", "xyz-")), "bad-txid");
    assert_eq!(code("<claws:hello/>"), "use-stream");
    assert_eq!(
        code("<claws:event-update txid='000000-0000-0000-000000000000'><host:a/></claws:event-update>"),
        "grammar"
    );
    assert_eq!(code("<claws:ack txid='000000-0000-0000-000000000000' seq='1' result='done'/>"), "grammar");
    assert_eq!(code("<host:add-host/>"), "grammar");
}

#[test]
fn a_txid_is_a_uuid_or_the_sketchs_form() {
    for good in
        ["000000-0000-0000-000000000000", "01890a5d-ac96-774b-bcce-b302099a8057", "ABCDEF-0000-0000-00000000000F"]
    {
        assert!(is_txid(good), "{good}");
    }
    for bad in ["", "00000-0000-0000-000000000000", "000000-0000-0000-00000000000g", "000000000000000000000000000000"] {
        assert!(!is_txid(bad), "{bad}");
    }
}

#[test]
fn subscriptions_match_by_payload_descendant_and_phase() {
    let text = "<claws:subscribe id='d'><claws:match event='add-host' has='auto-assign-fqdn' \
                has-ns='urn:openclaws:ns:dns:1' phases='final provisional'/></claws:subscribe>";
    let Ok(Uplink::Subscribe(subscription)) = lenient(text) else { panic!("a subscription") };
    let wish = Element::new(HOST, "add-host").child(Element::new(DNS, "auto-assign-fqdn"));
    let one = &subscription.matches[0];
    assert!(one.accepts(&wish, Phase::Provisional) && !one.accepts(&wish, Phase::Cancelled));
    assert!(!one.accepts(&Element::new(HOST, "add-host"), Phase::Final));
    assert!(Match::default().accepts(&wish, Phase::Cancelled));
}

#[test]
fn a_broadcast_carries_the_servers_attributes_and_the_payload_unchanged() {
    let Ok(Uplink::Submission(submission)) = lenient(M1) else { panic!("M1 is a submission") };
    let broadcast = Broadcast {
        txid: &submission.txid,
        phase: Phase::Provisional,
        timestamp: crate::domain::time::Wall(1_362_663_927_554),
        seq: 7,
        deadline_ms: None,
        reason: None,
        source: &submission.source,
        identity: "Alice",
        correlation_id: None,
        outcomes: &[],
        payload: Some(submission.payload.clone()),
    };
    let out = broadcast.element();
    let expected = decode_assuming_prefixes(M2.as_bytes()).unwrap();
    assert_eq!(out.nodes, expected.nodes, "M2");
    assert_eq!((out.attribute("status"), out.attribute("seq")), (Some("provisional"), Some("7")));
    assert!(out.is(CLAWS, "event"));
}
