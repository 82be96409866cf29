//! Two passes over hostile bytes. The first one counts, refuses what the bus does not speak and stops at
//! the first breach; it is linear. Only then the strict parser sees the text, and its tree is copied.

use quick_xml::Reader;
use quick_xml::events::attributes::Attribute as RawAttribute;
use quick_xml::events::{BytesDecl, BytesStart, Event};

use super::{ATTRIBUTES, Attribute, DECLARATIONS, DEPTH, Element, MESSAGE, NAME, NODES, Node, TEXT, XML_NS};
use crate::domain::claws::{Fault, VOCABULARIES, namespace};

/// Reads one message. Errors carry line and column where the text has a place that is wrong.
pub fn decode(bytes: &[u8]) -> Result<Element, Fault> {
    read(bytes, false)
}

/// As [`decode`], for senders that leave out namespace declarations as the sketch did: those of the known
/// prefixes are added to the root if it lacks them (CL-202). Places refer to the text as sent.
pub fn decode_assuming_prefixes(bytes: &[u8]) -> Result<Element, Fault> {
    read(bytes, true)
}

fn read(bytes: &[u8], assume: bool) -> Result<Element, Fault> {
    if bytes.len() > MESSAGE {
        return Err(Fault::new("too-large", format!("a message has at most {MESSAGE} bytes")));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Fault::new("xml-encoding", format!("byte {} is not UTF-8; send UTF-8", e.valid_up_to())))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = Limiter::new(text).run()?;
    match root.filter(|_| assume) {
        None => strict(text),
        Some(root) => {
            let (at, added) = (root.name_end, root.missing());
            let completed = format!("{}{added}{}", &text[..at], &text[at..]);
            strict(&completed).map_err(|fault| as_sent(fault, text, at, added.chars().count()))
        }
    }
}

/// Where the root's name ends, and the prefixes that it declares.
struct Root {
    name_end: usize,
    declared: Vec<String>,
}

impl Root {
    fn missing(&self) -> String {
        let missing = VOCABULARIES.iter().filter(|v| !self.declared.iter().any(|d| d == *v));
        missing.map(|v| format!(" xmlns:{v}=\"{}\"", namespace(v))).collect()
    }
}

/// Moves a place behind the inserted declarations back to where it was.
fn as_sent(mut fault: Fault, text: &str, at: usize, added: usize) -> Fault {
    let (line, column) = position(text, at);
    if let Some(place) = fault.place.as_mut().filter(|place| place.0 == line && place.1 > column) {
        place.1 = place.1.saturating_sub(u32::try_from(added).unwrap_or(0)).max(column);
    }
    fault
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// The first pass.
struct Limiter<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    depth: usize,
    nodes: usize,
    /// Bytes of text since the last tag.
    run: usize,
    root: Option<Root>,
}

impl<'a> Limiter<'a> {
    fn new(text: &'a str) -> Limiter<'a> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        reader.config_mut().allow_unmatched_ends = false;
        Limiter { text, reader, depth: 0, nodes: 1, run: 0, root: None }
    }

