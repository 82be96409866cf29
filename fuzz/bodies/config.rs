//! What the configuration's target does with its input.

use std::path::Path;

use lanlord::config;

/// A text is understood, or all that is wrong with it is told with a place.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(problems) = config::parse(Path::new("lanlord.toml"), text) {
        assert!(!problems.0.is_empty());
        for problem in &problems.0 {
            assert!(problem.to_string().starts_with("lanlord.toml"), "{problem}");
        }
    }
}
