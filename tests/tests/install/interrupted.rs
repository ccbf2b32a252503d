//! A kill and a full disk near the end of a large install: the same command goes on, and reads little again.

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use kojibox_tests::{Failure, Outcome, Sandbox, ensure, pack::Publisher, tree};
use serde_json::Value;

use crate::life::big;

/// One file is most of the pack, and has frames of 8 MiB.
const BIG: usize = 112 << 20;
const SMALL: usize = 4 << 20;

fn published(sandbox: &Sandbox) -> Outcome<(Publisher<'_>, u64)> {
    let publisher = Publisher::new(sandbox, "publisher")?;
    let files: Vec<(String, Vec<u8>)> = (0..8)
        .map(|n| (format!("small-{n}.bin"), big(SMALL, n)))
        .chain([("z-large.bin".to_owned(), big(BIG, 99))])
        .collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    publisher.build_tree("1.0.0", &files)?;
    Ok((publisher, (BIG + 8 * SMALL) as u64))
}

/// Starts the install and ends it, as a kill does, when `share` percent are staged; gives what was staged then.
fn killed_at(publisher: &Publisher<'_>, root: &Path, total: u64, share: u64) -> Outcome<u64> {
    let started = publisher.install_run(root).start_at_once()?;
    let deadline = Instant::now() + Duration::from_mins(2);
    let staged = loop {
        let staged = tree::bytes_below(&root.join("staging"));
        if staged * 100 >= total * share || root.join("state/current.json").exists() || Instant::now() > deadline {
            break staged;
        }
    };
    drop(started);
    Ok(staged)
}

#[test]
fn killed_at_nine_tenths_at_most_fifteen_percent_are_read_again() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let (publisher, total) = published(&sandbox)?;
    let root = sandbox.path("root");
    let staged = killed_at(&publisher, &root, total, 91)?;
    ensure(
        !root.join("state/current.json").exists() && staged * 100 >= total * 90,
        || format!("it was to be killed while {staged} of {total} bytes were staged"),
    )?;
    let done = publisher.install_run(&root).arg("--json");
    let done = done.answer()?;
    let told = done.stderr.contains("Kept 1") && done.stderr.contains("of an interrupted attempt;");
    ensure(told, || format!("it must say how much was kept:\n{}", done.stderr))?;
    let document: Value = serde_json::from_str(&done.stdout).map_err(Failure::doing("no JSON"))?;
    let read = document["bytes"]["read"].as_u64().unwrap_or(u64::MAX);
    ensure(read * 100 <= total * 15, || {
        format!("{read} of {total} bytes were read again")
    })?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer().map(drop)
}

#[test]
fn a_stick_pulled_at_half_is_put_back_and_little_is_read_again() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let (publisher, total) = published(&sandbox)?;
    // In parts: an open file may still be read when its name is gone, the next part cannot be opened.
    let (stick, away, root) = (sandbox.path("stick"), sandbox.path("away"), sandbox.path("root"));
    let lay = sandbox.packer(["stick", "--without-installer", "--part-size", "9000000"]);
    let lay = lay.arg(&stick).arg("--depot").arg(publisher.depot()).arg("--trust");
    lay.arg(publisher.root_json()).answer()?;
    let install = || {
        let run = sandbox
            .installer(["install", "--yes", "--root"])
            .arg(&root)
            .arg("--source");
        run.arg(&stick).arg("--trust").arg(publisher.root_json())
    };
    let moved = |from: &Path, to: &Path| std::fs::rename(from, to).map_err(Failure::doing("could not move the stick"));
    let pulled = thread::scope(|scope| {
        let run = install().fails(33).says("tar.zst.0").says("  hint: insert");
        let running = scope.spawn(move || run.answer());
        let deadline = Instant::now() + Duration::from_mins(2);
        while tree::bytes_below(&root.join("staging")) * 2 < total && Instant::now() < deadline {}
        moved(&stick, &away)?;
        running
            .join()
            .map_err(|_| Failure::new("the install could not be run"))?
    })?;
    let kept = pulled.stderr.contains("that were staged are kept for the next attempt");
    ensure(kept, || pulled.stderr.clone())?;
    let staged = tree::bytes_below(&root.join("staging"));
    moved(&away, &stick)?;
    let done = install()
        .arg("--json")
        .says("Kept ")
        .says("of an interrupted attempt;")
        .answer()?;
    let document: Value = serde_json::from_str(&done.stdout).map_err(Failure::doing("no JSON"))?;
    let read = document["bytes"]["read"].as_u64().unwrap_or(u64::MAX);
    // What was not kept, and the frame in which the stick was pulled.
    ensure(staged * 2 >= total && read <= total - staged + (9 << 20), || {
        format!("{staged} of {total} bytes were kept, and {read} were read again")
    })?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer().map(drop)
}

