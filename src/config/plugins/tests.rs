//! The plugins that ship, and how a directory becomes one.

use std::sync::Arc;

use super::*;
use crate::domain::phone::classify::{Protocol, Question, classify};
use crate::domain::phone::extract::{Clues, Extractor};
use crate::domain::phone::lint::lint;
use crate::domain::phone::route::Router;

/// The plugins that ship.
fn shipped() -> Arc<[Plugin]> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/plugins");
    let (plugins, problems) = load(&[root]);
    assert!(problems.is_empty(), "{problems:?}");
    plugins.into()
}

#[test]
fn every_shipped_plugin_lints() {
    let plugins = shipped();
    assert_eq!(plugins.iter().map(|p| p.id.as_str()).collect::<Vec<_>>(), ["aastra", "cisco-spa", "snom", "yealink"]);
    let faults: Vec<String> = lint(&plugins).iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(plugins.iter().all(|p| p.samples.len() > 10), "samples are what the lint stands on");
}

#[test]
fn ranking_depends_on_rules_and_bytes_only() {
    let plugins = shipped();
    let mut turned: Vec<Plugin> = plugins.to_vec();
    turned.reverse();
    turned.iter_mut().for_each(|p| p.rules.reverse());
    let (one, _) = Extractor::new(plugins);
    let (other, _) = Extractor::new(turned.into());
    let clues = Clues {
        user_agent: Some(b"Aastra6731i MAC:00-08-5D-23-74-29 V:3.2.0.70-SIP"),
        http_path: Some(b"/0015654aa937.cfg"),
        dhcp: vec![(60, b"snom300\0")],
        mac: Some(Mac([0, 0x0e, 8, 1, 2, 3])),
        ..Clues::default()
    };
    assert_eq!(one.identify(&clues), other.identify(&clues));
    assert_eq!(one.identify(&clues).fields.vendor.as_deref(), Some("Aastra"));
    assert_eq!(one.identify(&clues).findings.len(), 4);
}

#[test]
fn a_bad_byte_or_a_failing_rule_silences_no_other() {
    let mut plugins = shipped().to_vec();
    plugins[0].rules[0].regex = Some("(".to_owned());
    let (extractor, bad) = Extractor::new(plugins.into());
    assert_eq!(bad.len(), 1);
    let agent = b"\xff\x00\x80 snomD785-SIP 10.1.33.33 \xfe 000413922D24\xff".to_vec();
    let found = extractor.identify(&Clues { user_agent: Some(&agent), ..Clues::default() });
    assert_eq!(found.fields.mac, "000413922D24".parse().ok());
}

#[test]
fn classify_explains_the_seeds_request() {
    let plugins = shipped();
    let (extractor, _) = Extractor::new(plugins.clone());
    let question = Question {
        protocol: Protocol::Http,
        user_agent: Some(b"Aastra6731i MAC:00-11-22-33-44-55 V:3.2.2.1136-SIP".to_vec()),
        path: Some(b"/Aastra/aastra.cfg".to_vec()),
        options: Vec::new(),
        ip: "192.168.1.100".parse().ok(),
        mac: None,
    };
    let answer = classify(&extractor, &Router::new(plugins), &question);
    assert_eq!(answer.vendor.as_deref(), Some("Aastra"));
    assert_eq!(answer.model.as_deref(), Some("6731i"));
    assert_eq!(answer.version.as_deref(), Some("3.2.2.1136"));
    assert_eq!(answer.mac.as_deref(), Some("00:11:22:33:44:55"));
    assert_eq!(answer.plugin.as_deref(), Some("aastra"));
    assert!(answer.explanation.iter().any(|line| line.contains("aastra/ua matched http.user-agent (exact)")));
    assert!(answer.explanation.iter().any(|line| line.contains("by itself identifies nobody")));
}

