//! A browser, driven over the W3C WebDriver protocol: chromedriver from Debian, started here, on loopback,
//! ended with the test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::port::free_port;

/// How long one command may take: a hang guard.
const PATIENCE: Duration = Duration::from_secs(180);

/// One session of one browser.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// Starts a headless Chromium with its profile in `dir` and a window of that size.
    pub fn start(dir: &Path, width: u32, height: u32, dark: bool) -> Browser {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is missing: packaging/setup.sh test installs it");
        let mut browser = Browser { driver, port, session: String::new() };
        browser.wait_until_ready();
        let mut args = vec![
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            // a container's /dev/shm has 64 MB, which is too little for it
            "--disable-dev-shm-usage".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--user-data-dir={}", dir.display()),
        ];
        if dark {
            args.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "implicit": 60_000 },
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "binary": "/usr/bin/chromium", "args": args },
        } } });
        let answer = browser.call("POST", "/session", Some(&wanted));
        browser.session = answer["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    fn wait_until_ready(&self) {
        for _ in 0..2_400 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("chromedriver did not open its port");
    }

    pub fn open(&self, url: &str) {
        self.command("POST", "/url", Some(&json!({ "url": url })));
    }

    pub fn url(&self) -> String {
        self.command("GET", "/url", None).as_str().expect("a URL").to_owned()
    }

    /// Waits until a click has led to `url`, for a form's answer comes when it comes.
    pub fn arrive(&self, url: &str) {
        let mut waited = Duration::ZERO;
        while self.url() != url {
            assert!(waited < PATIENCE, "on {}, still not on {url}", self.url());
            std::thread::sleep(Duration::from_millis(20));
            waited += Duration::from_millis(20);
        }
    }

    /// The text that a person sees in the first element that matches.
    pub fn text(&self, css: &str) -> String {
        let path = format!("/element/{}/text", self.find(css));
        self.command("GET", &path, None).as_str().expect("text").to_owned()
    }

    pub fn write(&self, css: &str, text: &str) {
        let path = format!("/element/{}/value", self.find(css));
        self.command("POST", &path, Some(&json!({ "text": text })));
    }

    pub fn click(&self, css: &str) {
        let path = format!("/element/{}/click", self.find(css));
        self.command("POST", &path, Some(&json!({})));
    }

    /// Evaluates an expression in the page.
    pub fn evaluate(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        self.command("POST", "/execute/sync", Some(&json!({ "script": script, "args": [] })))
    }

    /// What the console says: errors, refused resources, policy reports.
    pub fn console(&self) -> Vec<String> {
        let log = self.command("POST", "/se/log", Some(&json!({ "type": "browser" })));
        log.as_array().into_iter().flatten().map(|line| line["message"].to_string()).collect()
    }

    pub fn screenshot(&self, file: &Path) {
        use base64::Engine as _;
        let picture = self.command("GET", "/screenshot", None);
        let picture = base64::engine::general_purpose::STANDARD.decode(picture.as_str().expect("a picture"));
        std::fs::write(file, picture.expect("base64")).expect("the screenshot can be written");
    }

    fn find(&self, css: &str) -> String {
        let found = self.command("POST", "/element", Some(&json!({ "using": "css selector", "value": css })));
        let id = found.as_object().and_then(|map| map.values().next()).and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("no element `{css}` on {}", self.url())).to_owned()
    }

    fn command(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        self.call(method, &format!("/session/{}{path}", self.session), body)
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.exchange(method, path, body).expect("chromedriver answers");
        let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
        assert!(answer["value"]["error"].is_null(), "{method} {path}: {}", answer["value"]);
        answer["value"].take()
    }

    fn exchange(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )?;
        let mut reader = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line)? > 2 {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let mut out = vec![0; length];
        reader.read_exact(&mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = self.exchange("DELETE", &format!("/session/{}", self.session), None);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
