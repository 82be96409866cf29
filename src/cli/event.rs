//! `lanlord event`: messages of the CLAWS bus.

use std::io::Read;
use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;

use super::client::{Connection, Request, encoded, unreadable};
use super::exit::{Exit, Failure};
use super::output::{self, Column};

const COLUMNS: &[Column] =
    &[("SEQ", "seq"), ("AT", "at"), ("TYPE", "type"), ("SOURCE", "source"), ("TXID", "txid"), ("SUMMARY", "summary")];

/// Longest message that the bus takes.
const MESSAGE_BYTES: u64 = 256 << 10;

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Event {
    /// Send a message to the bus and wait for its final state
    Submit {
        /// File with the XML message; `-` for standard input
        file: PathBuf,
        /// Seconds to wait for the decision
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u8).range(0..=60))]
        wait: u8,
    },
    /// Follow events as they are committed
    Tail {
        /// Begin after this number
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
        /// End after so many events
        #[arg(long, value_name = "N")]
        count: Option<u64>,
    },
    /// List past events
    List {
        #[arg(long, value_name = "SEQ", default_value_t = 0)]
        after: u64,
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        limit: u16,
    },
    /// Show a transaction as it stands
    Show { txid: String },
    /// Show a transaction with the author of each element
    Explain { txid: String },
}

impl Event {
    pub fn run(self, to: &Connection) -> Result<(), Failure> {
        match self {
            Event::Submit { file, wait } => output::line(&submit(to, read(&file)?, wait)?),
            Event::Tail { after, count } => tail(to, after, count),
            Event::List { after, limit } => {
                let answer = to.call(&Request::get(format!("/api/v1/events?after={after}&limit={limit}")))?;
                output::list(&answer.json()?, COLUMNS, to.json)
            }
            Event::Show { txid } => transaction(to, &txid, ""),
            Event::Explain { txid } => transaction(to, &txid, "?explain"),
        }
    }
}

/// Posts a message; the answer is the transaction as XML.
pub fn submit(to: &Connection, message: Vec<u8>, wait: u8) -> Result<String, Failure> {
    let request = Request {
        method: "POST",
        path: "/claws/v1/messages".to_owned(),
        body: Some(("application/xml", message)),
        headers: vec![("Prefer", format!("wait={wait}"))],
    };
    let answer = to.call(&request)?;
    match answer.status {
        202 if wait > 0 && !answer.body.is_empty() => {
            Err(Failure::new(Exit::Failed, format!("not decided within {wait} s:\n{}", answer.body)))
        }
        _ => Ok(answer.body),
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|e| unreadable(file, &e))?)
    };
    source.take(MESSAGE_BYTES + 1).read_to_end(&mut bytes).map_err(|e| unreadable(file, &e))?;
    if bytes.len() as u64 > MESSAGE_BYTES {
        return Err(Failure::new(Exit::Usage, format!("{}: longer than 256 KiB", file.display())));
    }
    Ok(bytes)
}

fn tail(to: &Connection, after: Option<u64>, count: Option<u64>) -> Result<(), Failure> {
    let mut request = Request::get("/api/v1/events");
    request.headers.push(("Accept", "text/event-stream".to_owned()));
    if let Some(after) = after {
        request.headers.push(("Last-Event-ID", after.to_string()));
    }
    let mut left = count.unwrap_or(u64::MAX);
    to.follow(&request, |data| {
        match serde_json::from_str::<Value>(data) {
            Ok(event) if !to.json => output::line(&summary(&event))?,
            _ => output::line(data)?,
        }
        left -= 1;
        Ok(left > 0)
    })
}

fn summary(event: &Value) -> String {
    let of = |(_, key): &Column| match event.get(*key) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.escape_default().to_string(),
        Some(other) => other.to_string(),
    };
    COLUMNS.iter().map(of).collect::<Vec<_>>().join("\t")
}

fn transaction(to: &Connection, txid: &str, query: &str) -> Result<(), Failure> {
    output::line(&to.call(&Request::get(format!("/claws/v1/tx/{}{query}", encoded(txid))))?.body)
}
