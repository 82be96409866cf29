//! XML as the bus understands it: elements by namespace and local name, exact text, no prefixes, no
//! comments. Owns the limits (CL-951), the strict reading (CL-952), the one way of writing (CL-903) and
//! the digest (CL-407).

mod decode;
mod write;

pub use decode::{decode, decode_assuming_prefixes};
pub use write::escape;

use sha2::{Digest, Sha256};

/// Bytes of one message.
pub const MESSAGE: usize = 256 * 1024;
/// Elements inside one another.
pub const DEPTH: usize = 32;
/// Elements, texts and comments of one message.
pub const NODES: usize = 4096;
/// Attributes of one element, declarations of namespaces not counted.
pub const ATTRIBUTES: usize = 64;
/// Declarations of namespaces on one element.
pub const DECLARATIONS: usize = 32;
/// Bytes of a name, prefix included.
pub const NAME: usize = 128;
/// Bytes of one text or one attribute's value.
pub const TEXT: usize = 64 * 1024;

/// The namespace that the prefix `xml` is bound to by definition.
pub const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";

/// One attribute; `ns` is empty for the usual, unprefixed one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attribute {
    pub ns: String,
    pub name: String,
    pub value: String,
}

/// What stands inside an element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Node {
    Element(Element),
    Text(String),
}

/// An element with all that is below it. Attributes are kept sorted, so equality does not depend on order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Element {
    pub ns: String,
    pub name: String,
    pub attributes: Vec<Attribute>,
    pub nodes: Vec<Node>,
}

impl Element {
    /// An empty element.
    pub fn new(ns: &str, name: &str) -> Element {
        Element { ns: ns.to_owned(), name: name.to_owned(), attributes: Vec::new(), nodes: Vec::new() }
    }

    /// With one more attribute of no namespace.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Element {
        self.attributes.push(Attribute { ns: String::new(), name: name.to_owned(), value: value.into() });
        self.attributes.sort();
        self
    }

    /// With text at its end; an empty text is nothing.
    pub fn text_of(mut self, text: impl Into<String>) -> Element {
        let text = text.into();
        if !text.is_empty() {
            self.nodes.push(Node::Text(text));
        }
        self
    }

    /// With one more child.
    pub fn child(mut self, child: Element) -> Element {
        self.nodes.push(Node::Element(child));
        self
    }

    /// True if this is that element of that namespace.
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns == ns
    }

    /// The value of an attribute of no namespace.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.ns.is_empty() && a.name == name).map(|a| a.value.as_str())
    }

    /// The `name` attribute, empty if there is none.
    pub fn label(&self) -> &str {
        self.attribute("name").unwrap_or("")
    }

    /// Child elements, in order.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// The first child of that name.
    pub fn find(&self, ns: &str, name: &str) -> Option<&Element> {
        self.children().find(|child| child.is(ns, name))
    }

    /// All text directly inside, unchanged.
    pub fn text(&self) -> String {
        let texts = self.nodes.iter().filter_map(|node| match node {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        texts.collect()
    }

    /// Elements, texts and this one.
    pub fn count(&self) -> usize {
        let below = self.nodes.iter().map(|node| match node {
            Node::Element(element) => element.count(),
            Node::Text(_) => 1,
        });
        1 + below.sum::<usize>()
    }

    /// Hex SHA-256 of expanded names, sorted attributes and exact text: the same for any choice of
    /// prefixes, quotes and indentation.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        self.feed(&mut hash);
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn feed(&self, hash: &mut Sha256) {
        put(hash, b'<', &[&self.ns, &self.name]);
        for attribute in &self.attributes {
            put(hash, b'@', &[&attribute.ns, &attribute.name, &attribute.value]);
        }
        for node in &self.nodes {
            match node {
                Node::Element(element) => element.feed(hash),
                Node::Text(text) => put(hash, b'"', &[text]),
            }
        }
        hash.update(b">");
    }
}

/// Each string with its length before it, so that no two trees feed the same bytes.
fn put(hash: &mut Sha256, tag: u8, strings: &[&str]) {
    hash.update([tag]);
    for string in strings {
        hash.update((string.len() as u64).to_be_bytes());
        hash.update(string.as_bytes());
    }
}

#[cfg(test)]
mod tests;
