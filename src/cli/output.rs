//! What commands print: tables for people, tab-separated values for pipes, JSON for programs (AP-301).
//! Owns standard output.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use super::exit::{Exit, Failure};

/// A column: its title, and the field it shows; nested fields are joined with `.`.
pub type Column = (&'static str, &'static str);

/// Prints a line to standard output. A reader that went away is no failure.
pub fn line(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(Exit::Failed, e.to_string())),
        _ => Ok(()),
    }
}

/// Prints a line to standard error: something to know beside the data.
pub fn warning(text: &str) -> Result<(), Failure> {
    writeln!(io::stderr().lock(), "warning: {text}").map_err(|e| Failure::new(Exit::Failed, e.to_string()))
}

/// Prints to standard error, where everything goes that is no data (AP-304).
pub fn aside(text: &str) {
    eprintln!("{}", text.trim_end());
}

/// Prints an answer as JSON.
pub fn json(value: &Value) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string()))
}

/// Prints the `items` of a list, or the whole answer with `as_json`.
pub fn list(answer: &Value, columns: &[Column], as_json: bool) -> Result<(), Failure> {
    if as_json {
        return json(answer);
    }
    let items = answer.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> =
        items.iter().map(|item| columns.iter().map(|(_, f)| field(item, f)).collect()).collect();
    if io::stdout().is_terminal() {
        line(&aligned(columns, &rows))
    } else {
        rows.iter().try_for_each(|row| line(&row.join("\t")))
    }
}

/// Prints some fields of one object on a line, as they come.
pub fn row(item: &Value, columns: &[Column]) -> Result<(), Failure> {
    line(&columns.iter().map(|(_, path)| field(item, path)).collect::<Vec<_>>().join("\t"))
}

/// Prints one object, a field a line, or as JSON.
pub fn object(value: &Value, as_json: bool) -> Result<(), Failure> {
    let Some(map) = value.as_object().filter(|_| !as_json) else { return json(value) };
    let width = map.keys().map(String::len).max().unwrap_or(0);
    map.iter().filter(|(_, v)| !v.is_null()).try_for_each(|(k, v)| line(&format!("{k:width$}  {}", shown(v))))
}

fn field(item: &Value, path: &str) -> String {
    shown(path.split('.').try_fold(item, |at, key| at.get(key)).unwrap_or(&Value::Null))
}

/// A value on one line: control characters cannot move the cursor of whoever looks at it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => {
            text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
        }
        Value::Array(items) if items.iter().all(|i| !i.is_object()) => {
            items.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn aligned(columns: &[Column], rows: &[Vec<String>]) -> String {
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([columns[i].0.len()]).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let row = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, w)| format!("{cell:w$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = row(&mut columns.iter().map(|(title, _)| *title));
    let body = rows.iter().map(|r| row(&mut r.iter().map(String::as_str)));
    std::iter::once(head).chain(body).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_is_aligned_and_harmless() {
        let rows = vec![vec![shown(&json!("10.0.0.7")), shown(&json!("evil\u{1b}[2J"))], vec!["-".into(), "x".into()]];
        let text = aligned(&[("IP", "ip"), ("NAME", "name")], &rows);
        assert_eq!(text, "IP        NAME\n10.0.0.7  evil\\u{1b}[2J\n-         x");
    }

    #[test]
    fn nested_fields_are_reached() {
        assert_eq!(field(&json!({"a": {"b": [1, 2]}}), "a.b"), "1, 2");
        assert_eq!(field(&json!({}), "a.b"), "-");
    }
}
