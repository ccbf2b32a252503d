//! Owns the tests of package clients, with scripts in their place: what they are asked, what is believed, what is told.

use std::{fs, os::unix::fs::PermissionsExt as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kojibox_console::Exit;
use kojibox_packer::definition::{Origin, ResolvedComponent, Steps};
use sha2::{Digest as _, Sha512};

use super::desk::{Desk, chain, component, listing};
use crate::bench::{Bench, ran, set_executable};

/// Puts a script in the place of a client.
pub(super) fn script(desk: &mut Desk, name: &str, text: &str) {
    let path = desk.write(
        &format!("bin/{name}"),
        format!("#!/bin/sh\nD={}\n{text}", desk.path("").display()),
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", desk.path("bin").display());
    desk.env.vars.insert("PATH", path);
}

fn tgz(text: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "package/index.js", text.as_bytes())
        .unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

fn integrity(bytes: &[u8]) -> String {
    format!("sha512-{}", STANDARD.encode(Sha512::digest(bytes)))
}

fn npm(tree: Option<Vec<(String, String)>>) -> ResolvedComponent {
    let origin = Origin::Npm {
        name: "@a/one".to_owned(),
        version: "1.0.0".to_owned(),
        tree,
    };
    component(origin, Steps::default())
}

/// An npm that knows `@a/one`, which needs `two`.
const NPM: &str = r#"
printf '%s\n' "$*" >> "$D/asked"
case "$*" in
*" view "*) cat "$D/view.json" ;;
*" install "*) cat "$D/package-lock.json" > package-lock.json ;;
*" pack "*)
    while [ "$1" != --pack-destination ]; do shift; done
    for spec; do case "$spec" in @a/one@*) cp "$D/a-one-1.0.0.tgz" "$2" ;; two@*) cp "$D/two-2.0.0.tgz" "$2" ;; esac; done ;;
esac
"#;

fn registry() -> Desk {
    let mut desk = Desk::new();
    script(&mut desk, "npm", NPM);
    let (one, two) = (tgz("one"), tgz("two"));
    desk.write(
        "view.json",
        format!(r#"{{"version":"1.0.0","dist.integrity":"{}"}}"#, integrity(&one)),
    );
    let lock = format!(
        r#"{{"lockfileVersion":3,"packages":{{"":{{}},
        "node_modules/@a/one":{{"version":"1.0.0","integrity":"{}","hasInstallScript":true}},
        "node_modules/@a/one/node_modules/alias":{{"name":"two","version":"2.0.0","integrity":"{}"}},
        "node_modules/dev":{{"version":"1.0.0","dev":true}},
        "node_modules/native":{{"version":"1.0.0","optional":true}}}}}}"#,
        integrity(&one),
        integrity(&two)
    );
    desk.write("package-lock.json", lock);
    desk.write("a-one-1.0.0.tgz", one);
    desk.write("two-2.0.0.tgz", two);
    desk
}

#[test]
fn a_package_is_pinned_by_what_its_registry_promises() {
    let desk = registry();
    let entry = desk.lock(&npm(None)).unwrap();
    assert_eq!(entry.inputs[0].locator, "npm:@a/one@1.0.0");
    assert_eq!(entry.inputs[0].integrity.as_deref(), Some(&*integrity(&tgz("one"))));
    assert_eq!(
        listing(&desk.prepare(&npm(None), &entry).unwrap()),
        ["package/", "package/index.js one"]
    );
    let asked = fs::read_to_string(desk.path("asked")).unwrap();
    assert!(
        asked
            .lines()
            .all(|l| l.contains("--ignore-scripts") && l.contains("--cache ")),
        "{asked}"
    );

    desk.write("a-one-1.0.0.tgz", tgz("evil"));
    let error = desk.lock(&npm(None)).unwrap_err();
    assert!(chain(&error).contains("`@a/one@1.0.0` is not what its registry promised: got `sha512-"));
    assert_eq!(error.exit(), Exit::Damaged);
}

#[test]
fn a_tree_is_made_from_pinned_packages_alone() {
    let mut desk = registry();
    let thing = npm(Some(Vec::new()));
    let entry = desk.lock(&thing).unwrap();
    let names: Vec<_> = entry
        .inputs
        .iter()
        .map(|i| (i.name.as_str(), i.locator.as_str()))
        .collect();
    let nested = "node_modules/@a/one/node_modules/alias";
    assert_eq!(
        names,
        [("node_modules/@a/one", "npm:@a/one@1.0.0"), (nested, "npm:two@2.0.0")]
    );

    // Another machine with this lock and an empty cache asks for exactly these packages.
    fs::remove_dir_all(desk.cache.dir()).unwrap();
    fs::remove_file(desk.path("package-lock.json")).unwrap();
    assert!(desk.fetch(&thing, &entry).unwrap() > 0);
    desk.env.offline = true;
    fs::remove_dir_all(desk.path("bin")).unwrap();
    let tree = desk.prepare(&thing, &entry).unwrap();
    let files: Vec<_> = listing(&tree).into_iter().filter(|l| !l.ends_with('/')).collect();
    assert_eq!(
        files,
        [
            "node_modules/@a/one/index.js one".to_owned(),
            format!("{nested}/index.js two")
        ]
    );
    assert!(tree.portable);
}

