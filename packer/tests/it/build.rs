//! Builds: the same bytes from the same lock, plain tools open what was built, everything wrong is refused early.

use std::{fs, process::Command};

use crate::{
    bench::{Bench, STACK, flip, noise, ran, set_executable},
    stock::lacks,
};

#[test]
fn the_same_lock_gives_the_same_bytes_for_any_threads_checkout_and_depot() {
    let bench = Bench::new();
    bench
        .build("work/stack.toml", "one", &["--threads", "1", "--check"])
        .ends(0)
        .says("gave the same bytes");
    for (name, bytes) in bench.files("work") {
        bench.write(&format!("elsewhere/deep er/{name}"), bytes);
    }
    set_executable(&bench.path("elsewhere/deep er/dir/bin/run"));
    bench
        .build(
            "elsewhere/deep er/stack.toml",
            "two",
            &["--threads", "2", "--locked", "--offline"],
        )
        .ends(0);
    bench.build("work/stack.toml", "eight", &["--threads", "8"]).ends(0);
    let one = bench.files("one");
    assert_eq!(one.len(), 8, "{:?}", one.keys());
    assert!(one == bench.files("two") && one == bench.files("eight"));
    let place = bench.path("").to_str().unwrap().to_owned();
    for (name, bytes) in one.iter().filter(|(name, _)| name.starts_with("packs/")) {
        let text = String::from_utf8_lossy(bytes);
        assert!(
            !text.contains(place.trim_end_matches('/')),
            "`{name}` names a folder of this machine"
        );
    }
}

#[test]
fn a_build_over_a_damaged_depot_mends_it() {
    let bench = Bench::new();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    let whole = bench.files("depot");
    flip(&bench.file("depot/blobs", "", ".tar.zst"));
    flip(&bench.file("depot/packs", "", ".cdx.json"));
    bench.write("depot/blobs/.tree-any.001.tmp", "left by a crash");
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    assert!(bench.files("depot") == whole);
}

/// What is there is taken over only if this publisher signed it and its bytes match; the outcome is the same.
#[test]
fn blobs_that_are_there_are_not_made_again() {
    let bench = Bench::new();
    let build = |depot: &str, more: &[&str]| {
        bench
            .build("work/stack.toml", depot, &[&["--json"], more].concat())
            .ends(0)
    };
    let taken = |depot: &str, more: &[&str]| build(depot, more).json()["packs"][0]["blobs_taken"].as_u64().unwrap();
    assert_eq!(taken("depot", &[]), 0);
    let whole = bench.files("depot");
    assert_eq!(taken("depot", &[]), 1);
    assert!(bench.files("depot") == whole);
    assert_eq!(taken("depot", &["--level", "3"]), 0, "made in another way");
    assert_eq!(taken("depot", &["--level", "3"]), 1);
    // Whoever signed the packs there is not this publisher any more.
    fs::rename(bench.path("keys"), bench.path("old")).unwrap();
    bench
        .run(&["trust", "init", "--out", "keys", "--unsafe-no-password"])
        .ends(0);
    assert_eq!(taken("depot", &["--level", "3"]), 0);
}

