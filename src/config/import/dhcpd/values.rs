//! Values of options as dhcpd writes them, into bytes. Refuses, with a reason, what is computed or looked up.

use super::super::registry::{self, Kind};
use super::options::Meaning;
use super::tree::{Tok, shown};

/// The bytes of a value.
pub fn wire(meaning: &Meaning, words: &[Tok]) -> Result<Vec<u8>, String> {
    let parts: Vec<&[Tok]> = words.split(|tok| *tok == Tok::Sign(',')).collect();
    if words.is_empty() {
        return Err("the value is missing".to_owned());
    }
    match &meaning.kinds[..] {
        [Kind::Special] => return Err("its form is not read here".to_owned()),
        [kind @ (Kind::Fqdns | Kind::FqdnRow)] => {
            let names: Vec<String> = parts.iter().filter_map(|part| part.first()?.name()).collect();
            return registry::wire(meaning.family, *kind, true, &names.join(","));
        }
        [Kind::Bytes | Kind::Text] => return blob(words),
        _ => {}
    }
    // fields of a record, and pairs of addresses, stand between blanks
    let record = &meaning.kinds;
    let values: Vec<&Tok> = words.iter().filter(|tok| **tok != Tok::Sign(',')).collect();
    let repeated = meaning.array && values.len().is_multiple_of(record.len());
    if values.len() != record.len() && !repeated {
        return Err(format!("{} values are given where {} are possible", values.len(), record.len()));
    }
    let mut out = Vec::new();
    for (n, value) in values.into_iter().enumerate() {
        let bytes = value.name().and_then(|text| registry::one(record[n % record.len()], &text));
        let why =
            || format!("`{}` is no value of that type; names are not looked up", shown(std::slice::from_ref(value)));
        out.extend(bytes.ok_or_else(why)?);
    }
    Ok(out)
}

/// Text in quotes, or octets in hexadecimal between colons.
fn blob(words: &[Tok]) -> Result<Vec<u8>, String> {
    match words {
        [Tok::Text(bytes)] if !bytes.is_empty() => Ok(bytes.clone()),
        [Tok::Text(_)] => Err("the value is empty".to_owned()),
        [Tok::Word(word)] => {
            registry::bytes(word).ok_or_else(|| format!("`{word}` must stand in quotes, or be octets between colons"))
        }
        _ => Err("it is computed for each client".to_owned()),
    }
}
