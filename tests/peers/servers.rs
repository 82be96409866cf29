//! The two servers: the peer with the example as it is, and this daemon with what the importer makes of it.
//! Each has the server's namespace for itself, one after the other.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;

use lanlord::config::import::Format;

use super::example::Example;
use super::space::{Lab, PATIENCE, Process, wait};

pub struct Peer {
    process: Process,
}

impl Peer {
    pub fn start(lab: &Lab, example: &Example) -> Peer {
        let folder = lab.dir().join("example");
        copy(&example.folder, &folder);
        let interface = &example.addresses[0].0;
        // what they keep is in folders of their own that vanish with them
        let own = "mkdir -p /var/lib/kea /run/kea && mount -t tmpfs none /var/lib/kea && mount -t tmpfs none /run/kea";
        let (run, ready) = match example.format {
            Format::Kea if example.is_six() => {
                (format!("{own} && exec kea-dhcp6 -c {}", example.file), "DHCP6_STARTED")
            }
            Format::Kea => (format!("{own} && exec kea-dhcp4 -c {}", example.file), "DHCP4_STARTED"),
            Format::Dhcpd => {
                // an address is not tried for a second before it is offered
                let mut file = fs::OpenOptions::new().append(true).open(folder.join(example.file)).expect("a copy");
                file.write_all(b"\nping-check false;\n").expect("writable");
                let family = if example.is_six() { "-6" } else { "-4" };
                let run = format!(
                    ": > dhcpd.leases && exec dhcpd {family} -f -d -cf {} -lf \"$PWD/dhcpd.leases\" -pf \"$PWD/pid\" {interface}",
                    example.file
                );
                (run, "Server starting service")
            }
            Format::Dnsmasq => {
                // it looks for some of its files from the root folder
                let file = folder.join(example.file);
                let text = fs::read_to_string(&file).expect("a copy");
                let whole = |line: &str| match line.split_once("file=") {
                    Some((key, name)) if folder.join(name).exists() => {
                        format!("{key}file={}\n", folder.join(name).display())
                    }
                    _ => format!("{line}\n"),
                };
                fs::write(&file, text.lines().map(whole).collect::<String>()).expect("writable");
                let run = format!(
                    "exec dnsmasq -k -C {} --log-facility=- --no-ping --user=root --pid-file=$PWD/pid --dhcp-leasefile=$PWD/leases",
                    example.file
                );
                (run, "started")
            }
        };
        let command = format!("cd {} && {run}", folder.display());
        let mut process = lab.start("peer", "srv", &["unshare", "-m", "sh", "-c", &command]);
        let up = wait(PATIENCE, || process.exited() || process.output().contains(ready));
        assert!(up && !process.exited(), "{} of {}: {}", example.file, example.name, process.output());
        Peer { process }
    }

    #[allow(dead_code)]
    pub fn log(&self) -> String {
        self.process.output()
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("a folder");
    for path in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        let name = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &name);
        } else {
            fs::copy(&path, &name).expect("a copy");
        }
    }
}

pub struct Ours {
    process: Process,
}

impl Ours {
    /// Imports the example where its interfaces are, and serves it.
    pub fn start(lab: &Lab, example: &Example) -> Ours {
        let binary = env!("CARGO_BIN_EXE_lanlord");
        let format = match example.format {
            Format::Kea => "kea",
            Format::Dhcpd => "dhcpd",
            Format::Dnsmasq => "dnsmasq",
        };
        let mut import = Command::new("ip");
        import.args(["netns", "exec", &lab.ns("srv"), binary, "import", format, example.file, "--to-config", "--all"]);
        let out = import.current_dir(&example.folder).output().expect("the import");
        let toml = String::from_utf8(out.stdout).expect("text");
        assert!(!toml.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
        let dir = lab.dir();
        fs::write(dir.join("lanlord.toml"), &toml).expect("writable");
        let file = |name: &str| dir.join(name).display().to_string();
        let (config, state, socket) = (file("lanlord.toml"), file("state"), file("lanlord.sock"));
        let argv = [binary, "serve", "--config", &config, "--state", &state, "--socket", &socket];
        let mut process = lab.start("lanlord", "srv", &argv);
        let ready = wait(PATIENCE, || process.exited() || is_ready(&socket));
        assert!(ready && !process.exited(), "{}:\n{toml}\n{}", example.name, process.output());
        Ours { process }
    }

    #[allow(dead_code)]
    pub fn log(&self) -> String {
        self.process.output()
    }
}

fn is_ready(socket: &str) -> bool {
    let answer = || {
        let mut stream = UnixStream::connect(socket).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text.starts_with("HTTP/1.1 200"))
    };
    answer().unwrap_or(false)
}
