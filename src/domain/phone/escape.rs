//! Values into the syntax of a phone's file (PR-33). A value, whatever it holds, stays one value: it never
//! adds a line, an element or a key. What a syntax cannot carry is left out, here and nowhere else.

use super::plugin::Escape;

/// Yealink's word for "forget this setting"; a value must not become it.
const NULL_WORD: &str = "%NULL%";

/// Appends `text`, written for `syntax`, to `out`.
pub fn escape(syntax: Escape, text: &str, out: &mut String) {
    match syntax {
        Escape::Xml => text.chars().for_each(|c| xml(c, out)),
        Escape::KeyValue | Escape::Ini => line(text, out),
        Escape::Quoted => text.chars().map(visible).for_each(|c| {
            if c == '"' || c == '\\' {
                out.push('\\');
            }
            out.push(c);
        }),
        Escape::Json => json(text, out),
        Escape::None => out.push_str(text),
    }
}

/// XML 1.0 §2.2: control characters exist in no form; line ends as references, so that they survive
/// attribute and end-of-line normalisation.
fn xml(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '\'' => out.push_str("&#39;"),
        '\t' => out.push_str("&#9;"),
        '\n' => out.push_str("&#10;"),
        '\r' => out.push_str("&#13;"),
        '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => {}
        c => out.push(c),
    }
}

/// One line, without what ends a line anywhere, and never the null word.
fn line(text: &str, out: &mut String) {
    let start = out.len();
    out.extend(text.chars().map(visible));
    if out[start..].trim() == NULL_WORD {
        out.truncate(start);
        out.push_str(NULL_WORD.trim_matches('%'));
    }
}

/// Line ends and control characters become a space.
fn visible(c: char) -> char {
    if c.is_control() || c == '\u{2028}' || c == '\u{2029}' { ' ' } else { c }
}

/// RFC 8259 §7, with its quotes.
fn json(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(syntax: Escape, text: &str) -> String {
        let mut out = String::new();
        escape(syntax, text, &mut out);
        out
    }

    fn nasty() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("\"".to_owned()),
            Just("<a>&amp;]]>".to_owned()),
            Just("\r\n".to_owned()),
            Just("%NULL%".to_owned()),
            Just("☎\u{1f4de}\u{2028}\0".to_owned()),
            Just("#=:\\".to_owned()),
            any::<String>(),
        ];
        proptest::collection::vec(piece, 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn an_xml_value_reparses_to_itself_and_adds_no_element(text in nasty()) {
            let inside = escaped(Escape::Xml, &text);
            let file = format!("<s><v a=\"{inside}\">{inside}</v></s>");
            let document = roxmltree::Document::parse(&file).unwrap();
            let kept: String =
                text.chars().filter(|c| !matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')).collect();
            let value = document.root_element().first_element_child().unwrap();
            prop_assert_eq!(value.text().unwrap_or(""), kept.as_str());
            prop_assert_eq!(value.attribute("a"), Some(kept.as_str()));
            prop_assert_eq!(document.root().descendants().filter(|n| n.is_element()).count(), 2);
        }

        #[test]
        fn a_line_value_stays_on_its_line(text in nasty()) {
            let out = escaped(Escape::KeyValue, &text);
            prop_assert_eq!(out.chars().find(|c| visible(*c) != *c), None);
            prop_assert_ne!(out.trim(), "%NULL%");
            let plain = text.chars().all(|c| visible(c) == c);
            if plain && text.trim() != "%NULL%" {
                prop_assert_eq!(out, text);
            }
        }

        #[test]
        fn a_quoted_value_ends_where_it_ends(text in nasty()) {
            let out = escaped(Escape::Quoted, &text);
            let mut chars = out.chars();
            while let Some(c) = chars.next() {
                prop_assert_ne!(c, '"');
                if c == '\\' {
                    prop_assert!(matches!(chars.next(), Some('"' | '\\')));
                }
            }
        }

        #[test]
        fn a_json_value_reparses_to_itself(text in nasty()) {
            prop_assert_eq!(serde_json::from_str::<String>(&escaped(Escape::Json, &text)).unwrap(), text);
        }
    }
}
