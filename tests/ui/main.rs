//! The page in a real browser: Debian's Chromium, the real daemon, loopback only. It fails, and never
//! skips, without its tools. Screenshots are left in `target/ui/`. `cargo test --test ui`.

#[path = "../common/port.rs"]
mod port;
mod webdriver;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use webdriver::Browser;

/// A running daemon with its own folder and port.
struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Daemon {
    fn start() -> Daemon {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let port = port::free_port();
        let config = format!(
            "[server]\nlisten = [\"127.0.0.1:{port}\"]\n[[network]]\nname = \"desk\"\n\
             [[network.subnet]]\nprefix = \"192.0.2.0/24\"\n[dns]\nenabled = false\n"
        );
        std::fs::write(dir.path().join("lanlord.toml"), config).expect("the configuration can be written");
        let child = Command::new(env!("CARGO_BIN_EXE_lanlord"))
            .args(["serve", "--config"])
            .arg(dir.path().join("lanlord.toml"))
            .arg("--state")
            .arg(dir.path().join("state"))
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(dir.path().join("log")).expect("a log"))
            .spawn()
            .expect("the daemon starts");
        let daemon = Daemon { child, dir, port };
        daemon.wait_until_ready();
        daemon
    }

    fn wait_until_ready(&self) {
        for _ in 0..2_400 {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() && self.token_file().exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut log = String::new();
        let _ = std::fs::File::open(self.dir.path().join("log")).and_then(|mut f| f.read_to_string(&mut log));
        panic!("the daemon did not come up:\n{log}");
    }

    fn token_file(&self) -> PathBuf {
        self.dir.path().join("state/admin.token")
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.token_file()).expect("the first token").trim().to_owned()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Adds a reservation through the command line.
    fn reserve(&self, ip: &str, name: &str) {
        let done = Command::new(env!("CARGO_BIN_EXE_lanlord"))
            .args(["--socket"])
            .arg(self.dir.path().join("state/api.sock"))
            .args(["reservation", "add", "--mac", "02:00:00:00:00:09", "--ip", ip, "--name", name])
            .output()
            .expect("the command line runs");
        assert!(done.status.success(), "reservation add: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pictures() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target folder").join("ui");
    std::fs::create_dir_all(&dir).expect("the folder of pictures can be made");
    dir
}

/// Signs in and looks at the page; returns nothing but fails on anything odd.
fn look(daemon: &Daemon, width: u32, dark: bool) {
    let profile = tempfile::tempdir().expect("a profile");
    let browser = Browser::start(profile.path(), width, 900, dark);
    browser.open(&daemon.url("/"));
    assert_eq!(browser.url(), daemon.url("/login"), "a stranger is led to the form");
    let shade = if dark { "dark" } else { "light" };
    browser.screenshot(&pictures().join(format!("login-{shade}-{width}.png")));
    browser.write("#token", "wrong");
    browser.click("form button");
    assert!(browser.text("[role=alert]").contains("token"), "a wrong token is told");
    browser.write("#token", &daemon.token());
    browser.click("form button");
    browser.arrive(&daemon.url("/"));
    assert!(browser.text("#leases h2").contains("Leases"));
    assert_eq!(browser.url(), daemon.url("/"), "the right token leads to the page");
    assert!(browser.text("body").contains("home.arpa"));
    let overflow = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(overflow, 0, "nothing is cut off at {width} px");
    assert_eq!(browser.evaluate("document.cookie"), "", "the session is out of reach of scripts");
    browser.screenshot(&pictures().join(format!("status-{shade}-{width}.png")));
    // the one refusal that the wrong token earned is no fault of the page
    let console: Vec<_> = browser.console().into_iter().filter(|line| !line.contains("/login")).collect();
    assert!(console.is_empty(), "{console:?}");
    browser.click("header button");
    // the form is on its way when the click returns: opening a page now could overtake it
    browser.arrive(&daemon.url("/login"));
    browser.open(&daemon.url("/"));
    assert_eq!(browser.url(), daemon.url("/login"), "signed out means out");
}

#[test]
fn the_page_is_shown_to_those_who_prove_who_they_are() {
    let daemon = Daemon::start();
    daemon.reserve("192.0.2.9", "reception");
    look(&daemon, 1280, false);
    look(&daemon, 500, true);
}