#[test]
fn other_bytes_than_locked_are_refused() {
    let desk = registry();
    let thing = npm(Some(Vec::new()));
    let entry = desk.lock(&thing).unwrap();
    fs::remove_dir_all(desk.cache.dir()).unwrap();
    desk.write("two-2.0.0.tgz", tgz("evil"));
    let error = desk.fetch(&thing, &entry).unwrap_err();
    assert!(
        chain(&error).contains("`two@2.0.0` is not what was pinned"),
        "{}",
        chain(&error)
    );
    assert_eq!(error.exit(), Exit::Damaged);
}

#[test]
fn what_cannot_be_pinned_is_refused() {
    let desk = registry();
    for (entry, reason) in [
        (
            r#""version":"1.0.0","resolved":"git+ssh://git@example.org/x.git""#,
            "does not come from a registry",
        ),
        (
            r#""version":"1.0.0","resolved":"../x","link":true"#,
            "does not come from a registry",
        ),
        (r#""version":"1.0.0","integrity":"sha1-x""#, "has no sha512 digest"),
    ] {
        desk.write(
            "package-lock.json",
            format!(r#"{{"packages":{{"node_modules/x":{{{entry}}}}}}}"#),
        );
        let text = chain(&desk.lock(&npm(Some(Vec::new()))).unwrap_err());
        assert!(
            text.contains("package `node_modules/x` of `@a/one@1.0.0`") && text.contains(reason),
            "{text}"
        );
    }
}

fn wheel() -> ResolvedComponent {
    let origin = Origin::Pypi {
        name: "thing".to_owned(),
        version: "1.0".to_owned(),
        platforms: vec!["manylinux_2_17_x86_64".to_owned(), "manylinux_2_28_x86_64".to_owned()],
        python: None,
    };
    component(origin, Steps::default())
}

#[test]
fn a_wheel_is_asked_for_by_target_and_later_by_its_own_tags() {
    let mut desk = Desk::new();
    let pip = r#"
        printf '%s\n' "$*" >> "$D/asked"
        while [ "$1" != --dest ]; do shift; done
        printf wheel > "$2/thing-1.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
    "#;
    script(&mut desk, "pip", pip);
    let entry = desk.lock(&wheel()).unwrap();
    fs::remove_dir_all(desk.cache.dir()).unwrap();
    desk.fetch(&wheel(), &entry).unwrap();
    let asked = fs::read_to_string(desk.path("asked")).unwrap();
    let platforms: Vec<Vec<&str>> = asked
        .lines()
        .map(|l| {
            l.split("--platform ")
                .skip(1)
                .map(|p| p.split(' ').next().unwrap())
                .collect()
        })
        .collect();
    assert_eq!(
        platforms,
        [
            vec!["manylinux_2_17_x86_64", "manylinux_2_28_x86_64"],
            vec!["manylinux_2_17_x86_64", "manylinux2014_x86_64"]
        ]
    );
    assert!(
        asked
            .lines()
            .all(|l| l.contains("--no-deps") && l.contains("--only-binary=:all:")),
        "{asked}"
    );
}

#[test]
fn a_client_that_fails_is_quoted_and_one_that_is_missing_is_named() {
    let mut desk = Desk::new();
    script(&mut desk, "pip", "echo 'ERROR: no matching distribution' >&2; exit 1");
    let error = desk.lock(&wheel()).unwrap_err();
    let text = chain(&error);
    assert!(
        text.contains("`pip` could not fetch `thing==1.0`\nit ended with exit status: 1\nERROR: no matching"),
        "{text}"
    );

    desk.env.vars.insert("PATH", desk.path("nowhere"));
    let error = desk.lock(&wheel()).unwrap_err();
    assert!(
        chain(&error).contains("could not run `pip`, the client that fetches Python wheels"),
        "{}",
        chain(&error)
    );
    assert!(error.hint().unwrap().contains("install Python 3 with pip"));
}

/// A program in the place of a client sees the person's settings, and nothing of ours.
#[test]
fn the_passphrase_of_the_signing_keys_is_never_given_to_a_client() {
    let bench = Bench::new();
    let pip = "#!/bin/sh\nenv > \"$0.env\"\nwhile [ \"$1\" != --dest ]; do shift; done\nprintf w > \"$2/t-1.0-py3-none-any.whl\"\n";
    set_executable(&bench.write("bin/pip", pip));
    bench.write(
        "stack.toml",
        "[pack]\nname = \"p\"\nversion = \"1.0.0\"\n\
         [[component]]\nid = \"t\"\nversion = \"1.0.0\"\nsource = { pypi = \"t\", version = \"1.0\" }\n",
    );
    let mut command = bench.command(&["lock", "stack.toml"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", bench.path("bin").display()));
    command.env("KOJIBOX_KEY_PASSPHRASE", "correct horse");
    command
        .env("Kojibox_Other", "x")
        .env("PIP_INDEX_URL", "https://mirror.example.org");
    ran(command.output().unwrap()).ends(0);
    let seen = fs::read_to_string(bench.path("bin/pip.env")).unwrap();
    assert!(seen.contains("PIP_INDEX_URL=https://mirror.example.org\n"), "{seen}");
    let ours = seen
        .lines()
        .find(|line| line.to_ascii_uppercase().starts_with("KOJIBOX_"));
    assert_eq!(ours, None, "{seen}");
    assert!(!seen.contains("correct horse"), "{seen}");
}
