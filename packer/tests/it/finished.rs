//! Finished packs: every damage has its verdict, a stick is a depot with everything to install and to check, a pack fits in
//! one file.

use std::{fs, path::Path, process::Command};

use crate::{
    bench::{Bench, flip, ran},
    stock::lacks,
};

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 7]).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

type Damage = fn(&Path);

#[test]
fn each_kind_of_damage_has_its_verdict() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    let whole = bench.files("depot");
    let verify = |trust: &[&str]| bench.run(&[&["verify", "depot"], trust].concat());
    let pinned: &[&str] = &["--trust", "keys/root.json"];
    verify(pinned).ends(0);
    let cases: [(&str, &str, Damage, i32); 12] = [
        ("packs", ".kbx.json", flip, 20),
        ("packs", ".kbx.json", cut, 20),
        ("packs", ".sshsig", flip, 20),
        ("packs", ".sshsig", remove, 20),
        ("packs", ".cdx.json", flip, 21),
        ("packs", ".SHA256SUMS", flip, 21),
        ("packs", ".provenance.json", remove, 33),
        ("blobs", ".idx.zst", flip, 21),
        ("blobs", ".tar.zst", flip, 21),
        ("blobs", ".tar.zst", cut, 21),
        ("blobs", ".tar.zst", remove, 33),
        ("trust", ".root.json", flip, 20),
    ];
    for (folder, end, damage, code) in cases {
        damage(&bench.file(&format!("depot/{folder}"), "", end));
        let run = verify(pinned);
        assert_eq!(run.code, code, "{folder} {end}: {}", run.err);
        assert!(
            run.err.contains("error: ") && (run.err.contains("caused by: ") || folder == "trust" || code == 33),
            "{}",
            run.err
        );
        for (name, bytes) in &whole {
            bench.write(&format!("depot/{name}"), bytes);
        }
    }
    verify(&[]).ends(0).says("came with the packs");
    bench
        .run(&["trust", "init", "--out", "others", "--unsafe-no-password"])
        .ends(0);
    verify(&["--trust", "others/root.json"]).ends(20);
    bench.run(&["verify", "nowhere"]).ends(33);
}

#[test]
fn one_refused_pack_does_not_hide_the_others() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    let next = fs::read_to_string(bench.path("work/stack.toml"))
        .unwrap()
        .replace("1.0.0", "1.1.0");
    bench.write("work/next.toml", next);
    bench.build("work/next.toml", "depot", &[]).ends(0);
    flip(&bench.file("depot/packs", "1.0.0", ".kbx.json"));
    let run = bench.run(&["verify", "depot", "--json"]).ends(20);
    let verdict = run.json();
    assert_eq!(
        (
            verdict["packs"][0]["version"].as_str(),
            verdict["refused"][0]["exit"].as_u64()
        ),
        (Some("1.1.0"), Some(20))
    );
}

/// The commands of the text are run as they stand there.
#[test]
#[cfg(target_os = "linux")]
fn the_readme_of_a_stick_tells_the_truth() {
    if lacks(&["ssh-keygen", "sha256sum", "zstd", "tar"]) {
        return;
    }
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    bench
        .run(&[
            "stick",
            "stick",
            "--depot",
            "depot",
            "--trust",
            "keys/root.json",
            "--without-installer",
        ])
        .ends(0);
    let readme = fs::read_to_string(bench.path("stick/README.txt")).unwrap();
    assert!(
        readme.is_ascii()
            && readme
                .lines()
                .filter(|l| !l.contains("ssh-ed25519"))
                .all(|l| l.len() <= 100),
        "{readme}"
    );
    let (_, commands) = readme.split_once("HOW TO CHECK EVERYTHING WITHOUT KOJIBOX").unwrap();
    let script: Vec<_> = commands.lines().filter_map(|l| l.strip_prefix("    ")).collect();
    fs::create_dir(bench.path("tmp")).unwrap();
    let script = script.join("\n").replace("/tmp/", "../tmp/");
    let shell = Command::new("sh")
        .args(["-euc", &script])
        .current_dir(bench.path("stick"))
        .output()
        .unwrap();
    let shell = ran(shell).ends(0);
    assert!(
        shell.out.contains("Good \"kojibox-pack@v1\" signature"),
        "{}",
        shell.out
    );
    assert_eq!(shell.out.matches(": OK").count(), 4, "{}", shell.out);
    assert!(bench.files("tmp/out") == bench.files("work/dir"));
}

