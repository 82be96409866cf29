//! Files as phones get them, per model, against `tests/golden/phones/`. `UPDATE_GOLDEN=1` rewrites them; the
//! difference is then for the eyes of whoever commits it. Passwords are made up at run time and stand as
//! `@PASSWORD@` in the golden files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use lanlord::config::plugins::load;
use lanlord::domain::device::{Added, Device, Value};
use lanlord::domain::net::Mac;
use lanlord::domain::phone::plugin::{Escape, Plugin, Scope};
use lanlord::domain::phone::render::{Renderer, Subject};
use lanlord::domain::phone::route::{Name, Router};
use lanlord::domain::phone::settings::{Values, validate};
use lanlord::domain::phone::update::new_device;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn plugins() -> Arc<[Plugin]> {
    let (plugins, problems) = load(&[root().join("config/plugins")]);
    assert!(problems.is_empty(), "{problems:?}");
    plugins.into()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map<const N: usize>(pairs: [(&str, Value); N]) -> Values {
    pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
}

/// A password that no file in the repository holds.
fn password() -> String {
    format!("p{}-{:p}", std::process::id(), &0)
}

fn settings(password: &str) -> Values {
    let line = |n: &str, name: &str| {
        map([
            ("username", text(&format!("user{n}"))),
            ("number", text(n)),
            ("display_name", text(name)),
            ("password", text(password)),
            ("voicemail", text("*98")),
        ])
    };
    let key = |kind: &str, value: &str, label: &str| {
        map([("type", text(kind)), ("value", text(value)), ("label", text(label))])
    };
    map([
        ("timezone", text("Europe/Paris")),
        ("ntp_enabled", Value::Bool(true)),
        ("ntp_ip", text("10.77.0.1")),
        ("syslog_enabled", Value::Bool(true)),
        ("syslog_ip", text("10.77.0.3")),
        ("vlan_enabled", Value::Bool(true)),
        ("vlan_id", Value::Int(77)),
        ("vlan_priority", Value::Int(5)),
        ("admin_password", text(password)),
        ("sip_registrar_ip", text("10.77.0.10")),
        ("sip_proxy_ip", text("10.77.0.10")),
        ("sip_backup_proxy_ip", text("10.77.0.11")),
        ("sip_transport", text("udp")),
        (
            "sip_lines",
            Value::Map(map([
                ("1", Value::Map(line("101", "Ada \"<& L.\"\nx: y"))),
                ("2", Value::Map(line("102", "Grace"))),
            ])),
        ),
        (
            "funckeys",
            Value::Map(map([
                ("2", Value::Map(key("blf", "103", "Edsger"))),
                ("10", Value::Map(key("speeddial", "104", "Barbara"))),
            ])),
        ),
    ])
}

struct Phone {
    model: &'static str,
    plugin: &'static str,
    mac: &'static str,
    request: &'static str,
    golden: &'static str,
}

const PHONES: &[Phone] = &[
    Phone {
        model: "6731i",
        plugin: "aastra",
        mac: "00085d237429",
        request: "/Aastra/00085D237429.cfg",
        golden: "aastra-6731i.cfg",
    },
    Phone {
        model: "6731i",
        plugin: "aastra",
        mac: "00085d237429",
        request: "/Aastra/aastra.cfg",
        golden: "aastra-common.cfg",
    },
    Phone {
        model: "SPA3102",
        plugin: "cisco-spa",
        mac: "001122334477",
        request: "/spa3102.cfg",
        golden: "spa3102.cfg",
    },
    Phone {
        model: "SPA3102",
        plugin: "cisco-spa",
        mac: "001122334477",
        request: "/001122334477.xml",
        golden: "spa3102-001122334477.xml",
    },
    Phone {
        model: "T46G",
        plugin: "yealink",
        mac: "0015654aa937",
        request: "/0015654aa937.cfg",
        golden: "yealink-t46g.cfg",
    },
    Phone {
        model: "T46G",
        plugin: "yealink",
        mac: "0015654aa937",
        request: "/y000000000028.cfg",
        golden: "yealink-y28.cfg",
    },
    Phone { model: "D785", plugin: "snom", mac: "000413922d24", request: "/000413922D24.xml", golden: "snom-d785.xml" },
    Phone {
        model: "D785",
        plugin: "snom",
        mac: "000413922d24",
        request: "/snomD785.htm",
        golden: "snom-d785-common.htm",
    },
];

fn device(plugin: &str, model: &str, mac: Mac) -> Device {
    Device {
        plugin: Some(plugin.to_owned()),
        model: Some(model.to_owned()),
        ..new_device("d".to_owned(), Some(mac), None, Added::Manual)
    }
}

fn render(plugins: &Arc<[Plugin]>, device: &Device, request: &str, settings: &Values) -> Vec<u8> {
    static COMPILED: OnceLock<(Renderer, Router)> = OnceLock::new();
    let (renderer, router) = COMPILED.get_or_init(|| {
        let (renderer, bad) = Renderer::new(plugins);
        assert!(bad.is_empty(), "{bad:?}");
        (renderer, Router::new(plugins.clone()))
    });
    let name = Name::from_tftp(request.as_bytes()).expect("a name");
    let route = router.route(device.plugin.as_deref(), &name).unwrap_or_else(|| panic!("{request} is routed"));
    let device = Some(device).filter(|_| route.file.scope == Scope::Device);
    let subject = Subject { device, settings, http_url: "http://10.77.0.2:8667", tftp_ip: "10.77.0.2" };
    renderer.render(&route, &name, subject).unwrap_or_else(|e| panic!("{request}: {e}"))
}

#[test]
fn files_are_as_they_were_last_looked_at() {
    let (plugins, password) = (plugins(), password());
    let settings = settings(&password);
    assert!(validate(&settings).is_empty(), "{:?}", validate(&settings));
    let mut different = Vec::new();
    for phone in PHONES {
        let device = device(phone.plugin, phone.model, phone.mac.parse().expect("a MAC"));
        let bytes = render(&plugins, &device, phone.request, &settings);
        let shown = String::from_utf8(bytes).expect("UTF-8").replace(&password, "@PASSWORD@");
        let path = root().join("tests/golden/phones").join(phone.golden);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &shown).expect("writable");
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != shown {
            different.push(format!("--- {}\n{shown}", path.display()));
        }
    }
    assert!(different.is_empty(), "set UPDATE_GOLDEN=1 to accept:\n{}", different.join("\n"));
}

