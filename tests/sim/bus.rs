//! Hosts that come and go through the bus: the built-in modules give them names and addresses, the final
//! event and the state that it implies are one commit.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lanlord::clock::Clock;
use lanlord::domain::claws::access::Principal;
use lanlord::domain::claws::message::{Submission, Uplink, parse};
use lanlord::domain::claws::xml::decode;
use lanlord::service::bus::builtin::{AddressModule, Enricher, NameModule};
use lanlord::service::bus::{Attach, Bus, Parts, Settings};
use lanlord::service::hosts::Hosts;
use lanlord::service::leasing::Leasing;
use lanlord::service::naming::Naming;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::random::Random;
use crate::world::{DOMAIN, NETWORK};

/// The frontend; it may do anything.
pub const FRONTEND: &str = "frontend";

/// What the outside was told.
#[derive(Debug)]
pub enum Told {
    /// An answer to a submission: its txid and the state that it is in.
    State { txid: String, state: &'static str },
    /// A broadcast, as XML.
    Broadcast(Arc<str>),
}

/// A bus with the built-in modules, over the services of one life.
pub fn service(clock: Arc<dyn Clock>, leasing: &Arc<Leasing>, naming: &Naming, seed: u64) -> (Bus, Hosts) {
    let hosts = Hosts::default();
    let enrichers: Vec<Arc<dyn Enricher>> = vec![
        Arc::new(NameModule::new(Vec::new(), DOMAIN, leasing.clone())),
        Arc::new(AddressModule::new(leasing.clone())),
    ];
    let random = Mutex::new(Random::new(seed));
    let parts = Parts {
        clock,
        random: Arc::new(move |bytes: &mut [u8]| {
            let mut random = random.lock().expect("no holder panics");
            bytes.iter_mut().for_each(|byte| *byte = random.below(256) as u8);
        }),
        hosts: hosts.clone(),
        addresses: leasing.clone(),
        enrichers,
        ballots: vec![leasing.clone(), Arc::new(naming.clone())],
    };
    (Bus::new(Settings::default(), parts), hosts)
}

/// Follows all broadcasts.
pub async fn listen(bus: Bus, told: mpsc::Sender<Told>) {
    let principal = Principal::administrator(FRONTEND);
    let attach = Attach { principal, module: false, frontend: true, takeover: false, after: None };
    let Ok(mut stream) = bus.attach(attach).await else { return };
    while let Some(item) = stream.next().await {
        if told.send(Told::Broadcast(item.line)).await.is_err() {
            return;
        }
    }
}

/// Submits, and waits for the decision.
pub async fn submit(bus: Bus, submission: Submission, told: mpsc::Sender<Told>) {
    let (who, txid) = (Principal::administrator(FRONTEND), submission.txid.clone());
    if let Ok(accepted) = bus.submit(&who, submission, Duration::from_secs(10)).await {
        let _ = told.send(Told::State { txid, state: accepted.description.state }).await;
    }
}

/// A host to be added or removed: its interface is that of a client, or a new one.
pub fn submission(clients: &[Client], number: u64, random: &mut Random) -> Submission {
    let host = random.below(10);
    let payload = if random.chance(25) {
        format!("<host:remove-host><host:hostname>host-{host}</host:hostname></host:remove-host>")
    } else {
        let client = &clients[random.below(clients.len() as u64) as usize];
        let last = if random.chance(50) { client.mac[5] } else { 100 + random.below(20) as u8 };
        format!(
            "<host:add-host><host:hostname>host-{host}</host:hostname>\
             <host:mac-addr name=\"ethernet\">02:00:00:00:00:{last:02x}</host:mac-addr>\
             <lan:vlan name=\"ethernet\">{NETWORK}</lan:vlan><dns:auto-assign-fqdn/></host:add-host>"
        )
    };
    let text = format!(
        "<claws:event xmlns:claws=\"urn:openclaws:ns:claws:1\" xmlns:host=\"urn:openclaws:ns:host:1\" \
         xmlns:lan=\"urn:openclaws:ns:lan:1\" xmlns:dns=\"urn:openclaws:ns:dns:1\" \
         txid=\"000000-0000-0000-{number:012}\"><claws:source>{FRONTEND}</claws:source>\
         <claws:identity>{FRONTEND}</claws:identity>{payload}</claws:event>"
    );
    let root = decode(text.as_bytes()).expect("well formed");
    match parse(&root).expect("as the grammar says") {
        Uplink::Submission(submission) => submission,
        other => panic!("no submission: {other:?}"),
    }
}
