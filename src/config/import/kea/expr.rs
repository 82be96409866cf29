//! Kea's language of conditions, into the tree of [`Expr`]. Refuses, with a reason, what cannot be asked
//! here.

use super::super::expr::{Expr, Reader, Token};
use super::super::model::Family;
use super::super::registry::{self, Kind};

/// Looks up the code of an option by its name.
pub type Names<'a> = &'a dyn Fn(&str) -> Option<u16>;

/// A whole condition.
pub fn parse(family: Family, text: &str, names: Names<'_>) -> Result<Expr, String> {
    let mut reader = Reader::new(text)?;
    let parser = Parser { family, names };
    let expr = parser.or(&mut reader)?;
    match reader.peek() {
        None => Ok(expr),
        Some(_) => Err(format!("{} is not expected there", reader.shown())),
    }
}

struct Parser<'a> {
    family: Family,
    names: Names<'a>,
}

impl Parser<'_> {
    fn or(&self, r: &mut Reader) -> Result<Expr, String> {
        r.deeper()?;
        let mut left = self.and(r)?;
        while r.word("or") {
            left = left.or(self.and(r)?);
        }
        r.depth -= 1;
        Ok(left)
    }

    fn and(&self, r: &mut Reader) -> Result<Expr, String> {
        let mut left = self.not(r)?;
        while r.word("and") {
            left = left.and(self.not(r)?);
        }
        Ok(left)
    }

    fn not(&self, r: &mut Reader) -> Result<Expr, String> {
        if r.word("not") {
            r.deeper()?;
            let inner = self.not(r)?;
            r.depth -= 1;
            return Ok(inner.negated());
        }
        if r.sign("(") {
            let inner = self.or(r)?;
            r.expect(")")?;
            return Ok(inner);
        }
        self.comparison(r)
    }

    fn comparison(&self, r: &mut Reader) -> Result<Expr, String> {
        if r.word("known") {
            return Ok(Expr::Member("KNOWN".to_owned()));
        }
        if r.word("unknown") {
            return Ok(Expr::Member("UNKNOWN".to_owned()));
        }
        if r.word("member") {
            r.expect("(")?;
            let name = quoted(r)?;
            r.expect(")")?;
            return Ok(Expr::Member(name));
        }
        let left = self.value(r)?;
        if let Expr::Exists(_) = left {
            return Ok(left);
        }
        if r.sign("==") {
            return Ok(left.equals(self.value(r)?));
        }
        if r.sign("!=") {
            return Ok(left.equals(self.value(r)?).negated());
        }
        Err(format!("`==` is missing before {}", r.shown()))
    }

    /// A value, with what is joined to it by `+`.
    fn value(&self, r: &mut Reader) -> Result<Expr, String> {
        r.deeper()?;
        let mut left = self.single(r)?;
        while r.sign("+") {
            left = Expr::Concat(Box::new(left), Box::new(self.single(r)?));
        }
        r.depth -= 1;
        Ok(left)
    }

    fn single(&self, r: &mut Reader) -> Result<Expr, String> {
        if r.sign("(") {
            let inner = self.value(r)?;
            r.expect(")")?;
            return Ok(inner);
        }
        match r.next() {
            Some(Token::Quoted(bytes)) => Ok(Expr::Text(bytes)),
            Some(Token::Number(text)) => number(&text),
            Some(Token::Word(word)) => self.named(&word, r),
            _ => Err(format!("a value is missing before {}", r.shown())),
        }
    }

    fn named(&self, word: &str, r: &mut Reader) -> Result<Expr, String> {
        match word {
            "option" => self.option(r),
            "relay4" => self.relay(r),
            "pkt" | "pkt4" | "pkt6" => packet(word, r),
            // our language has Kea's words for these
            "vendor" | "vendor-class" | "relay6" => path(word, r),
            "addrtotext" => self.enclosed(r).map(|e| Expr::Told("addrtotext", Box::new(e))),
            "int8totext" => self.enclosed(r).map(|e| Expr::Told("int8totext", Box::new(e))),
            "int16totext" => self.enclosed(r).map(|e| Expr::Told("int16totext", Box::new(e))),
            "int32totext" => self.enclosed(r).map(|e| Expr::Told("int32totext", Box::new(e))),
            "uint8totext" => self.enclosed(r).map(|e| Expr::Told("uint8totext", Box::new(e))),
            "uint16totext" => self.enclosed(r).map(|e| Expr::Told("uint16totext", Box::new(e))),
            "uint32totext" => self.enclosed(r).map(|e| Expr::Told("uint32totext", Box::new(e))),
            "substring" | "substr" => {
                r.expect("(")?;
                let of = self.value(r)?;
                r.expect(",")?;
                let start = r.integer()?;
                r.expect(",")?;
                let length = if r.word("all") { None } else { Some(r.integer()?) };
                r.expect(")")?;
                Ok(of.substring(start, length))
            }
            "concat" => self.two(r).map(|(a, b)| Expr::Concat(Box::new(a), Box::new(b))),
            "hexstring" => self.two(r).map(|(a, b)| Expr::HexString(Box::new(a), Box::new(b))),
            "split" => {
                r.expect("(")?;
                let of = self.value(r)?;
                r.expect(",")?;
                let by = self.value(r)?;
                r.expect(",")?;
                let n = u32::try_from(r.integer()?).map_err(|_| "split takes fields from 1 on".to_owned())?;
                r.expect(")")?;
                Ok(Expr::Split(Box::new(of), Box::new(by), n))
            }
            "lcase" => self.enclosed(r).map(|e| Expr::Lower(Box::new(e))),
            "ucase" => self.enclosed(r).map(|e| Expr::Upper(Box::new(e))),
            "ifelse" => {
                r.expect("(")?;
                let condition = self.or(r)?;
                r.expect(",")?;
                let yes = self.value(r)?;
                r.expect(",")?;
                let no = self.value(r)?;
                r.expect(")")?;
                Ok(Expr::IfElse(Box::new(condition), Box::new(yes), Box::new(no)))
            }
            other => Err(format!("`{other}` cannot be asked here")),
        }
    }

    fn enclosed(&self, r: &mut Reader) -> Result<Expr, String> {
        r.expect("(")?;
        let inner = self.value(r)?;
        r.expect(")")?;
        Ok(inner)
    }

    fn two(&self, r: &mut Reader) -> Result<(Expr, Expr), String> {
        r.expect("(")?;
        let a = self.value(r)?;
        r.expect(",")?;
        let b = self.value(r)?;
        r.expect(")")?;
        Ok((a, b))
    }

    /// `option[60].hex`, `option[routers].exists`, `option[82].option[1].hex`.
    fn option(&self, r: &mut Reader) -> Result<Expr, String> {
        let code = self.code(r)?;
        r.expect(".")?;
        let mut value = Expr::Option(code);
        let mut last = r.next();
        if last == Some(Token::Word("option".to_owned())) {
            value = Expr::Sub(code, self.code(r)?);
            r.expect(".")?;
            last = r.next();
        }
        // other options than texts have a text of their own
        let own = self.family == Family::V4
            && registry::by_code(self.family, code).is_some_and(|k| !matches!(k.kind, Kind::Text | Kind::Bytes));
        if own && last == Some(Token::Word("text".to_owned())) && value == Expr::Option(code) {
            return Ok(Expr::Path(format!("option[{code}].text")));
        }
        ending(value, last)
    }

    /// `relay4[1].hex`: sub-options of option 82.
    fn relay(&self, r: &mut Reader) -> Result<Expr, String> {
        r.expect("[")?;
        let code = r.integer()?;
        r.expect("]")?;
        r.expect(".")?;
        let sub = u16::try_from(code).map_err(|_| format!("{code} is no sub-option"))?;
        ending(Expr::Sub(82, sub), r.next())
    }

    fn code(&self, r: &mut Reader) -> Result<u16, String> {
        r.expect("[")?;
        let code = match r.next() {
            Some(Token::Number(text)) => text.parse().map_err(|_| format!("`{text}` is no option"))?,
            Some(Token::Word(name)) => {
                let known = registry::by_name(self.family, &name, |k| k.kea).map(|k| k.code);
                known.or_else(|| (self.names)(&name)).ok_or_else(|| format!("there is no option `{name}`"))?
            }
            _ => return Err(format!("an option is missing before {}", r.shown())),
        };
        r.expect("]")?;
        Ok(code)
    }
}

