//! The part of Markdown that the manual uses, as a man page: headings, paragraphs, lists, fenced and indented
//! blocks, tables whose first column is a term.

use std::fmt::Write as _;

/// The fenced blocks of a language, each with its line.
pub fn fences(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            None if line == format!("```{language}") => open = Some((number + 2, String::new())),
            Some(_) if line == "```" => out.extend(open.take()),
            Some((_, block)) => {
                let _ = writeln!(block, "{line}");
            }
            None => {}
        }
    }
    out
}

/// What stands between backticks in running text.
pub fn code_words(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let running = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    });
    running.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Text in which roff sees no request and no escape.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            c => out.push(c),
        }
    }
    if out.starts_with('.') { format!("\\&{out}") } else { out }
}

/// Running text: what stands between backticks is bold, and a link is its text with its target behind.
fn running(text: &str) -> String {
    let text = text.replace("](", " (");
    let text = if text.contains(" (") { text.replacen('[', "", usize::from(text.contains(".md)"))) } else { text };
    let mut out = String::new();
    for (n, part) in text.split('`').enumerate() {
        let part = plain(part);
        if n % 2 == 1 {
            let _ = write!(out, "\\fB{part}\\fR");
        } else {
            out.push_str(&part)
        }
    }
    if out.starts_with('.') { format!("\\&{out}") } else { out }
}

fn row(line: &str) -> Vec<String> {
    // a bar within backticks divides nothing; the manual has none
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The whole page.
pub fn roff(text: &str, version: &str) -> String {
    let mut lines = text.lines().peekable();
    let name = lines.next().and_then(|line| line.strip_prefix("# ")).expect("a title");
    let mut out = String::from(".\\\" Written from docs/dhcp.md by tests/manual.rs.\n");
    let _ = writeln!(
        out,
        ".TH {} 7 \"November 2026\" \"lanlord {version}\" \"System administration\"",
        name.to_uppercase()
    );
    let about = lines.find(|line| !line.is_empty()).expect("what it is about");
    let _ = writeln!(out, ".SH NAME\n{} \\- {}\n.SH DESCRIPTION", plain(name), running(about));
    let (mut open, mut heads) = (true, 0);
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("## ") {
            let _ = writeln!(out, ".SH {}", plain(&title.to_uppercase()));
            open = true;
        } else if let Some(title) = line.strip_prefix("### ") {
            let _ = writeln!(out, ".SS {}", plain(title));
            open = true;
        } else if line.starts_with("```") {
            out.push_str(".PP\n.RS 4\n.EX\n");
            for line in lines.by_ref().take_while(|line| *line != "```") {
                let _ = writeln!(out, "{}", plain(line));
            }
            out.push_str(".EE\n.RE\n");
        } else if let Some(first) = line.strip_prefix("    ") {
            out.push_str(".PP\n.RS 4\n.EX\n");
            let _ = writeln!(out, "{}", plain(first));
            while let Some(line) = lines.next_if(|line| line.starts_with("    ")) {
                let _ = writeln!(out, "{}", plain(&line[4..]));
            }
            out.push_str(".EE\n.RE\n");
        } else if let Some(item) = line.strip_prefix("- ") {
            let _ = writeln!(out, ".IP \\(bu 2\n{}", running(item));
            while let Some(line) = lines.next_if(|line| line.starts_with("  ")) {
                let _ = writeln!(out, "{}", running(line.trim_start()));
            }
        } else if line.starts_with('|') {
            heads += 1;
            let cells = row(line);
            if line.starts_with("|-") || lines.peek().is_some_and(|next| next.starts_with("|-")) {
                continue;
            }
            let _ = writeln!(out, ".TP\n\\fB{}\\fR", plain(&cells[0]));
            let rest: Vec<String> = cells[1..].iter().map(|cell| running(cell)).collect();
            let _ = writeln!(out, "{}", rest.join("; "));
        } else if line.starts_with("<!--") || line.is_empty() {
            open = true;
        } else {
            if open && !out.ends_with("DESCRIPTION\n") {
                out.push_str(".PP\n");
            }
            open = false;
            let _ = writeln!(out, "{}", running(line));
        }
    }
    assert!(heads > 0, "no table");
    out
}
