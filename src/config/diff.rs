//! What differs between two texts of a configuration, by the names of keys: for those who load it again.
//! Owns how members of lists are told apart; tells no values, since some are secrets.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// How one key differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Added,
    Changed,
    Removed,
}

/// Members of lists are named by the first of these that they have.
const NAMES: [&str; 8] = ["name", "prefix", "mac", "client_id", "duid", "circuit_id", "ip", "domain"];

/// The keys of two valid texts that differ, in their order. A table that came or went is one key.
pub fn differences(old: &str, new: &str) -> Vec<(String, How)> {
    let read = |text: &str| text.parse::<Table>().unwrap_or_default();
    let mut out = Vec::new();
    tables("", &read(old), &read(new), &mut out);
    out
}

fn tables(path: &str, old: &Table, new: &Table, out: &mut Vec<(String, How)>) {
    let of = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in keys {
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => values(&of(key), old, new, out),
            (Some(_), None) => out.push((of(key), How::Removed)),
            (None, _) => out.push((of(key), How::Added)),
        }
    }
}

fn values(path: &str, old: &Value, new: &Value, out: &mut Vec<(String, How)>) {
    match (old, new) {
        (Value::Table(old), Value::Table(new)) => tables(path, old, new, out),
        (Value::Array(a), Value::Array(b)) if is_list(a) && is_list(b) => {
            tables(path, &members(a), &members(b), out);
            // of rules that are tried one after the other the order counts
            let order = |list: &[Value]| named(list).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
            if a.len() == b.len() && order(a) != order(b) && members(a) == members(b) {
                out.push((path.to_owned(), How::Changed));
            }
        }
        (old, new) if old != new => out.push((path.to_owned(), How::Changed)),
        _ => {}
    }
}

/// True for `[[…]]`.
fn is_list(array: &[Value]) -> bool {
    !array.is_empty() && array.iter().all(Value::is_table)
}

fn members(array: &[Value]) -> Table {
    named(array).into_iter().map(|(name, value)| (name, value.clone())).collect()
}

/// Members by name; without one, or if another has it, by number from 1.
fn named(array: &[Value]) -> Vec<(String, &Value)> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut out = Vec::with_capacity(array.len());
    for (i, member) in array.iter().enumerate() {
        let found = NAMES.iter().find_map(|key| member.get(key));
        let text = match found {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
            _ => (i + 1).to_string(),
        };
        let times = seen.entry(text.clone()).or_default();
        *times += 1;
        out.push((if *times == 1 { text } else { format!("{text}#{times}") }, member));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_as_they_stand_in_the_file() {
        let old = "[dns]\nttl = 60\n[[network]]\nname = \"a\"\nlease_time = \"1h\"\n[[network.subnet]]\nprefix = \"10.0.0.0/24\"\n\
                   [[network]]\nname = \"b\"\n";
        let new = "[dns]\nttl = 60\n[log]\nlevel = \"debug\"\n[[network]]\nname = \"c\"\n[[network]]\nname = \"a\"\nlease_time = \"2h\"\n\
                   [[network.subnet]]\nprefix = \"10.0.0.0/24\"\nrouter = \"10.0.0.1\"\n";
        let told: Vec<String> =
            differences(old, new).into_iter().map(|(key, how)| format!("{key} {how:?}").to_lowercase()).collect();
        let wanted = [
            "log added",
            "network.a.lease_time changed",
            "network.a.subnet.10.0.0.0/24.router added",
            "network.b removed",
            "network.c added",
        ];
        assert_eq!(told, wanted);
        assert!(differences(new, new).is_empty());
    }

    #[test]
    fn the_order_of_rules_is_a_difference() {
        let rule = |a: &str, b: &str| format!("[[class]]\nname = \"{a}\"\n[[class]]\nname = \"{b}\"\n");
        assert_eq!(differences(&rule("x", "y"), &rule("y", "x")), [("class".to_owned(), How::Changed)]);
    }
}