fn ending(value: Expr, last: Option<Token>) -> Result<Expr, String> {
    match last {
        Some(Token::Word(word)) if word == "hex" || word == "text" => Ok(value),
        Some(Token::Word(word)) if word == "exists" => Ok(value.exists()),
        _ => Err("an option must end with .hex, .text or .exists".to_owned()),
    }
}

fn quoted(r: &mut Reader) -> Result<String, String> {
    match r.next() {
        Some(Token::Quoted(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        _ => Err("the name of a class must stand in quotes".to_owned()),
    }
}

/// `0x0a0b`, `10.0.0.1`; other numbers are 32 bits wide.
fn number(text: &str) -> Result<Expr, String> {
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return registry::bytes(digits).map(Expr::Text).ok_or_else(|| format!("`{text}` is not hexadecimal"));
    }
    if let Ok(ip) = text.parse::<std::net::Ipv4Addr>() {
        return Ok(Expr::Text(ip.octets().to_vec()));
    }
    if let Ok(ip) = text.parse::<std::net::Ipv6Addr>() {
        return Ok(Expr::Text(ip.octets().to_vec()));
    }
    text.parse().map(Expr::Number).map_err(|_| format!("`{text}` is no value"))
}

/// `vendor[4491].option[1].hex`, `vendor-class.enterprise`, `relay6[0].peeraddr`.
fn path(word: &str, r: &mut Reader) -> Result<Expr, String> {
    let mut out = word.to_owned();
    loop {
        if r.sign("[") {
            let index = if r.sign("*") { "*".to_owned() } else { r.integer()?.to_string() };
            r.expect("]")?;
            out = format!("{out}[{index}]");
        } else if r.sign(".") {
            match r.next() {
                Some(Token::Word(end)) if end == "exists" => return Ok(Expr::Path(out).exists()),
                Some(Token::Word(end)) if end == "hex" => return Ok(Expr::Path(out)),
                Some(Token::Word(end)) => out = format!("{out}.{end}"),
                _ => return Err(format!("a word is missing after `{out}.`")),
            }
        } else {
            return Ok(Expr::Path(out));
        }
        if out.len() > 200 {
            return Err(format!("`{word}` has too many parts"));
        }
    }
}

fn packet(word: &str, r: &mut Reader) -> Result<Expr, String> {
    r.expect(".")?;
    let field = match r.next() {
        Some(Token::Word(field)) => field,
        _ => return Err(format!("a field is missing after `{word}`")),
    };
    match (word, field.as_str()) {
        ("pkt", "iface") => Ok(Expr::Word("interface")),
        ("pkt4", "mac") => Ok(Expr::Word("mac")),
        ("pkt4", "giaddr") => Ok(Expr::Word("relay.giaddr")),
        ("pkt4", "ciaddr") => Ok(Expr::Word("pkt4.ciaddr")),
        ("pkt4", "msgtype") => Ok(Expr::Word("pkt4.msgtype")),
        (
            "pkt" | "pkt4" | "pkt6",
            "src" | "dst" | "len" | "hlen" | "htype" | "yiaddr" | "siaddr" | "transid" | "msgtype",
        ) => Ok(Expr::Path(format!("{word}.{field}"))),
        (_, field) => Err(format!("`{word}.{field}` cannot be asked here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> Result<String, String> {
        parse(Family::V4, text, &|name| (name == "own").then_some(224)).map(|e| e.spelled())
    }

    #[test]
    fn conditions_keep_their_meaning() {
        for (kea, ours) in [
            ("option[60].hex == 'docsis3.0'", "option[60] == 'docsis3.0'"),
            ("substring(option[60].hex,0,9) == 'PXEClient'", "substring(option[60], 0, 9) == 'PXEClient'"),
            ("option[93].hex == 0x0007 or option[93].hex == 0x0009", "option[93] == 0x0007 or option[93] == 0x0009"),
            ("not member('a') and KNOWN", "not member('a') and known"),
            ("not (member('a') or UNKNOWN)", "not (member('a') or unknown)"),
            ("option[own].exists", "option[224].exists"),
            ("relay4[1].hex == 'port-1'", "option[82].sub[1] == 'port-1'"),
            ("pkt4.mac == 0x020000000001", "mac == 0x020000000001"),
            ("substring(option[61].hex, 1, all) == 0x0a", "substring(option[61], 1, all) == 0x0a"),
            ("pkt.iface == 'eth1' and (option[77].hex == 'iPXE')", "interface == 'eth1' and option[77] == 'iPXE'"),
            ("split(option[host-name].text, '-', 1) == 'ap'", "split(option[12], '-', 1) == 'ap'"),
            ("option[54].hex == 10.0.0.1", "option[54] == 0x0a000001"),
            ("vendor[4491].option[1].exists", "vendor[4491].option[1].exists"),
            ("vendor-class[*].data[0] == 'cm'", "vendor-class[*].data[0] == 'cm'"),
            ("relay6[0].option[37].hex == 0x01", "relay6[0].option[37] == 0x01"),
            ("option[93].text == '7'", "option[93].text == '7'"),
            (
                "pkt4.hlen == 6 and uint8totext(relay4[1].hex) == '7'",
                "pkt4.hlen == 0x00000006 and uint8totext(option[82].sub[1]) == '7'",
            ),
        ] {
            assert_eq!(spelled(kea).as_deref(), Ok(ours), "{kea}");
        }
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        for text in ["option[60].hex", "option[nix].hex == 'a'", "pkt4.nix == 1", "vendor[", "'a' == ", "(", ""] {
            assert!(spelled(text).is_err(), "{text}");
        }
        assert!(spelled(&"(".repeat(1000)).is_err());
    }
}
