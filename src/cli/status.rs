//! `lanlord status`: how the daemon is.

use serde_json::{Value, json};

use super::client::{Connection, Request};
use super::exit::Failure;
use super::output::{self, Column};

const PARTS: &[Column] = &[("PART", "part"), ("STATE", "state"), ("REASON", "reason")];

/// Prints the daemon's own view of itself, findings last.
pub fn run(to: &Connection) -> Result<(), Failure> {
    let answer = to.call(&Request::get("/api/v1/status"))?.json()?;
    if to.json {
        return output::json(&answer);
    }
    let mut plain = answer.clone();
    let listed = ["listeners", "findings"].map(|key| plain.as_object_mut().and_then(|map| map.remove(key)));
    let parts = plain.as_object_mut().and_then(|map| map.remove("parts"));
    output::object(&plain, false)?;
    let parts: Vec<Value> = (parts.as_ref().and_then(Value::as_object).into_iter().flatten())
        .map(|(part, state)| json!({ "part": part, "state": state["state"], "reason": state["reason"] }))
        .collect();
    output::list(&json!({ "items": parts }), PARTS, false)?;
    for items in listed.iter().flatten().filter_map(Value::as_array) {
        for item in items {
            let of = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
            let words = [of("severity"), of("protocol"), of("address"), of("state"), of("text"), of("fix")];
            output::line(
                words.map(str::to_owned).into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join("  ").as_str(),
            )?;
        }
    }
    Ok(())
}
