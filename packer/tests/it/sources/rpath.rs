//! Owns the tests of the step `rpath`: a program and a library that the C compiler of this machine makes, moved and run.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use kojibox_packer::{
    definition::{Origin, ResolvedComponent, Steps},
    source::PreparedTree,
};
use kojibox_packs::write::InputKind;

use super::desk::{Desk, component};

/// Runs the C compiler, which is there because programs of Rust are linked with it.
fn cc(desk: &Desk, args: &[&str]) {
    let done = Command::new("cc")
        .current_dir(desk.path("made"))
        .args(args)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// `bin/say` needs `lib/libword.so.1`, and nothing says where that is.
fn made() -> Desk {
    let desk = Desk::new();
    desk.write("made/word.c", "int word(void) { return 42; }");
    desk.write("made/say.c", "int word(void); int main(void) { return word(); }");
    desk.write("made/bin/note", "no program");
    fs::create_dir_all(desk.path("made/lib")).unwrap();
    cc(
        &desk,
        &[
            "-shared",
            "-fPIC",
            "-Wl,-soname,libword.so.1",
            "-o",
            "lib/libword.so.1",
            "word.c",
        ],
    );
    cc(&desk, &["-o", "bin/say", "say.c", "lib/libword.so.1"]);
    desk
}

fn from(desk: &Desk, rpath: &[(&str, &str)]) -> ResolvedComponent {
    let origin = Origin::Path {
        from: desk.path("made"),
        written: "made".to_owned(),
    };
    let rpath = rpath.iter().map(|(p, f)| ((*p).to_owned(), (*f).to_owned())).collect();
    component(
        origin,
        Steps {
            rpath,
            ..Steps::default()
        },
    )
}

/// Writes the files of the tree below `root`, as an install would.
fn write(tree: &PreparedTree, root: &Path) {
    for entry in &tree.entries {
        let path = root.join(entry.path.as_str());
        if let InputKind::File { mode, open, .. } = &entry.kind {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut bytes = Vec::new();
            open().unwrap().read_to_end(&mut bytes).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
}

fn run(desk: &Desk, rpath: &[(&str, &str)], name: &str) -> Option<i32> {
    let root = desk.path(name);
    write(&desk.make(&from(desk, rpath)).unwrap(), &root);
    let done = Command::new(root.join("bin/say")).env_clear().output().unwrap();
    done.status.code()
}

#[test]
fn a_program_finds_its_libraries_wherever_the_tree_is() {
    let desk = made();
    assert_eq!(
        run(&desk, &[], "plain"),
        Some(127),
        "without the step the loader finds nothing"
    );
    let good = [("bin/*", "$ORIGIN/../lib"), ("lib/*.so*", "$ORIGIN")];
    assert_eq!(run(&desk, &good, "a place with spaces"), Some(42));
    // Of two patterns the last one counts, and what is written once is written anew.
    assert_eq!(
        run(
            &desk,
            &[("bin/say", "$ORIGIN/nowhere"), ("bin/*", "$ORIGIN/../lib")],
            "last"
        ),
        Some(42)
    );
    assert_eq!(
        run(
            &desk,
            &[("bin/*", "$ORIGIN/../lib"), ("bin/say", "$ORIGIN/nowhere")],
            "first"
        ),
        Some(127)
    );
    fs::copy(desk.path("a place with spaces/bin/say"), desk.path("made/bin/say")).unwrap();
    assert_eq!(
        run(&desk, &[("bin/*", "$ORIGIN/elsewhere:$ORIGIN/../lib/.")], "again"),
        Some(42)
    );
}

#[test]
fn the_same_input_gives_the_same_bytes_and_other_files_stay() {
    let desk = made();
    let good = [("**", "$ORIGIN/../lib")];
    assert_eq!(run(&desk, &good, "one"), run(&desk, &good, "two"));
    for path in ["bin/say", "lib/libword.so.1"] {
        let read = |root: &str| fs::read(desk.path(root).join(path)).unwrap();
        assert_eq!(read("one"), read("two"), "{path}");
        assert_ne!(read("one"), read("made"), "{path}");
    }
    assert_eq!(fs::read(desk.path("one/bin/note")).unwrap(), b"no program");
}

#[test]
fn a_pattern_without_a_program_is_a_mistake() {
    let desk = made();
    for pattern in ["bin/note", "sbin/*"] {
        let text = desk.refusal(&from(&desk, &[(pattern, "$ORIGIN")]));
        assert!(
            text.contains(&format!("`rpath` names `{pattern}`, which matches nothing")),
            "{text}"
        );
    }
}
