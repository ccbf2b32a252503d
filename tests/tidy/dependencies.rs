//! Owns the rules about who may use whom.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{none, top};

/// Crate folder and the crates of this workspace that it may use.
const DIRECTION: &[(&str, &[&str])] = &[
    ("signing", &[]),
    ("console", &[]),
    ("packs", &["signing"]),
    ("state", &["packs", "signing"]),
    ("packer", &["console", "packs", "signing"]),
    ("installer", &["console", "packs", "signing", "state"]),
    ("launcher/supervisor", &["packs", "signing", "state"]),
    ("launcher", &["console", "packs", "signing", "state", "supervisor"]),
    ("packs/recipes/demo/service", &[]),
];

/// Crates that can open a connection to somewhere else.
const CONNECTS: &[&str] = &["ureq", "reqwest", "hyper", "rustls", "native-tls", "curl", "hickory-resolver"];

#[test]
fn crates_use_each_other_in_one_direction() {
    let mut bad = Vec::new();
    for (folder, allowed) in DIRECTION {
        let text = fs::read_to_string(top().join(folder).join("Cargo.toml")).expect("each crate has a Cargo.toml");
        let normal = text.split("[dev-dependencies]").next().unwrap_or_default();
        for line in normal.lines().filter_map(|l| l.strip_prefix("kojibox-")) {
            let used = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if !allowed.contains(&used) {
                bad.push(format!("`{folder}` uses `kojibox-{used}`"));
            }
        }
    }
    none(bad, "against the direction of ARCHITECTURE.md");
}

#[test]
fn every_member_has_a_direction() {
    let text = fs::read_to_string(top().join("Cargo.toml")).expect("the workspace has a Cargo.toml");
    let members = text.split("members = [").nth(1).and_then(|t| t.split(']').next()).expect("members are listed");
    let listed: BTreeSet<_> = members.lines().filter_map(|l| l.trim().strip_prefix('"')?.strip_suffix("\",")).collect();
    let known: BTreeSet<_> = DIRECTION.iter().map(|(folder, _)| *folder).chain(["tests"]).collect();
    assert_eq!(listed, known, "tests/tidy/dependencies.rs and Cargo.toml list the same crates");
}

#[test]
fn the_installer_links_nothing_that_connects() {
    let tree = tree_of("kojibox-installer");
    assert!(tree.contains("kojibox-state"), "cargo tree printed something else:\n{tree}");
    let bad = CONNECTS.iter().filter(|c| tree.lines().any(|l| l.split(' ').next() == Some(c))).map(|c| (*c).to_owned()).collect();
    none(bad, "the installer's default build links");
}

fn tree_of(package: &str) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["tree", "--offline", "--locked", "--edges", "normal", "--prefix", "none", "--package", package])
        .current_dir(top())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}
