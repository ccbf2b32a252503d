//! Owns the tests of `init`, `check`, `lock` and `fetch` as programs.

use std::fs;

use crate::stock::Desk;

#[test]
fn every_template_is_a_definition_without_mistakes() {
    let desk = Desk::new();
    for name in ["files", "service", "node"] {
        desk.packer(&format!("init --template {name} {name}")).ok();
        desk.packer(&format!("check {name}/stack.toml")).ok();
        let again = desk.packer(&format!("init --template {name} {name}")).refused(2);
        assert!(
            again.contains("exists") && again.contains("nothing was written"),
            "{again}"
        );
    }
    assert!(
        desk.packer("init --template nope x")
            .refused(2)
            .contains("files, service, node")
    );
}

#[test]
fn mistakes_are_told_one_by_one_and_counted() {
    let desk = Desk::new();
    desk.write("stack.toml", "[pack]\nnmae = \"x\"\nversion = \"1.0.0\"\n");
    insta::assert_snapshot!(desk.packer("check stack.toml").refused(2), @r#"
    error: stack.toml:1:1: the definition has no `[[component]]`
             |
           1 | [pack]
             | ^
    error: stack.toml:1:2: [pack] has no `name`
             |
           1 | [pack]
             |  ^^^^
    error: stack.toml:2:1: unknown key `nmae` in [pack]
             |
           2 | nmae = "x"
             | ^^^^ did you mean `name`?
    error: `stack.toml` has 3 mistakes
    "#);
    let run = desk.packer("check stack.toml --json");
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((run.code, json["mistakes"][2]["line"].as_u64()), (2, Some(2)));
}

#[test]
fn a_lock_is_written_once_and_keeps_what_is_pinned() {
    let desk = Desk::new();
    desk.write("down/a.txt", "one");
    let url = |name: &str| super::desk::file_url(&desk.path(&format!("down/{name}")));
    let stack = |name: &str, exec: &str| {
        let source = format!("source = {{ url = \"{}\"{exec} }}", url(name));
        format!("[pack]\nname = \"p\"\nversion = \"1.0.0\"\n[[component]]\nid = \"a\"\nversion = \"1.0.0\"\n{source}\n")
    };
    desk.write("stack.toml", stack("a.txt", ""));
    let refused = desk.packer("fetch stack.toml --cache cache").refused(2);
    assert!(refused.contains("there is no lock `stack.lock`") && refused.contains("hint: run `kojibox-packer lock"));

    let told = desk.packer("lock stack.toml --cache cache").ok();
    assert_eq!(told, "stack.lock written: 1 resolved, 0 kept, 0 dropped\n");
    let lock = desk.read("stack.lock");
    assert!(
        lock.contains("sha256 = \"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed\""),
        "{lock}"
    );
    desk.write("down/a.txt", "two");
    assert!(
        desk.packer("lock stack.toml --cache cache")
            .ok()
            .contains("unchanged: 0 resolved, 1 kept")
    );
    assert_eq!(desk.read("stack.lock"), lock, "the bytes stay, the date too");

    // Other steps keep the inputs; the pinned bytes come from the cache, and from nowhere else.
    desk.write("stack.toml", stack("a.txt", ", exec = [\"*\"]"));
    assert!(
        desk.packer("lock stack.toml --cache cache --offline")
            .ok()
            .contains("written: 0 resolved, 1 kept")
    );
    assert!(
        desk.packer("fetch stack.toml --cache cache --offline")
            .ok()
            .contains("1 file, 3 B pinned and there")
    );
    fs::remove_dir_all(desk.path("cache")).unwrap();
    let gone = desk.packer("fetch stack.toml --cache cache --offline").refused(33);
    assert!(gone.contains("`--offline` forbids"), "{gone}");
    let other = desk.packer("fetch stack.toml --cache cache").refused(21);
    assert!(other.contains("is not what was pinned"), "{other}");

    // Another source is another input.
    desk.write("down/b.txt", "b");
    desk.write("stack.toml", stack("b.txt", ""));
    let stale = desk.packer("fetch stack.toml --cache cache").refused(2);
    assert!(stale.contains("changed since the lock"), "{stale}");
    desk.packer("lock stack.toml --cache cache").ok();
    assert!(
        desk.packer("fetch stack.toml --cache cache")
            .ok()
            .contains("0 B fetched now")
    );
}

#[test]
fn a_lock_that_is_none_is_told() {
    let desk = Desk::new();
    desk.packer("init x").ok();
    for (text, told) in [
        (
            "version = 2\nissued = \"\"\n",
            "has version 2, this program reads version 1",
        ),
        ("version = 1\nissued = \"\"\nextra = 1\n", "unknown field `extra`"),
        ("<<<<<<< HEAD\n", "is no lock"),
    ] {
        desk.write("x/stack.lock", text);
        let refused = desk.packer("lock x/stack.toml --cache cache").refused(2);
        assert!(refused.contains(told), "{refused}");
    }
}

#[test]
fn a_source_for_all_targets_is_asked_once() {
    let desk = Desk::new();
    desk.write("down/a.txt", "one");
    let url = super::desk::file_url(&desk.path("down/a.txt"));
    let component = format!("[[component]]\nid = \"a\"\nversion = \"1.0.0\"\nsource = {{ url = \"{url}\" }}\n");
    let targets = r#"targets = ["linux-x86_64", "windows-x86_64"]"#;
    desk.write(
        "stack.toml",
        format!("[pack]\nname = \"p\"\nversion = \"1.0.0\"\n{targets}\n{component}"),
    );
    desk.packer("lock stack.toml --cache cache --target linux-x86_64").ok();
    desk.write("down/a.txt", "two");
    desk.packer("lock stack.toml --cache cache").ok();
    let lock = desk.read("stack.lock");
    let digest = "sha256 = \"7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed\"";
    assert_eq!(
        lock.matches(digest).count(),
        2,
        "both targets have the same bytes: {lock}"
    );
    desk.packer("lock stack.toml --cache cache --update").ok();
    assert!(
        !desk.read("stack.lock").contains(digest),
        "asked anew, both have the new bytes"
    );
}
