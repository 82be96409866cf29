//! The documented client takes part, is killed, and comes back.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};

use super::bench::{Bench, DNS_MODULE, GUARD, add_host, settings, start, txid_of};
use crate::domain::claws::DNS;
use crate::domain::claws::xml::Element;
use crate::store::memory::Memory;

const WISH: &str = "<dns:auto-assign-fqdn/>";

fn client(bench: &Bench, state: &Path) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/claws_module.py");
    Command::new("python3")
        .arg(script)
        .arg(format!("http://{}", bench.address))
        .arg(state)
        .arg("roamer.example.com")
        .env("CLAWS_TOKEN", DNS_MODULE)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 is installed")
}

async fn connected(bench: &Bench) {
    let waiting = async {
        while bench.bus.live_modules().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(GUARD, waiting).await.expect("the client connects");
}

async fn submit(bench: &Bench, n: u32) {
    let body = add_host(n, &format!("pc{n}"), &format!("02:00:00:00:03:0{n}"), WISH);
    assert_eq!(bench.post("Web Client", &body).await.status, 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_module_names_hosts_and_records_each_final_event_once() {
    let bench = start(settings(), false, Memory::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("names.db");
    let mut child = client(&bench, &state);
    connected(&bench).await;
    submit(&bench, 1).await;
    let done = bench.until("Web Client", &txid_of(1), &["completed"]).await;
    let payload = done.body.as_ref().and_then(|body| body.find(crate::domain::claws::HOST, "add-host")).unwrap();
    assert_eq!(payload.find(DNS, "fqdn").map(Element::text).as_deref(), Some("pc1.roamer.example.com"));
    // killed, it misses one; what it acknowledged is not repeated, what it missed comes
    child.kill().await.unwrap();
    let gone = async {
        while !bench.bus.live_modules().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(GUARD, gone).await.expect("the bus notices");
    submit(&bench, 2).await;
    bench.until("Web Client", &txid_of(2), &["completed"]).await;
    let mut child = client(&bench, &state);
    connected(&bench).await;
    submit(&bench, 3).await;
    bench.until("Web Client", &txid_of(3), &["completed"]).await;
    child.kill().await.unwrap();
    assert_eq!(recorded(&state).await, "pc1|pc1.roamer.example.com|1\npc3|pc3.roamer.example.com|1\n|5");
}

/// The client's names, and whether its mark has passed all three finals (the second one named nobody).
async fn recorded(state: &Path) -> String {
    let question = "import sqlite3,sys\nd=sqlite3.connect(sys.argv[1])\n\
                    for r in d.execute('SELECT host,fqdn,times FROM names ORDER BY host'): print('|'.join(map(str,r)))\n\
                    print('|%d' % (5 if d.execute('SELECT seq FROM mark').fetchone()[0] >= 5 else 0), end='')";
    let output = Command::new("python3").arg("-c").arg(question).arg(state).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}