#[test]
fn every_model_renders_with_all_settings_and_with_none() {
    let plugins = plugins();
    let full = settings(&password());
    let mut rendered = 0;
    for plugin in plugins.iter() {
        for model in &plugin.models {
            let device = device(&plugin.id, &model.name, Mac([0, 4, 0x13, 1, 2, 3]));
            for sample in plugin.file_samples.iter().filter(|s| s.template.is_some()) {
                for settings in [&full, &Values::new()] {
                    assert!(!render(&plugins, &device, &sample.request, settings).is_empty());
                    rendered += 1;
                }
            }
        }
    }
    assert!(rendered > 500, "{rendered}");
}

/// PR-59: what all phones share holds nothing of any of them.
#[test]
fn a_common_file_is_the_same_for_two_devices_and_holds_no_secret() {
    let (plugins, password) = (plugins(), password());
    let settings = settings(&password);
    let mut compared = 0;
    for plugin in plugins.iter() {
        let router = Router::new(plugins.clone());
        for sample in plugin.file_samples.iter().filter(|s| s.template.is_some()) {
            let name = Name::from_tftp(sample.request.as_bytes()).expect("a name");
            let route = router.of_plugin(&plugin.id, &name).expect("routed");
            if route.file.scope == Scope::Device {
                continue;
            }
            let one = render(&plugins, &device(&plugin.id, "x", Mac([0, 1, 2, 3, 4, 5])), &sample.request, &settings);
            let two = render(&plugins, &device(&plugin.id, "y", Mac([0, 1, 2, 3, 4, 6])), &sample.request, &settings);
            assert_eq!(one, two, "{}", sample.request);
            assert!(!String::from_utf8_lossy(&one).contains(&password), "{}", sample.request);
            compared += 1;
        }
    }
    assert!(compared >= 7, "{compared}");
}

