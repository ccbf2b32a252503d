//! Rules about who may use whom, read off cargo's own metadata.

use std::{collections::BTreeMap, process::Command};

use kojibox_tests::{Failure, Outcome, ensure, workspace};
use serde_json::Value;

use crate::tree::{dir, expect_none, files};

/// Our crates that each of our crates may use.
const DIRECTION: [(&str, &[&str]); 10] = [
    ("kojibox-signing", &[]),
    ("kojibox-packs", &["kojibox-signing"]),
    ("kojibox-state", &["kojibox-signing", "kojibox-packs"]),
    ("kojibox-console", &[]),
    (
        "kojibox-packer",
        &["kojibox-signing", "kojibox-packs", "kojibox-console"],
    ),
    (
        "kojibox-installer",
        &["kojibox-signing", "kojibox-packs", "kojibox-state", "kojibox-console"],
    ),
    (
        "kojibox-supervisor",
        &["kojibox-signing", "kojibox-packs", "kojibox-state"],
    ),
    (
        "kojibox",
        &[
            "kojibox-signing",
            "kojibox-packs",
            "kojibox-state",
            "kojibox-console",
            "kojibox-supervisor",
        ],
    ),
    ("demo-service", &[]),
    (
        "kojibox-tests",
        &["kojibox-signing", "kojibox-packs", "kojibox-state", "kojibox-console"],
    ),
];

/// Crates that can open a connection.
const CLIENTS: [&str; 9] = [
    "ureq",
    "reqwest",
    "hyper",
    "hyper-util",
    "rustls",
    "native-tls",
    "openssl",
    "curl",
    "self_update",
];

fn cargo(args: &[&str]) -> Outcome<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo).args(args).current_dir(workspace()).output();
    let output = output.map_err(Failure::doing("could not run cargo"))?;
    ensure(output.status.success(), || {
        String::from_utf8_lossy(&output.stderr).into_owned()
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Direct dependencies of each crate of ours; `kind` is null for normal ones.
fn dependencies() -> Outcome<BTreeMap<String, Vec<(String, Value)>>> {
    let text = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"])?;
    let all: Value = serde_json::from_str(&text).map_err(Failure::doing("could not understand cargo"))?;
    let packages = all["packages"].as_array().cloned().unwrap_or_default();
    let name = |value: &Value| value["name"].as_str().unwrap_or_default().to_owned();
    let of = |package: &Value| {
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        dependencies.map(|d| (name(d), d["kind"].clone())).collect()
    };
    Ok(packages.iter().map(|package| (name(package), of(package))).collect())
}

#[test]
fn crates_use_each_other_in_one_direction() -> Outcome {
    let all = dependencies()?;
    let ours: Vec<&str> = DIRECTION.iter().map(|(name, _)| *name).collect();
    let mut found = Vec::new();
    for name in all.keys().filter(|name| !ours.contains(&name.as_str())) {
        found.push(format!("`{name}` has no row in this test"));
    }
    for (name, allowed) in DIRECTION {
        let used = all.get(name).into_iter().flatten().filter(|(_, kind)| kind != "dev");
        let wrong = used.filter(|(used, _)| ours.contains(&used.as_str()) && !allowed.contains(&used.as_str()));
        found.extend(wrong.map(|(used, _)| format!("`{name}` uses `{used}`")));
    }
    expect_none(
        "signing <- packs <- state <- {installer, launcher}; nothing uses tests",
        &found,
    )
}

#[test]
fn the_installer_links_nothing_that_can_connect() -> Outcome {
    let tree = cargo(&[
        "tree",
        "--offline",
        "--package",
        "kojibox-installer",
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ])?;
    let linked = tree.lines().filter_map(|line| line.split(' ').next());
    let found: Vec<String> = linked
        .filter(|name| CLIENTS.contains(name))
        .map(str::to_owned)
        .collect();
    expect_none("the installer never connects", &found)
}

#[test]
fn one_version_of_each_dependency_is_said_in_one_place() -> Outcome {
    let mut found = Vec::new();
    for crate_dir in [
        "signing",
        "packs",
        "state",
        "console",
        "packer",
        "installer",
        "launcher",
        "launcher/supervisor",
    ] {
        let manifest = dir(crate_dir).join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).map_err(Failure::doing("could not read a manifest"))?;
        let mut section = "";
        for line in text.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let dependency = section.ends_with("dependencies]") && line.contains('=');
            if dependency && !line.contains("workspace = true") {
                found.push(format!("{crate_dir}/Cargo.toml: {line}"));
            }
        }
    }
    expect_none("versions stand in the workspace's Cargo.toml", &found)
}

#[test]
fn every_fuzz_target_is_built_and_starts_from_seeds() -> Outcome {
    let manifest = dir("fuzz/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).map_err(Failure::doing("could not read fuzz/Cargo.toml"))?;
    let mut found = Vec::new();
    let mut targets = 0;
    for source in files(&[".rs"])? {
        let name = source.path.strip_prefix("fuzz/fuzz_targets/");
        let Some(name) = name.and_then(|name| name.strip_suffix(".rs")) else {
            continue;
        };
        targets += 1;
        if !manifest.contains(&format!("\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n")) {
            found.push(format!("`{name}` is not in fuzz/Cargo.toml"));
        }
        let seeds = std::fs::read_dir(dir("fuzz/corpus").join(name));
        if seeds.into_iter().flatten().count() == 0 {
            found.push(format!("fuzz/corpus/{name} has no seed"));
        }
    }
    ensure(targets > 10, || format!("only {targets} fuzz targets found"))?;
    expect_none("a fuzz target is built by `cargo fuzz` and has a corpus", &found)
}