#[test]
fn a_stick_is_cut_to_size_mended_and_leaves_foreign_files_alone() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    bench.write("stick/README.txt", "holiday pictures\n");
    bench.write("stick/packs/._litter", "x");
    let stick = |more: &[&str]| {
        bench.run(
            &[
                &["stick", "stick", "--depot", "depot", "--without-installer", "--json"],
                more,
            ]
            .concat(),
        )
    };
    let planned = stick(&["--plan"]).ends(0).json();
    assert!(planned["fits"].as_bool().unwrap() && planned["to_write"].as_u64().unwrap() > 20 << 20);
    assert!(!bench.path("stick/blobs").exists(), "a plan writes nothing");

    stick(&["--part-size", "1M"])
        .ends(2)
        .says("could not cut")
        .says("--part-size");
    let laid = stick(&["--part-size", "9M"])
        .ends(0)
        .says("`README.txt` there is not of this program");
    assert_eq!(laid.json()["copied"], 1);
    let parts: Vec<_> = bench
        .files("stick/blobs")
        .into_iter()
        .filter(|(n, _)| n.contains(".tar.zst."))
        .collect();
    assert!(
        parts.len() == 3 && parts.iter().all(|(_, bytes)| bytes.len() <= 9 << 20),
        "{}",
        parts.len()
    );
    let whole = fs::read(bench.file("depot/blobs", "", ".tar.zst")).unwrap();
    assert!(parts.iter().flat_map(|(_, bytes)| bytes).eq(&whole));
    bench.run(&["verify", "stick", "--trust", "keys/root.json"]).ends(0);

    assert_eq!(stick(&["--part-size", "9M"]).ends(0).json()["kept"], 1);
    flip(&bench.path("stick/blobs").join(&parts[1].0));
    bench.run(&["verify", "stick"]).ends(21);
    assert_eq!(stick(&["--part-size", "9M"]).ends(0).json()["copied"], 1);
    bench.run(&["verify", "stick"]).ends(0);

    stick(&[]).ends(0);
    let files = bench.files("stick");
    assert_eq!(
        files.keys().filter(|n| n.contains(".tar.zst")).count(),
        1,
        "the old parts are gone"
    );
    assert_eq!(files["README.txt"], b"holiday pictures\n");
    assert!(files.contains_key("packs/._litter") && files.contains_key("README-KOJIBOX.txt"));
    bench.run(&["verify", "stick"]).ends(0);
}

#[test]
fn a_damaged_depot_never_becomes_a_stick() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    flip(&bench.file("depot/blobs", "", ".tar.zst"));
    let run = bench
        .run(&["stick", "stick", "--depot", "depot", "--without-installer"])
        .ends(21);
    drop(run.says("does not match the manifest").says("state: "));
    let files = bench.files("stick");
    assert!(
        files
            .keys()
            .all(|n| !n.ends_with(".kbx.json") && !n.ends_with(".tar.zst") && !n.ends_with(".partial")),
        "{:?}",
        files.keys()
    );
    bench
        .run(&[
            "export",
            "tree@1.0.0",
            "--depot",
            "depot",
            "--single-file",
            "out/x.kpack",
        ])
        .ends(21);
    assert!(bench.files("out").is_empty());
    bench
        .run(&[
            "stick",
            "stick",
            "--depot",
            "depot",
            "--pack",
            "tree@9.0.0",
            "--without-installer",
        ])
        .ends(33)
        .says("`tree@9.0.0`");
    bench
        .run(&["stick", "stick", "--depot", "depot", "--tools", "none"])
        .ends(2)
        .says("--without-installer");
}

#[test]
fn installers_on_a_stick_carry_the_trust_root_once() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    let program = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0 a program".to_vec();
    let root = fs::read(bench.path("keys/root.json")).unwrap();
    // What a stick carried before is taken as a tool: its trailer is replaced, not doubled.
    let mut used = program.clone();
    used.extend(kojibox_signing::embedded::append(&[b"{}".to_vec()]).unwrap());
    bench.write("tools/kojibox-installer-linux-x86_64", used);
    let args = [
        "stick",
        "stick",
        "--depot",
        "depot",
        "--tools",
        "tools",
        "--target",
        "linux-x86_64",
    ];
    bench
        .run(&[&args[..], &["--trust", "keys/root.json"]].concat())
        .ends(0)
        .says("with the trust root");
    let laid = fs::read(bench.path("stick/install-linux-x86_64")).unwrap();
    assert!(laid.starts_with(&program));
    assert_eq!(
        kojibox_signing::embedded::find(&laid[program.len()..]).unwrap(),
        Some(vec![root])
    );
    bench.run(&args).ends(0).says("without the trust root");
    assert_eq!(fs::read(bench.path("stick/install-linux-x86_64")).unwrap(), program);
}

#[test]
fn a_pack_in_one_file_is_the_same_pack() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    for name in ["a.kpack", "b.kpack"] {
        bench
            .run(&["export", "tree@1.0.0", "--depot", "depot", "--single-file", name])
            .ends(0);
    }
    assert!(fs::read(bench.path("a.kpack")).unwrap() == fs::read(bench.path("b.kpack")).unwrap());
    let digest = |place: &str| bench.run(&["verify", place, "--json"]).ends(0).json()["packs"][0]["digest"].clone();
    assert_eq!(digest("a.kpack"), digest("depot"));
    let shown = bench.run(&["inspect", "a.kpack", "--files"]).ends(0).out;
    let big = shown.find("\nbig ").unwrap();
    assert!(big < shown.find("\nbin/run ").unwrap(), "biggest first: {shown}");
    flip(&bench.path("b.kpack"));
    bench.run(&["verify", "b.kpack"]).ends(21);
}

#[test]
fn diff_names_what_an_update_changes() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    let next = fs::read_to_string(bench.path("work/stack.toml"))
        .unwrap()
        .replace("1.0.0", "1.1.0");
    bench.write("work/next.toml", next);
    bench.write("work/dir/docs/a.txt", "changed\n");
    fs::remove_file(bench.path("work/dir/empty")).unwrap();
    bench.build("work/next.toml", "depot", &[]).ends(0);
    let diff = bench
        .run(&["diff", "tree@1.0.0", "tree@1.1.0", "--depot", "depot", "--json"])
        .ends(0)
        .json();
    let files = &diff["components"][0]["files"];
    assert_eq!(
        (&files["changed"][0], &files["removed"][0], &files["new_bytes"]),
        (&"docs/a.txt".into(), &"empty".into(), &8.into())
    );
    bench
        .run(&["diff", "tree@1.0.0", "tree@2.0.0", "--depot", "depot"])
        .ends(33)
        .says("packs there: ");
    bench
        .run(&["diff", "tree", "tree@2.0.0", "--depot", "depot"])
        .ends(2)
        .says("names no pack");
}
