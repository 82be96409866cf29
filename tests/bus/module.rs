//! An external module with moods.

use std::sync::Arc;
use std::time::Duration;

use lanlord::domain::claws::message::{Ack, Action, Applied, Edit, Reject, Update, Uplink};
use lanlord::domain::claws::xml::{Element, decode};
use lanlord::domain::claws::{DNS, HOST, LAN};
use lanlord::service::bus::{Attach, Stream};

use crate::laws::Stage;
use crate::world::Life;

/// Connects, listens, answers, for as long as the life lasts.
pub async fn live(life: Arc<Life>, name: &'static str, calm: bool) {
    let principal = life.bus.principal(name, false);
    let mut after = None;
    loop {
        let attach =
            Attach { principal: principal.clone(), module: true, frontend: false, takeover: life.chance(50), after };
        if let Ok(stream) = life.bus.attach(attach).await {
            after = listen(&life, name, stream, after, calm).await;
        }
        tokio::time::sleep(Duration::from_millis(life.between(10, 2_000))).await;
    }
}

/// Until the stream ends or the mood changes; how far it came.
async fn listen(
    life: &Arc<Life>,
    name: &'static str,
    mut stream: Stream,
    from: Option<u64>,
    calm: bool,
) -> Option<u64> {
    let mut last = from;
    while let Some(item) = stream.next().await {
        let Ok(message) = decode(item.line.as_bytes()) else {
            life.complain("CL-903", format!("unreadable: {}", item.line));
            return last;
        };
        if let Some(seq) = item.id {
            // CL-503
            if last.is_some_and(|last| seq <= last) {
                life.complain("CL-503", format!("{name}: {seq} after {last:?}"));
            }
            last = Some(seq);
        }
        match message.attribute("status") {
            Some("provisional") => {
                if !calm && life.chance(8) {
                    return last;
                }
                tokio::spawn(answer(life.clone(), name, message, calm));
            }
            // a notice, CL-506: there is no transaction behind it, and nothing to acknowledge
            Some("final") if message.children().all(|child| child.ns != HOST) => {}
            Some("final") => {
                seen(life, &message, &[Stage::Final, Stage::Ended]);
                if calm || life.chance(85) {
                    tokio::spawn(ack(life.clone(), name, message));
                }
            }
            Some("cancelled") => seen(life, &message, &[Stage::Cancelled]),
            _ => {}
        }
    }
    last
}

/// I2: what is told to others is on the disk.
fn seen(life: &Life, message: &Element, stages: &[Stage]) {
    let txid = message.attribute("txid").unwrap_or_default();
    life.must_have("I2", txid, stages);
}

fn number(message: &Element, name: &str) -> u64 {
    message.attribute(name).and_then(|text| text.parse().ok()).unwrap_or(0)
}

async fn ack(life: Arc<Life>, name: &'static str, message: Element) {
    tokio::time::sleep(Duration::from_millis(life.between(0, 1_000))).await;
    let result = if life.chance(90) { Applied::Applied } else { Applied::Failed };
    let txid = message.attribute("txid").unwrap_or_default().to_owned();
    let ack = Ack { txid, seq: number(&message, "seq"), result, message: None };
    // it may be too late, or the module has no session any more
    drop(life.bus.hear(&life.bus.principal(name, false), None, Uplink::Ack(ack)).await);
}

async fn answer(life: Arc<Life>, name: &'static str, message: Element, calm: bool) {
    let mood = if calm { 50 } else { life.between(0, 99) };
    let slow = if mood < 10 { 9_000 } else { 300 };
    tokio::time::sleep(Duration::from_millis(life.between(0, slow))).await;
    let principal = life.bus.principal(name, false);
    let txid = message.attribute("txid").unwrap_or_default().to_owned();
    let re = Some(number(&message, "seq"));
    match mood {
        10..20 => {}
        20..25 => {
            let (code, message) = ("no".to_owned(), "not today".to_owned());
            let reject = Reject { txid, re, round: 0, source: None, code, message };
            drop(life.bus.hear(&principal, None, Uplink::Reject(reject)).await);
        }
        _ => {
            let update =
                |edits| Update { txid: txid.clone(), re, round: 0, source: None, version: None, hold_ms: None, edits };
            let first = update(edits(&life, &message));
            let heard = life.bus.hear(&principal, None, Uplink::Update(first.clone())).await;
            // F4: a different one never counts beside one that was heard
            if mood < 40 && heard.is_ok() {
                let mut other = edits(&life, &message);
                other.push(append(Element::new(DNS, "alias").text_of("other.home.arpa")));
                if life.bus.hear(&principal, None, Uplink::Update(update(other))).await.is_ok() {
                    life.complain("F4", format!("{name} answered {txid} twice"));
                }
            }
        }
    }
}

fn append(child: Element) -> Edit {
    Edit { action: Action::Append, block: Element::new(HOST, "add-host").child(child) }
}

/// Names and addresses from a small stock, so that modules and hosts meet.
fn edits(life: &Life, message: &Element) -> Vec<Edit> {
    if message.find(HOST, "add-host").is_none() {
        return Vec::new();
    }
    match life.between(0, 3) {
        0 => Vec::new(),
        1 => vec![append(Element::new(DNS, "fqdn").text_of(format!("n{}.home.arpa", life.between(0, 9))))],
        2 => vec![append(Element::new(DNS, "alias").text_of(format!("n{}.home.arpa", life.between(0, 9))))],
        _ => {
            let address = Element::new(LAN, "address").with("name", "e");
            vec![append(address.text_of(format!("10.77.0.{}", life.between(50, 59))))]
        }
    }
}
