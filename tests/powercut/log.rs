//! Reads what strace wrote: which bytes went where, and when they were synced.

use std::collections::HashMap;
use std::path::Path;

/// A call that changed the files of the state directory, or told the outside of it. Files are names within
/// that directory; an empty one is the directory itself.
#[derive(Debug, Clone)]
pub enum Op {
    Create { file: String },
    Write { file: String, offset: u64, data: Vec<u8> },
    Truncate { file: String, len: u64 },
    Sync { file: String },
    Unlink { file: String },
    Rename { from: String, to: String },
    Ack(u64),
}

/// All calls in the order in which they began; a sync counts when it ended.
pub fn parse(trace: &[u8], state: &Path) -> Vec<Op> {
    let state = state.to_str().expect("utf-8").as_bytes().to_vec();
    let mut unfinished: HashMap<&str, String> = HashMap::new();
    let mut ops = Vec::new();
    let text = std::str::from_utf8(trace).expect("strace writes ascii with -xx");
    for line in text.lines() {
        let (pid, call) = line.split_once(' ').expect("pid and call");
        let call = call.trim_start();
        if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
            if is_sync(begun) {
                unfinished.insert(pid, begun.to_owned());
            } else {
                // what is in flight may be on the disk already
                ops.extend(op(begun, &state));
            }
        } else if call.starts_with("<... ") {
            if let Some(begun) = unfinished.remove(pid) {
                ops.extend(op(&begun, &state));
            }
        } else if !call.contains(" = -1 ") {
            ops.extend(op(call, &state));
        }
    }
    ops
}

fn is_sync(call: &str) -> bool {
    call.starts_with("fsync(") || call.starts_with("fdatasync(")
}

/// One call, if it concerns us.
fn op(call: &str, state: &[u8]) -> Option<Op> {
    let (name, rest) = call.split_once('(')?;
    let texts = hexadecimal(rest);
    let ours = |path: &[u8]| {
        let inside = path.strip_prefix(state)?;
        let file = std::str::from_utf8(inside.strip_prefix(b"/").unwrap_or(inside)).ok()?;
        // shared memory is not on the disk, the lock holds nothing
        (!file.ends_with("-shm") && file != "lock").then(|| file.to_owned())
    };
    let numbers = rest.rsplit_once(") ").map_or(rest, |(arguments, _)| arguments);
    let last: Option<u64> = numbers.trim_end_matches(')').rsplit(", ").next().and_then(|n| n.parse().ok());
    match name {
        "openat" if rest.contains("O_CREAT") => Some(Op::Create { file: ours(texts.get(1)?)? }),
        "pwrite64" => Some(Op::Write { file: ours(texts.first()?)?, offset: last?, data: texts.get(1)?.clone() }),
        "write" => match std::str::from_utf8(texts.get(1)?).ok()?.trim().strip_prefix("ack ") {
            Some(head) => Some(Op::Ack(head.parse().ok()?)),
            // only small files are appended to, each by one call
            None => Some(Op::Write { file: ours(texts.first()?)?, offset: 0, data: texts.get(1)?.clone() }),
        },
        "ftruncate" => Some(Op::Truncate { file: ours(texts.first()?)?, len: last? }),
        "fsync" | "fdatasync" => Some(Op::Sync { file: ours(texts.first()?)? }),
        "unlink" => Some(Op::Unlink { file: ours(texts.first()?)? }),
        "rename" => Some(Op::Rename { from: ours(texts.first()?)?, to: ours(texts.get(1)?)? }),
        _ => None,
    }
}

/// Every run of `\xNN`, decoded.
fn hexadecimal(text: &str) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some(start) = rest.windows(2).position(|pair| pair == b"\\x") {
        rest = &rest[start..];
        let mut run = Vec::new();
        while let [b'\\', b'x', high, low, after @ ..] = rest {
            run.push(nibble(*high) << 4 | nibble(*low));
            rest = after;
        }
        out.push(run);
    }
    out
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        other => panic!("strace writes lower-case digits, not {other}"),
    }
}
