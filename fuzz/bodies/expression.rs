//! What the target of the class language does with its input: a text up to the first NUL, then octets that
//! stand for every option of the message.

use std::borrow::Cow;

use lanlord::domain::dhcp::classes::{Classes, Expression, Field, MAX_TEXT, Membership, RelayPart, Subject};
use lanlord::domain::dhcp::options;

struct Message<'a> {
    octets: &'a [u8],
    v6: bool,
}

impl Subject for Message<'_> {
    fn is_v6(&self) -> bool {
        self.v6
    }

    fn option(&self, code: u16) -> Option<Cow<'_, [u8]>> {
        (!code.is_multiple_of(7)).then_some(Cow::Borrowed(self.octets))
    }

    fn relay(&self, _: u16) -> Option<Cow<'_, [u8]>> {
        Some(self.octets.to_vec().into())
    }

    fn relay6(&self, _: i8, _: RelayPart) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.octets))
    }

    fn field(&self, _: Field) -> Option<Cow<'_, [u8]>> {
        Some(Cow::Borrowed(self.octets))
    }
}

pub fn evaluate(data: &[u8]) {
    let (text, octets) = match data.iter().position(|b| *b == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let text = String::from_utf8_lossy(text);
    match Expression::parse(&text, &|name| options::code_of(name).map(u16::from)) {
        Ok(test) => {
            assert!(text.len() <= MAX_TEXT);
            let classes = Classes::default();
            for v6 in [false, true] {
                let message = Message { octets, v6 };
                let member = Membership::new(&classes, &message, true, &[]);
                let twice = (member.meets(&test), member.meets(&test));
                assert_eq!(twice.0, twice.1, "an expression has no state");
            }
            test.members().iter().for_each(|(_, at)| assert!(*at <= text.len()));
        }
        Err(error) => assert!(error.at <= text.len() && !error.message.is_empty(), "{error:?}"),
    }
}
