//! `lanlord reload`: the running daemon reads its configuration file again.

use serde_json::Value;

use super::client::{Connection, Request};
use super::exit::Failure;
use super::output;

/// Prints what changed, and what a restart would take over besides. An invalid file: exit code 2 and every
/// problem with its place; the daemon goes on as before.
pub fn run(to: &Connection) -> Result<(), Failure> {
    let request = Request { method: "POST", path: "/api/v1/reload".to_owned(), body: None, headers: Vec::new() };
    let answer = to.call(&request)?.json()?;
    if to.json {
        return output::json(&answer);
    }
    let items = |key: &str| answer.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let number = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or_default();
    for one in items("changed") {
        let of = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        output::line(&format!("{}\t{}", of("change"), of("key")))?;
    }
    if number("more") > 0 {
        output::line(&format!("and {} more", number("more")))?;
    }
    let restart: Vec<String> = items("restart").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    if !restart.is_empty() {
        output::warning(&format!("restart the daemon to take over {}", restart.join(", ")))?;
    }
    if number("leases_outside") > 0 {
        let text = "leases are of no subnet or pool any more; their clients are sent away at the next renewal";
        output::warning(&format!("{} {text}", number("leases_outside")))?;
    }
    items("findings").iter().filter_map(Value::as_str).try_for_each(output::warning)
}