/// PR-33, on the vendors' own templates: a name with everything in it stays one value.
#[test]
fn a_display_name_never_adds_a_line_or_an_element() {
    let plugins = plugins();
    let names = ["plain", "\"<&'>]]>", "a\r\nadmin password: x\nsip", "%NULL%", "☎ \u{2028}é\0\u{1b}", "# = ; \\"];
    for plugin in plugins.iter() {
        let file = plugin.files.iter().find(|f| f.scope == Scope::Device).expect("a device file");
        let request =
            plugin.file_samples.iter().find(|s| s.template.as_deref() == Some(&file.template)).expect("a sample");
        let mut shapes = BTreeMap::new();
        for name in names {
            let line = map([("username", text("u")), ("display_name", text(name))]);
            let settings = map([("sip_lines", Value::Map(map([("1", Value::Map(line))])))]);
            let bytes =
                render(&plugins, &device(&plugin.id, "", Mac([0, 4, 0x13, 1, 2, 3])), &request.request, &settings);
            let shown = String::from_utf8(bytes).expect("UTF-8");
            let shape = match file.escape {
                Escape::Xml => {
                    let document = roxmltree::Document::parse(&shown).unwrap_or_else(|e| panic!("{e}\n{shown}"));
                    document.descendants().filter(|n| n.is_element()).count()
                }
                _ => shown.lines().count(),
            };
            shapes.insert(name, shape);
        }
        let first = shapes["plain"];
        assert!(shapes.values().all(|s| *s == first), "{}: {shapes:?}", plugin.id);
    }
}

/// PR-32: a template cannot run for ever, write for ever or call itself for ever, and the others go on.
#[test]
fn an_endless_template_stops_and_disturbs_no_other() {
    let mut plugins: Vec<Plugin> = plugins().to_vec();
    let yealink = plugins.iter_mut().find(|p| p.id == "yealink").expect("there");
    let own = |name: &str| format!("{name}.j2");
    let endless = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    let wordy = "{% for a in range(99999) %}0123456789012345678901234567890123456789{% endfor %}";
    let deep = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    for (n, source) in
        [endless, wordy, deep, "{{ config.mispelt }}", "{{ device.config }}", "{{ none }}"].iter().enumerate()
    {
        yealink.templates.insert(own(&format!("00156500000{n}.cfg")), (*source).to_owned());
    }
    let (renderer, bad) = Renderer::new(&plugins);
    assert!(bad.is_empty(), "{bad:?}");
    let router = Router::new(plugins.into());
    let settings = Values::new();
    let began = tokio::time::Instant::now();
    for n in 0..7 {
        let mac: Mac = format!("00156500000{n}").parse().expect("a MAC");
        let device = device("yealink", "T46G", mac);
        let name = Name::from_tftp(format!("/{}.cfg", mac.hex()).as_bytes()).expect("a name");
        let route = router.route(Some("yealink"), &name).expect("routed");
        let subject = Subject { device: Some(&device), settings: &settings, http_url: "", tftp_ip: "" };
        assert_eq!(renderer.render(&route, &name, subject).is_ok(), n == 6, "{n}");
    }
    assert!(began.elapsed().as_secs() < 10, "unoptimised builds included");
}

#[test]
fn golden_files_are_all_in_use() {
    let used: Vec<&str> = PHONES.iter().map(|p| p.golden).collect();
    for entry in std::fs::read_dir(root().join("tests/golden/phones")).expect("there") {
        let name = entry.expect("readable").file_name();
        assert!(used.contains(&name.to_string_lossy().as_ref()), "{} is nobody's", Path::new(&name).display());
    }
}
