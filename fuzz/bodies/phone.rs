//! What the target of phone requests does with its input. Every assertion here is a promise to the servers.

use std::path::Path;
use std::sync::OnceLock;

use lanlord::config::plugins::load;
use lanlord::domain::phone::classify::{Protocol, Question, classify};
use lanlord::domain::phone::extract::Extractor;
use lanlord::domain::phone::render::{Renderer, Subject};
use lanlord::domain::phone::route::{Name, Router};
use lanlord::domain::phone::settings::Values;

struct Pack {
    extractor: Extractor,
    router: Router,
    renderer: Renderer,
}

/// The plugins that are shipped.
fn pack() -> &'static Pack {
    static PACK: OnceLock<Pack> = OnceLock::new();
    PACK.get_or_init(|| {
        // built by the fuzzing crate or by the tests, one folder apart
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = ["config/plugins", "../config/plugins"].map(|f| here.join(f)).into_iter().find(|f| f.is_dir());
        let (plugins, problems) = load(&[folder.expect("the shipped plugins")]);
        assert!(problems.is_empty(), "{problems:?}");
        let (renderer, bad) = Renderer::new(&plugins);
        assert!(bad.is_empty(), "{bad:?}");
        let plugins: std::sync::Arc<[_]> = plugins.into();
        let (extractor, bad) = Extractor::new(plugins.clone());
        assert!(bad.is_empty(), "{bad:?}");
        Pack { extractor, router: Router::new(plugins), renderer }
    })
}

/// The lines of the input are a path, a User-Agent and the values of options 60, 77, 124, 43 and 12.
pub fn request(data: &[u8]) {
    let Pack { extractor, router, renderer } = pack();
    let mut lines = data.split(|b| *b == b'\n').map(<[u8]>::to_vec);
    let (path, user_agent) = (lines.next(), lines.next());
    let options: Vec<(u8, Vec<u8>)> = [60, 77, 124, 43, 12].into_iter().zip(lines).collect();
    for protocol in [Protocol::Http, Protocol::Tftp, Protocol::Dhcp] {
        let question = Question {
            protocol,
            user_agent: user_agent.clone(),
            path: path.clone(),
            options: options.clone(),
            ip: None,
            mac: None,
        };
        let answer = classify(extractor, router, &question);
        assert!(!answer.explanation.is_empty());
    }
    let path = path.unwrap_or_default();
    for name in [Name::from_http(&path), Name::from_tftp(&path)].into_iter().flatten() {
        is_tame(name.bytes());
        let (settings, base) = (Values::new(), "http://192.0.2.1:8667");
        let subject = Subject { device: None, settings: &settings, http_url: base, tftp_ip: "192.0.2.1" };
        for route in router.all(&name) {
            if let Ok(bytes) = renderer.render(&route, &name, subject) {
                assert!(bytes.len() <= 1 << 20, "a file of {} octets", bytes.len());
            }
        }
    }
}

/// SE-10: whatever was sent, a name climbs nowhere and hides nothing.
fn is_tame(name: &[u8]) {
    assert!(name.len() <= 512 && name[0] == b'/' && !name.iter().any(|b| *b < 0x20 || b"\\%\x7f".contains(b)));
    assert!(name[1..].split(|b| *b == b'/').all(|part| !part.is_empty() && part != b"." && part != b".."));
}
