//! Owns the rules that keep the documents true: what they name exists, what they promise is run.

use std::fs;

use crate::{none, top};

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Words in backticks.
fn ticked(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_map_names_what_exists() {
    let text = read("ARCHITECTURE.md");
    let bad: Vec<String> = ticked(&text)
        .filter(|t| t.contains('/') && !t.contains([' ', '<', '*', '{', ':']) && !t.starts_with('/'))
        .filter(|t| ["signing/", "packs/", "state/", "console/", "packer/", "installer/", "launcher/", "tests/", "docs/"].iter().any(|a| t.starts_with(a)))
        .filter(|t| !top().join(t.split('#').next().unwrap_or_default()).exists())
        .map(str::to_owned)
        .collect();
    none(bad, "ARCHITECTURE.md names what is not there");
}

#[test]
fn ci_runs_the_commands_of_the_readme() {
    let (readme, ci) = (read("README.md"), read(".ci/run"));
    let block = readme.split("```sh\n").nth(1).and_then(|t| t.split("```").next()).expect("README.md starts with a block of commands");
    let commands: Vec<_> = block.lines().filter_map(|l| l.split('#').next()).map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(commands.len(), 2, "two commands do everything: {commands:?}");
    let bad = commands.iter().filter(|c| !ci.contains(**c)).map(|c| (*c).to_owned()).collect();
    none(bad, ".ci/run does not run");
}

#[test]
fn every_crash_point_has_its_row() {
    let (rows, code) = (read("state/TRANSACTIONS.md"), read("state/src/crash.rs"));
    let names: Vec<_> = code.lines().filter_map(|l| l.split("=> \"").nth(1)?.split('"').next()).collect();
    assert!(names.len() >= 5, "crash points are listed in state/src/crash.rs as `Variant => \"name\"`: {names:?}");
    let bad = names.iter().filter(|n| !rows.contains(&format!("`{n}`"))).map(|n| (*n).to_owned()).collect();
    none(bad, "crash points without a row in state/TRANSACTIONS.md");
}