/// Runs a script as the sandbox's user on a file system in memory, mounted at `dir` with `options`.
fn on_tmpfs(sandbox: &Sandbox, options: &str, dir: &Path, script: &str, words: &[&Path]) -> Outcome<String> {
    let mount = format!(r#"mount -t tmpfs -o {options},mode=777 none "$0" && exec "$@""#);
    let mut run = sandbox
        .run("/bin/bash")
        .args(["-uc", script])
        .arg(sandbox.bin("kojibox-installer"));
    for word in words {
        run = run.arg(word);
    }
    let run = run.in_mounts(&mount, dir).within(Duration::from_mins(4));
    let (code, done) = run.any()?;
    let said = format!("{}{}", done.stdout, done.stderr);
    ensure(code == 0, || format!("ended with {code}\n{said}"))?;
    Ok(said)
}

fn small_dir(sandbox: &Sandbox) -> Outcome<PathBuf> {
    sandbox.write("small/.keep", "")?;
    Ok(sandbox.path("small"))
}

#[test]
fn a_disk_that_fills_up_gets_room_again_and_the_same_command_goes_on() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let (publisher, total) = published(&sandbox)?;
    let dir = small_dir(&sandbox)?;
    // Somebody else takes all but 8 MiB once 100 of 144 are staged; 64 MiB of room are given back, the rest is kept.
    let script = r#"
        install() { "$0" install --yes --source "$2" --root "$1/root" --trust "$3" "${@:4}"; }
        free() { df --output=avail -m "$1" | tail -1; }
        for attempt in 1 2 3 4 5; do
          # `exec` keeps the id of the process that is held while somebody else takes the room.
          ( exec "$0" install --yes --source "$2" --root "$1/root" --trust "$3" ) & pid=$!
          until [ "$(du -sm "$1/root/staging" 2>/dev/null | cut -f1)0" -gt 1000 ] || ! kill -0 $pid 2>/dev/null; do :; done
          kill -STOP $pid 2>/dev/null
          fallocate -l "$(($(free "$1") - 8))M" "$1/full"
          kill -CONT $pid 2>/dev/null
          wait $pid; code=$?
          [ $code = 0 ] || break
          # It was quicker than we looked.
          rm -rf "$1/root" "$1/full"
        done
        [ $code = 31 ] || { echo "a full disk is 31, got $code"; exit 1; }
        [ ! -e "$1/root/state/current.json" ] || { echo "nothing may be active"; exit 1; }
        [ "$(free "$1")" -ge 60 ] || { echo "only $(free "$1") MiB are free"; exit 1; }
        rm "$1/full"
        echo "kept $(find "$1/root/staging" -type f -printf '%i %s\n' | sort -u | awk '{sum += $2} END {print sum + 0}')"
        install "$@" --json || exit 1
        "$0" verify --root "$1/root"
    "#;
    let (depot, trust) = (publisher.depot(), publisher.root_json());
    let said = on_tmpfs(&sandbox, "size=400m", &dir, script, &[&dir, &depot, &trust])?;
    ensure(said.contains("that were staged are kept for the next attempt"), || {
        said.clone()
    })?;
    ensure(said.contains("of an interrupted attempt;"), || said.clone())?;
    let kept = said
        .lines()
        .find_map(|line| line.strip_prefix("kept ")?.parse::<u64>().ok());
    let document = said.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    let document: Value = serde_json::from_str(document).map_err(Failure::doing(format!("no JSON in\n{said}")))?;
    let (kept, read) = (
        kept.unwrap_or(0),
        document["bytes"]["read"].as_u64().unwrap_or(u64::MAX),
    );
    // What was not kept, and the frame in which the room ended.
    ensure(kept > 0 && read <= total - kept + (9 << 20), || {
        format!("{kept} of {total} bytes were kept, and {read} were read again\n{said}")
    })
}

