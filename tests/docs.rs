//! Every example that ships and every snippet that is documented is one that works (invariant I14).

use std::path::{Path, PathBuf};

use lanlord::config;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder` with that ending, without what is built.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().map(|e| e.expect("an entry")) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && !["target", ".git", "node_modules"].iter().any(|skip| name == *skip) {
            out.extend(files(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            out.push(path);
        }
    }
    out
}

/// The fenced blocks of a language, each with the line that it begins on.
fn snippets(text: &str, language: &str) -> Vec<(usize, String)> {
    let (mut out, mut open) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let fence = line.trim_start();
        match &mut open {
            None if fence.strip_prefix("```").is_some_and(|rest| rest.trim() == language) => {
                open = Some((number + 2, String::new()));
            }
            None => {}
            Some(_) if fence.starts_with("```") => out.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    assert!(open.is_none(), "a fence is never closed");
    out
}

#[test]
fn every_documented_configuration_is_valid() {
    let mut seen = 0;
    for page in files(root(), ".md") {
        let text = std::fs::read_to_string(&page).expect("UTF-8");
        for (line, snippet) in snippets(&text, "toml") {
            let place = format!("{}:{line}", page.display());
            config::parse(Path::new(&place), &snippet).unwrap_or_else(|problems| panic!("{problems}"));
            seen += 1;
        }
    }
    assert!(seen >= 1, "no page documents the configuration");
}

#[test]
fn every_shipped_configuration_is_valid() {
    let shipped: Vec<PathBuf> = files(&root().join("config"), ".toml")
        .into_iter()
        .filter(|path| !path.starts_with(root().join("config/plugins")))
        .collect();
    assert!(shipped.iter().any(|path| path.ends_with("config/lanlord.toml")));
    for path in shipped {
        config::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
    }
}

#[test]
fn every_shipped_plugin_is_read_and_fits_its_rules() {
    let (plugins, problems) = config::plugins::load(&[root().join("config/plugins")]);
    assert!(problems.is_empty(), "{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    assert!(plugins.len() >= 4);
    let faults = lanlord::domain::phone::lint::lint(&plugins.into());
    assert!(faults.is_empty(), "{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
}

/// ARCHITECTURE.md names files and tests; they must exist.
#[test]
fn the_map_leads_to_places_that_exist() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the map");
    assert!(map.lines().count() <= 200, "the map is for reading: at most 200 lines");
    let sources: String = files(&root().join("src"), ".rs")
        .into_iter()
        .chain(files(&root().join("tests"), ".rs"))
        .map(|path| std::fs::read_to_string(path).expect("UTF-8"))
        .collect();
    for word in map.split('`').skip(1).step_by(2) {
        let top = word.split('/').next().unwrap_or("");
        let is_path = !top.is_empty() && word.contains('/') && !word.contains([' ', '<']) && root().join(top).is_dir();
        assert!(!is_path || root().join(word).exists(), "`{word}` is not there");
        let is_test = word.matches('_').count() >= 3
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        assert!(!is_test || sources.contains(&format!("fn {word}(")), "there is no test `{word}`");
    }
}

/// docs/dhcp-conformance.md names scenarios and tests; they must exist, and no scenario may be left out.
#[test]
fn every_requirement_of_dhcp_names_what_shows_it() {
    let page = std::fs::read_to_string(root().join("docs/dhcp-conformance.md")).expect("the page");
    let sources: String = ["src", "tests"]
        .into_iter()
        .flat_map(|folder| files(&root().join(folder), ".rs"))
        .map(|path| std::fs::read_to_string(path).expect("UTF-8"))
        .collect();
    let mut named = std::collections::HashSet::new();
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| requirement")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [what, source, shown] = cells[..] else { panic!("no row of three: {line}") };
        if ["what", "input"].contains(&what) {
            continue;
        }
        assert!(source.contains("RFC ") && source.contains('§'), "no section is cited: {line}");
        let names: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "nothing shows it: {line}");
        for name in names {
            let there = match name.rsplit_once('.').map(|(_, ending)| ending) {
                Some("dhcp") => root().join("tests/scenarios").join(name).exists(),
                Some("dhcp6") => root().join("tests/scenarios6").join(name).exists(),
                _ => sources.contains(&format!("fn {name}(")),
            };
            assert!(there, "`{name}` is not there: {line}");
            named.insert(name.to_owned());
        }
    }
    for (folder, ending) in [("tests/scenarios", ".dhcp"), ("tests/scenarios6", ".dhcp6")] {
        for path in files(&root().join(folder), ending) {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(named.contains(&name), "{name} shows nothing that the page names");
        }
    }
    // every requirement of these sections of the reference
    let ranges = [(201, 218), (221, 226), (301, 310), (401, 406), (411, 415), (701, 710), (721, 724)];
    for number in ranges.into_iter().flat_map(|(first, last)| first..=last) {
        assert!(page.contains(&format!("| DH-{number} ")), "DH-{number} has no row");
    }
}