    fn run(mut self) -> Result<Option<Root>, Fault> {
        loop {
            let start = usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX);
            let event = self.reader.read_event();
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    let at = usize::try_from(self.reader.error_position()).unwrap_or(usize::MAX);
                    return Err(self.fault("xml-malformed", at, error.to_string()));
                }
            };
            match event {
                Event::Eof => return Ok(self.root),
                Event::Start(tag) => {
                    self.element(&tag, start)?;
                    self.depth += 1;
                    if self.depth > DEPTH {
                        return Err(self.limit(start, format!("elements are nested deeper than {DEPTH}")));
                    }
                }
                Event::Empty(tag) => self.element(&tag, start)?,
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    self.run = 0;
                }
                Event::Text(text) => self.characters(text.len(), start)?,
                Event::CData(text) => self.characters(text.len(), start)?,
                Event::GeneralRef(name) => {
                    if !known_reference(&name) {
                        return Err(self.fault(
                            "xml-forbidden",
                            start,
                            format!("entity `&{};` is not defined", &*name),
                        ));
                    }
                    self.characters(name.len() + 2, start)?;
                }
                Event::Comment(_) => self.node(start)?,
                Event::Decl(declaration) => self.declaration(&declaration, start)?,
                Event::PI(_) => return Err(self.forbidden(start, "processing instructions")),
                Event::DocType(_) => return Err(self.forbidden(start, "document types")),
            }
        }
    }

    fn element(&mut self, tag: &BytesStart<'_>, start: usize) -> Result<(), Fault> {
        self.run = 0;
        self.node(start)?;
        self.name(tag.name().as_ref(), start)?;
        let mut declared = Vec::new();
        let (mut attributes, mut declarations) = (0, 0);
        for attribute in tag.attributes().with_checks(false) {
            let attribute = attribute.map_err(|e| self.fault("xml-malformed", start, e.to_string()))?;
            match attribute.key.as_ref().strip_prefix("xmlns") {
                Some(rest) if rest.is_empty() || rest.starts_with(':') => {
                    declarations += 1;
                    self.binding(rest.trim_start_matches(':'), &attribute, start)?;
                    declared.push(rest.trim_start_matches(':').to_owned());
                }
                _ => attributes += 1,
            }
            self.name(attribute.key.as_ref(), start)?;
            if attributes > ATTRIBUTES || declarations > DECLARATIONS {
                let text = format!("an element has at most {ATTRIBUTES} attributes and {DECLARATIONS} namespaces");
                return Err(self.limit(start, text));
            }
            if attribute.value.len() > TEXT {
                return Err(self.limit(start, format!("an attribute has at most {TEXT} bytes")));
            }
        }
        if self.root.is_none() {
            self.root = Some(Root { name_end: start + 1 + tag.name().as_ref().len(), declared });
        }
        Ok(())
    }

    /// Namespaces in XML 1.0 §2.2, §3: a prefix is never unbound, `xml` and `xmlns` are reserved.
    fn binding(&self, prefix: &str, attribute: &RawAttribute<'_>, start: usize) -> Result<(), Fault> {
        let uri = &*attribute.value;
        let reserved = prefix == "xmlns" || (prefix == "xml") != (uri == XML_NS);
        if reserved || uri == "http://www.w3.org/2000/xmlns/" || (uri.is_empty() && !prefix.is_empty()) {
            return Err(self.fault("xml-forbidden", start, format!("prefix `{prefix}` cannot be bound to `{uri}`")));
        }
        Ok(())
    }

    fn declaration(&self, declaration: &BytesDecl<'_>, start: usize) -> Result<(), Fault> {
        match declaration.version() {
            Ok(version) if &*version == "1.0" => {}
            _ => return Err(self.fault("xml-forbidden", start, "only XML 1.0 is read".to_owned())),
        }
        match declaration.encoding() {
            None => Ok(()),
            Some(Ok(encoding)) if encoding.eq_ignore_ascii_case("utf-8") => Ok(()),
            Some(_) => Err(self.fault("xml-encoding", start, "only UTF-8 is read".to_owned())),
        }
    }

    fn characters(&mut self, bytes: usize, start: usize) -> Result<(), Fault> {
        if self.run == 0 {
            self.node(start)?;
        }
        self.run += bytes.max(1);
        if self.run > TEXT {
            return Err(self.limit(start, format!("a text has at most {TEXT} bytes")));
        }
        Ok(())
    }

    fn node(&mut self, start: usize) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(self.limit(start, format!("a message has at most {NODES} nodes")));
        }
        Ok(())
    }

    fn name(&self, name: &str, start: usize) -> Result<(), Fault> {
        if name.len() > NAME {
            return Err(self.limit(start, format!("a name has at most {NAME} bytes")));
        }
        Ok(())
    }

    fn limit(&self, at: usize, message: String) -> Fault {
        self.fault("xml-limit", at, message)
    }

    fn forbidden(&self, at: usize, what: &str) -> Fault {
        self.fault("xml-forbidden", at, format!("{what} are refused; leave them out"))
    }

    fn fault(&self, code: &'static str, at: usize, message: String) -> Fault {
        let (line, column) = position(self.text, at);
        Fault::new(code, message).at(line, column)
    }
}

/// The five entities of XML 1.0 §4.6, and references to characters.
fn known_reference(name: &str) -> bool {
    name.starts_with('#') || ["amp", "lt", "gt", "apos", "quot"].contains(&name)
}

/// The second pass.
fn strict(text: &str) -> Result<Element, Fault> {
    let options = roxmltree::ParsingOptions {
        allow_dtd: false,
        nodes_limit: u32::try_from(NODES).unwrap_or(u32::MAX),
        entity_resolver: None,
    };
    let document = roxmltree::Document::parse_with_options(text, options).map_err(|error| refusal(&error))?;
    Ok(copy(document.root_element()))
}

fn refusal(error: &roxmltree::Error) -> Fault {
    let place = error.pos();
    let (code, message) = match error {
        roxmltree::Error::UnknownNamespace(prefix, _) => {
            ("undeclared-prefix", format!("prefix `{prefix}` is not declared; declare its namespace"))
        }
        roxmltree::Error::NodesLimitReached => ("xml-limit", format!("a message has at most {NODES} nodes")),
        roxmltree::Error::DtdDetected | roxmltree::Error::UnknownEntityReference(..) => {
            ("xml-forbidden", error.to_string())
        }
        other => ("xml-malformed", other.to_string()),
    };
    Fault::new(code, message).at(place.row, place.col)
}

/// Depth is bounded by the first pass.
fn copy(node: roxmltree::Node<'_, '_>) -> Element {
    let mut element = Element::new(node.tag_name().namespace().unwrap_or(""), node.tag_name().name());
    for attribute in node.attributes() {
        element.attributes.push(Attribute {
            ns: attribute.namespace().unwrap_or("").to_owned(),
            name: attribute.name().to_owned(),
            value: attribute.value().to_owned(),
        });
    }
    element.attributes.sort();
    let parent = node.children().any(|child| child.is_element());
    for child in node.children() {
        if child.is_element() {
            element.nodes.push(Node::Element(copy(child)));
        } else if let Some(text) = child.text().filter(|_| child.is_text()) {
            match element.nodes.last_mut() {
                // a comment had parted them
                Some(Node::Text(before)) => before.push_str(text),
                _ => element.nodes.push(Node::Text(text.to_owned())),
            }
        }
    }
    if parent {
        // indentation
        element.nodes.retain(|node| !matches!(node, Node::Text(text) if text.chars().all(|c| " \t\r\n".contains(c))));
    }
    element.nodes.retain(|node| !matches!(node, Node::Text(text) if text.is_empty()));
    element
}
