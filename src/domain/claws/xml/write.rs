//! One way of writing: usual prefixes, declared on the root; attributes sorted; and every character that
//! ends a line somewhere as a reference, so that a message is one `data:` line of an event stream.

use std::fmt::Write as _;

use super::{Element, Node, XML_NS};
use crate::domain::claws::usual_prefix;

impl Element {
    /// This element as a document of one line, without XML declaration.
    pub fn write(&self) -> String {
        let mut namespaces = Vec::new();
        self.namespaces(&mut namespaces);
        let mut prefixes: Vec<(&str, String)> = Vec::with_capacity(namespaces.len());
        let mut unknown = 0;
        for ns in namespaces {
            let prefix = usual_prefix(ns).map_or_else(
                || {
                    unknown += 1;
                    format!("n{unknown}")
                },
                str::to_owned,
            );
            prefixes.push((ns, prefix));
        }
        let mut out = String::with_capacity(512);
        self.write_into(&mut out, &prefixes, true);
        out
    }

    /// Namespaces in order of first use.
    fn namespaces<'a>(&'a self, seen: &mut Vec<&'a str>) {
        let mut note = |ns: &'a str| {
            if !ns.is_empty() && ns != XML_NS && !seen.contains(&ns) {
                seen.push(ns);
            }
        };
        note(&self.ns);
        self.attributes.iter().for_each(|a| note(&a.ns));
        self.children().for_each(|child| child.namespaces(seen));
    }

    fn write_into(&self, out: &mut String, prefixes: &[(&str, String)], root: bool) {
        out.push('<');
        qualified(out, prefixes, &self.ns, &self.name);
        if root {
            for (ns, prefix) in prefixes {
                let _ = write!(out, " xmlns:{prefix}=\"");
                escape(out, ns, true);
                out.push('"');
            }
        }
        for attribute in &self.attributes {
            out.push(' ');
            qualified(out, prefixes, &attribute.ns, &attribute.name);
            out.push_str("=\"");
            escape(out, &attribute.value, true);
            out.push('"');
        }
        if self.nodes.is_empty() {
            return out.push_str("/>");
        }
        out.push('>');
        for node in &self.nodes {
            match node {
                Node::Element(element) => element.write_into(out, prefixes, false),
                Node::Text(text) => escape(out, text, false),
            }
        }
        out.push_str("</");
        qualified(out, prefixes, &self.ns, &self.name);
        out.push('>');
    }
}

fn qualified(out: &mut String, prefixes: &[(&str, String)], ns: &str, name: &str) {
    if ns == XML_NS {
        out.push_str("xml:");
    } else if let Some((_, prefix)) = prefixes.iter().find(|(known, _)| *known == ns) {
        out.push_str(prefix);
        out.push(':');
    }
    out.push_str(name);
}

/// Appends text so that it reads back unchanged and breaks no line (CL-903).
pub fn escape(out: &mut String, text: &str, attribute: bool) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\t' if attribute => out.push_str("&#9;"),
            '\n' | '\r' | '\u{85}' | '\u{2028}' => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
}