#[test]
fn a_full_file_system_of_any_size_leaves_the_old_generation() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    publisher.build_tree("1.0.0", &[("a.txt", b"old")])?;
    let old = publisher.depot();
    let many: Vec<(String, Vec<u8>)> = (0..60)
        .map(|n| (format!("d{}/{n}.bin", n % 9), big(30_000, n)))
        .collect();
    let files: Vec<(&str, &[u8])> = many.iter().map(|(name, bytes)| (&**name, &**bytes)).collect();
    publisher.build_tree("1.1.0", &files)?;
    let dir = small_dir(&sandbox)?;
    let script = r#"
        installer=$0 dir=$1 depot=$2 trust=$3 others=$4
        "$installer" install tree@1.0.0 --yes --source "$depot" --root "$dir/root" --trust "$trust" >/dev/null 2>&1
        first=$?
        [ $first = 31 ] && { echo "first 31"; exit; }
        [ $first = 0 ] || { echo "the first install ended with $first"; exit 1; }
        if [ "$others" = fill ]; then
          mkdir "$dir/others"
          (n=0; while { : > "$dir/others/$n"; } 2>/dev/null; do n=$((n+1)); done) &
        fi
        "$installer" update --yes --source "$depot" --root "$dir/root" >/dev/null 2>"$dir/../said"; code=$?
        wait; rm -rf "$dir/others"
        # Without a single name left not even the end could be written down.
        [ "$others" = fill ] && "$installer" recover --root "$dir/root" >/dev/null 2>&1
        "$installer" verify --root "$dir/root" >/dev/null 2>&1 || { echo "verify after $code: $?"; cat "$dir/../said"; exit 1; }
        version=$("$installer" status --json --root "$dir/root" | grep -o '"version":"[^"]*' | head -1 | cut -d'"' -f4)
        case $code/$version in
          0/1.1.0|31/1.0.0) ;;
          *) echo "ended with $code and $version is active"; cat "$dir/../said"; exit 1 ;;
        esac
        if [ $code = 31 ] && [ "$others" = alone ]; then
          left=$(find "$dir/root/staging" -type f | wc -l)
          [ "$left" = 0 ] || { echo "$left files were left in staging"; exit 1; }
        fi
        echo "update $code"
    "#;
    let mut outcomes = std::collections::BTreeMap::<String, u32>::new();
    // Bytes and names are judged before anything is written; with others at work, names run out anywhere in the middle.
    let sizes = [1, 4, 16, 17, 18, 19, 20, 24, 32].map(|m| (format!("size={m}m"), "alone"));
    let inodes = (0..30).map(|n| (format!("size=64m,nr_inodes={}", 95 + 7 * n), "alone"));
    let shared = (0..20).map(|n| (format!("size=64m,nr_inodes={}", 300 + 40 * n), "fill"));
    for (options, others) in sizes.into_iter().chain(inodes).chain(shared) {
        let arguments = [&dir, &old, &publisher.root_json(), &PathBuf::from(others)];
        let said = on_tmpfs(&sandbox, &options, &dir, script, &arguments.map(PathBuf::as_path))
            .map_err(|failure| failure.with(&format!("{options}, {others}")))?;
        *outcomes.entry(said.trim().to_owned()).or_default() += 1;
    }
    let seen = |what: &str| outcomes.get(what).copied().unwrap_or(0);
    ensure(
        seen("first 31") > 3 && seen("update 31") > 10 && seen("update 0") > 5,
        || format!("{outcomes:?}"),
    )
}