#[test]
fn an_overlay_replaces_file_by_file() {
    let (low, high) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let put = |root: &Path, name: &str, text: &str| {
        let path = root.join("acme").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put(low.path(), "plugin.toml", "plugin = { id = \"acme\", vendor = \"Acme\", format = 1 }\n");
    put(low.path(), "templates/a.j2", "low a");
    put(low.path(), "templates/b.j2", "low b");
    put(high.path(), "templates/b.j2", "high b");
    let (plugins, problems) = load(&[low.path().to_owned(), high.path().to_owned()]);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(plugins[0].templates["a.j2"], "low a");
    assert_eq!(plugins[0].templates["b.j2"], "high b");
    put(high.path(), "plugin.toml", "plugin = { id = \"acme\", vendor = \"Acme\", format = 1, colour = 3 }\n");
    let (_, problems) = load(&[low.path().to_owned(), high.path().to_owned()]);
    assert!(problems[0].message.contains("colour"), "{problems:?}");
}

struct Phone<'a> {
    class: Option<&'a str>,
    mac: Mac,
}

impl crate::domain::dhcp::classes::Subject for Phone<'_> {
    fn is_v6(&self) -> bool {
        false
    }
    fn option(&self, code: u16) -> Option<std::borrow::Cow<'_, [u8]>> {
        self.class.filter(|_| code == 60).map(|class| class.as_bytes().into())
    }
    fn relay(&self, _: u16) -> Option<std::borrow::Cow<'_, [u8]>> {
        None
    }
    fn field(&self, field: crate::domain::dhcp::classes::Field) -> Option<std::borrow::Cow<'_, [u8]>> {
        match field {
            crate::domain::dhcp::classes::Field::Mac => Some(self.mac.0.to_vec().into()),
            _ => self.option(60),
        }
    }
}

type Sent = Option<(String, Vec<(u8, Vec<u8>)>)>;

#[test]
fn recipes_send_what_the_vendors_phones_need_by_class_before_block() {
    use crate::domain::dhcp::policy::Placeholders;
    use crate::domain::phone::recipe::recipes;
    let recipes = recipes(&shipped(), true);
    let linksys = Mac([0, 0x0e, 8, 1, 2, 3]);
    let sent = |class: Option<&str>, mac: Mac| -> Sent {
        let recipe = recipes.iter().find(|r| r.when.holds(&Phone { class, mac }))?;
        let server_ip = "10.77.0.1".parse().unwrap();
        let fill = Placeholders { mac: Some(mac), ip: server_ip, server_ip, http_url: "http://10.77.0.1:8667" };
        assert!(recipe.settings.iter().all(|s| s.force), "{}", recipe.name);
        let wire = recipe.settings.iter().map(|s| (s.code, s.value.wire(s.code, &fill).unwrap())).collect();
        Some((recipe.name.clone(), wire))
    };
    let text = |t: &str| t.as_bytes().to_vec();
    let is = |name: &str, options: Vec<(u8, Vec<u8>)>| Some((name.to_owned(), options));
    assert_eq!(sent(Some("LINKSYS SPA-3102"), linksys), is("cisco-spa/vc-linksys", vec![(66, text("10.77.0.1"))]));
    let cisco = is("cisco-spa/vc-cisco", vec![(66, text("http://10.77.0.1:8667/spa$PSN.cfg"))]);
    assert_eq!(sent(Some("Cisco SPA525G2\0"), linksys), cisco);
    let aastra = [&b"\x02\x1chttp://10.77.0.1:8667/Aastra"[..], b"\x03\x01\x00"].concat();
    assert_eq!(sent(Some("AastraIPPhone6731i"), linksys), is("aastra/vc", vec![(43, aastra)]));
    let snom = Mac([0, 4, 0x13, 1, 2, 3]);
    let both = vec![(66, text("http://10.77.0.1:8667")), (6, vec![10, 77, 0, 1])];
    assert_eq!(sent(Some("something else"), snom), is("snom/oui", both));
    assert_eq!(sent(Some("yealink"), snom).unwrap().0, "yealink/vc", "a class comes before a block");
    assert_eq!(sent(Some("MSFT 5.0"), linksys), None);
    assert_eq!(sent(None, Mac([2, 0, 0, 0, 0, 1])), None);
}