/// Exactly the chain that an auditor is told: `ssh-keygen`, `sha256sum`, `zstd`, `tar`, nothing else.
#[test]
#[cfg(target_os = "linux")]
fn plain_tools_verify_and_unpack_a_pack() {
    if lacks(&["ssh-keygen", "sha256sum", "zstd", "tar"]) {
        return;
    }
    let bench = Bench::new();
    std::os::unix::fs::symlink("docs/a.txt", bench.path("work/dir/link")).unwrap();
    let stack = STACK.replace(
        "version = \"1.0.0\"",
        "version = \"1.0.0\"\ntargets = [\"linux-x86_64\"]",
    );
    bench.write("work/stack.toml", stack);
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    let signers = bench
        .run(&["key", "export", "--allowed-signers", "--trust", "keys/root.json"])
        .ends(0);
    bench.write("allowed_signers", signers.out);
    let script = r#"
        cd depot
        M=$(echo packs/*.kbx.json)
        ssh-keygen -Y verify -f ../allowed_signers -I publisher -n kojibox-pack@v1 -s $M.*.sshsig < $M
        sha256sum packs/*.SHA256SUMS | cut -c1-64 > ../sums
        grep -A 3 '"sums"' $M | grep -q "$(cat ../sums)"
        sha256sum --strict -c packs/*.SHA256SUMS
        mkdir ../out
        cat blobs/*.tar.zst* | zstd -d | tar -x -C ../out
        test -x ../out/bin/run && test "$(readlink ../out/link)" = docs/a.txt
    "#;
    let shell = Command::new("sh")
        .args(["-euc", script])
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    let shell = ran(shell).ends(0);
    assert!(
        shell.out.contains("Good \"kojibox-pack@v1\" signature for publisher"),
        "{}",
        shell.out
    );
    assert_eq!(shell.out.matches(": OK").count(), 4, "{}", shell.out);
    assert!(bench.files("out") == bench.files("work/dir"));
    let sbom: serde_json::Value = bench.manifest("depot", ".cdx.json");
    let files = sbom["components"][0]["components"].as_array().unwrap();
    assert_eq!(
        (sbom["components"][0]["licenses"][0]["expression"].as_str(), files.len()),
        (Some("MIT"), 5)
    );
}

#[test]
fn a_locked_build_stops_at_the_first_file_that_differs() {
    let bench = Bench::new();
    bench
        .build("work/stack.toml", "depot", &["--locked"])
        .ends(2)
        .says("lock");
    bench.build("work/stack.toml", "depot", &[]).ends(0);
    let before = bench.files("depot");
    bench.write("work/dir/docs/a.txt", "changed\n");
    let locked = bench.build("work/stack.toml", "depot", &["--locked"]).ends(2);
    let locked = locked
        .says("component `tree` is not what the lock says")
        .says("`docs/a.txt` is `");
    drop(locked.says("(8 bytes, mode 0644), locked is `"));
    assert!(bench.files("depot") == before, "nothing was touched");
    // The change is meant: the pack is replaced, said so, and the signature over the old one is gone.
    bench
        .build("work/stack.toml", "depot", &[])
        .ends(0)
        .says("replaces a pack of the same version");
    bench.run(&["verify", "depot", "--trust", "keys/root.json"]).ends(0);
    bench.build("work/stack.toml", "depot", &["--locked"]).ends(0);
}

#[test]
fn a_key_that_may_not_sign_ends_the_build_before_it_begins() {
    let bench = Bench::new();
    let build = |more: &[&str]| {
        let args = [
            "build",
            "work/stack.toml",
            "--trust",
            "keys/root.json",
            "--depot",
            "depot",
        ];
        bench.run(&[&args, more].concat())
    };
    build(&[]).ends(2).says("--key");
    build(&["--key", "keys/feed"])
        .ends(2)
        .says("key `keys/feed` may not sign packs of this publisher");
    build(&["--key", "keys/none"]).ends(32).says("keys/none");
    build(&["--key", "keys/pack", "--key", "keys/pack"]).ends(2);
    assert!(!bench.path("depot").exists() && !bench.path("work/stack.lock").exists());
    build(&["--unsigned"]).ends(0).says("has 0 of 1 signatures");
    bench
        .run(&["verify", "depot"])
        .ends(20)
        .says("0 of 1 needed signatures are valid");
    bench
        .run(&["sign", "tree@1.0.0", "--depot", "depot", "--key", "keys/pack"])
        .ends(0);
    bench.run(&["verify", "depot"]).ends(0);
}

const SERVICE: &str = r#"
[pack]
name = "served"
version = "1.0.0-rc.1"
targets = ["linux-x86_64", "windows-x86_64"]
source_date_epoch = 1767225600
[[component]]
id = "tree"
version = "2.0.0"
license = "MIT"
data_format = "7"
source = { path = "dir" }
[[service]]
id = "run"
component = "tree"
command = ["{component}/bin/run"]
[[template]]
service = "run"
source = "run.conf.j2"
target = "run.conf"
"#;

#[test]
fn packs_with_services_carry_the_launcher_of_their_target() {
    let bench = Bench::new();
    bench.write("work/stack.toml", SERVICE);
    bench.write("work/run.conf.j2", "x = 1\n");
    let without = bench.build("work/stack.toml", "depot", &["--tools", "tools"]).ends(2);
    drop(
        without
            .says("no `kojibox` for target `linux-x86_64`")
            .says("--without-launcher"),
    );
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    elf.extend(b"kojibox-launcher-version=3.2.1\n");
    bench.write("tools/kojibox-linux-x86_64", &elf);
    bench.write("tools/windows-x86_64/kojibox.exe", &elf);
    let wrong = bench.build("work/stack.toml", "depot", &["--tools", "tools"]).ends(2);
    drop(wrong.says("is a program for `linux-x86_64`, expected a program for `windows-x86_64`"));
    let mut pe = b"MZ".to_vec();
    pe.resize(0x3c, 0);
    pe.extend(b"\x40\0\0\0PE\0\0\x64\x86");
    bench.write("tools/windows-x86_64/kojibox.exe", pe);
    let built = bench
        .build("work/stack.toml", "depot", &["--tools", "tools", "--json"])
        .ends(0);
    assert_eq!(built.json()["packs"].as_array().unwrap().len(), 2);
    let m = bench.manifest("depot", "linux-x86_64.kbx.json");
    let ids: Vec<_> = m["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["id"].as_str().unwrap(), c["version"].as_str().unwrap()))
        .collect();
    assert_eq!(
        ids,
        [
            ("_pack", "1.0.0-rc.1"),
            ("kojibox-launcher", "3.2.1"),
            ("tree", "2.0.0")
        ]
    );
    assert_eq!(m["services"][0]["data_format"], "7");
    assert_eq!(m["issued"], "2026-01-01T00:00:00Z");
    // The portable tree is there once, for both targets.
    let blobs = bench.files("depot/blobs");
    assert_eq!(
        blobs
            .keys()
            .filter(|n| n.starts_with("tree-") && n.ends_with(".tar.zst"))
            .count(),
        1,
        "{:?}",
        blobs.keys()
    );
    bench.run(&["verify", "depot"]).ends(0);
    bench
        .build(
            "work/stack.toml",
            "bare",
            &["--without-launcher", "--target", "linux-x86_64"],
        )
        .ends(0);
}

/// Nothing half written, code 3, and the same command afterwards does the job.
#[test]
#[cfg(unix)]
fn ctrl_c_leaves_a_depot_without_litter() {
    let bench = Bench::new();
    bench.write("work/dir/huge", noise(8 << 20).repeat(12));
    let mut command = bench.command(&[
        "build",
        "work/stack.toml",
        "--key",
        "keys/pack",
        "--trust",
        "keys/root.json",
    ]);
    command.args(["--depot", "depot", "--level", "19", "--threads", "1"]);
    let child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = || bench.path("depot/blobs").is_dir() && !bench.files("depot/blobs").is_empty();
    let started = std::time::Instant::now();
    while !begun() && started.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(
        Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    ran(child.wait_with_output().unwrap())
        .ends(3)
        .says("nothing is half written");
    assert!(bench.files("depot").is_empty(), "{:?}", bench.files("depot").keys());
    fs::remove_file(bench.path("work/dir/huge")).unwrap();
    bench.build("work/stack.toml", "depot", &[]).ends(0);
}
