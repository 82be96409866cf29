//! The tables: one per part, a row per server, and lanlord's ratios to the others.

use crate::Bounds;
use crate::stats::Series;
use std::collections::BTreeMap;
use std::fmt::Write;

/// A measured quantity.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    name: &'static str,
    more_is_better: bool,
}

impl Column {
    /// Something of which more is better.
    pub fn more(name: &'static str) -> Self {
        Self { name, more_is_better: true }
    }

    /// Something of which less is better.
    pub fn less(name: &'static str) -> Self {
        Self { name, more_is_better: false }
    }
}

/// One comparison.
#[derive(Debug)]
pub struct Part {
    title: String,
    names: Vec<String>,
    columns: Vec<Column>,
    rows: BTreeMap<String, Vec<Series>>,
    notes: Vec<String>,
}

impl Part {
    /// An empty comparison of the named servers, in this order.
    pub fn new(title: &str, names: &[&str], columns: &[Column]) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let rows = names.iter().map(|n| (n.clone(), vec![Series::default(); columns.len()])).collect();
        Self { title: title.into(), names, columns: columns.to_vec(), rows, notes: Vec::new() }
    }

    /// What one server did in one round, a value per column.
    pub fn push(&mut self, name: &str, values: &[f64]) {
        for (series, value) in self.rows.get_mut(name).into_iter().flatten().zip(values) {
            series.push(*value);
        }
    }

    /// A sentence below the table.
    pub fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    fn render(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "\n## {}\n\n| |", self.title)?;
        for c in &self.columns {
            write!(out, " {} |", c.name)?;
        }
        writeln!(out, "\n|---|{}", "---|".repeat(self.columns.len()))?;
        for name in &self.names {
            self.row(out, name, &self.rows[name])?;
        }
        for other in self.names.iter().skip(1) {
            let first = self.rows[&self.names[0]].iter().zip(&self.rows[other]);
            let ratios: Vec<Series> = first.map(|(a, b)| a.ratio(b)).collect();
            self.row(out, &format!("{} ÷ {other}", self.names[0]), &ratios)?;
        }
        let direction: Vec<&str> =
            self.columns.iter().map(|c| if c.more_is_better { "more" } else { "less" }).collect();
        self.row_of(out, "better is", &direction)?;
        for note in &self.notes {
            write!(out, "\n{note}\n")?;
        }
        Ok(())
    }

    fn row(&self, out: &mut String, name: &str, values: &[Series]) -> std::fmt::Result {
        let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
        self.row_of(out, name, &texts)
    }

    fn row_of<S: AsRef<str>>(&self, out: &mut String, name: &str, values: &[S]) -> std::fmt::Result {
        let cells: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        writeln!(out, "| {name} | {} |", cells.join(" | "))
    }
}

/// Everything that was measured.
#[derive(Debug)]
pub struct Report {
    head: String,
    parts: Vec<Part>,
}

impl Report {
    /// An empty report that describes the machine.
    pub fn new(bounds: &Bounds) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpus = read("/proc/cpuinfo");
        let model = cpus
            .lines()
            .find_map(|l| l.strip_prefix("model name"))
            .map_or("an unknown processor", |m| m.trim_start_matches([' ', '\t', ':']));
        let cores = cpus.lines().filter(|l| l.starts_with("processor")).count();
        let head = format!(
            "# Side by side\n\nWritten by `make bench`: {} rounds of {} s, interleaved, on {cores} cores of {model}, Linux {}, load generator on the\nsame machine. Median (least–greatest). lanlord writes every acknowledgement to disk (fdatasync) before it answers.\n",
            bounds.rounds,
            bounds.seconds,
            read("/proc/sys/kernel/osrelease").trim(),
        );
        Self { head, parts: Vec::new() }
    }

    /// Adds a finished part.
    pub fn add(&mut self, part: Part) {
        self.parts.push(part);
    }

    /// The report as Markdown.
    pub fn render(&self) -> String {
        let mut out = self.head.clone();
        for part in &self.parts {
            part.render(&mut out).expect("writing to a string");
        }
        out
    }
}
