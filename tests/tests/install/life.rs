//! The life of an install root, from nothing to nothing.

use std::fs;

use kojibox_tests::{Outcome, Sandbox, ensure, pack::Publisher, tree};

/// Files of the first release; `big` has frames of its own, `copy` is a duplicate.
fn first() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("bin/tool", b"#!/bin/sh\necho one\n".to_vec()),
        ("dir/deeper/a.txt", b"a\n".to_vec()),
        ("dir/copy.txt", b"a\n".to_vec()),
        ("empty", Vec::new()),
        ("big.bin", big(3_000_000, 1)),
        ("catatan ✓.txt", "isi\n".into()),
    ]
}

/// The second release changes one file, drops one, adds one.
fn second() -> Vec<(&'static str, Vec<u8>)> {
    let mut files = first();
    files.retain(|(name, _)| *name != "empty");
    files[1].1 = b"b\n".to_vec();
    files.push(("new.txt", b"new\n".to_vec()));
    files
}

/// Bytes that do not compress, the same every time.
pub(crate) fn big(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(len).collect()
}

fn release(publisher: &Publisher<'_>, version: &str, files: &[(&'static str, Vec<u8>)]) -> Outcome {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    publisher.build_tree(version, &files).map(drop)
}

/// The installed tree of the component `tree` in `version` holds exactly `files`.
fn expect_tree(sandbox: &Sandbox, version: &str, files: &[(&'static str, Vec<u8>)]) -> Outcome {
    let components = sandbox.path("root/components");
    let entries = fs::read_dir(&components).into_iter().flatten().filter_map(Result::ok);
    let start = format!("tree-{version}-");
    let dir = entries.map(|entry| entry.path()).find(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&start))
    });
    let Some(dir) = dir else {
        return ensure(false, || {
            format!("there is no `{start}…` in `{}`", components.display())
        });
    };
    let picture = tree::picture(&dir)?;
    let found: Vec<&String> = picture
        .iter()
        .filter(|(_, what)| *what != "dir")
        .map(|(path, _)| path)
        .collect();
    let mut expected: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    ensure(found == expected, || format!("expected {expected:?}, found {found:?}"))?;
    for (name, bytes) in files {
        let same = fs::read(dir.join(name)).is_ok_and(|found| found == *bytes);
        ensure(same, || format!("`{name}` has other bytes"))?;
    }
    Ok(())
}

fn expect_state(sandbox: &Sandbox, generation: u64, version: &str) -> Outcome {
    let status = sandbox
        .installer(["status", "--root"])
        .arg(sandbox.path("root"))
        .json()?;
    let pack = &status["packs"][0];
    let holds = status["generation"] == generation
        && status["state"] == "active"
        && pack["name"] == "tree"
        && pack["version"] == version
        && pack["digest"].as_str().is_some_and(|digest| digest.len() == 64);
    ensure(holds, || {
        format!("expected generation {generation} with tree {version}, got {status}")
    })
}

#[test]
fn install_update_rollback_verify_prune_uninstall() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let root = sandbox.path("root");
    release(&publisher, "1.0.0", &first())?;
    publisher.install_run(&root).answer()?;
    expect_tree(&sandbox, "1.0.0", &first())?;
    expect_state(&sandbox, 1, "1.0.0")?;

    release(&publisher, "1.1.0", &second())?;
    let update = sandbox
        .installer(["update", "--yes", "--source"])
        .arg(publisher.depot())
        .arg("--root")
        .arg(&root);
    update.answer()?;
    expect_tree(&sandbox, "1.1.0", &second())?;
    expect_state(&sandbox, 2, "1.1.0")?;
    let again = sandbox
        .installer(["update", "--yes", "--source"])
        .arg(publisher.depot())
        .arg("--root")
        .arg(&root);
    let (code, done) = again.any()?;
    ensure(code == 50, || {
        format!("nothing to do is 50, got {code}: {}{}", done.stdout, done.stderr)
    })?;

    sandbox.installer(["rollback", "--yes", "--root"]).arg(&root).answer()?;
    let status = sandbox.installer(["status", "--root"]).arg(&root).json()?;
    ensure(status["packs"][0]["version"] == "1.0.0", || {
        format!("expected 1.0.0 again, got {status}")
    })?;
    expect_tree(&sandbox, "1.0.0", &first())?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer()?;

    sandbox
        .installer(["prune", "--keep", "1", "--yes", "--root"])
        .arg(&root)
        .answer()?;
    expect_tree(&sandbox, "1.0.0", &first())?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer()?;
    sandbox.write("root/data/tree/mine.txt", "mine")?;
    sandbox
        .installer(["uninstall", "--yes", "--root"])
        .arg(&root)
        .answer()?;
    let left: Vec<String> = sandbox
        .picture("root")?
        .into_iter()
        .filter(|(_, what)| what != "dir")
        .map(|(path, _)| path)
        .collect();
    // Data stays, and with it what the root remembers: whom it trusts, what it has seen, the receipts.
    let fine = left
        .iter()
        .all(|path| path == "data/tree/mine.txt" || path.starts_with("state/"));
    ensure(fine && left.len() > 1, || format!("left behind: {left:?}"))?;
    let receipts = left.iter().filter(|path| path.starts_with("state/receipts/")).count();
    ensure(receipts == 5, || {
        format!("each of the five transactions leaves a receipt: {left:?}")
    })
}

#[test]
fn a_moved_root_is_the_same_root() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    release(&publisher, "1.0.0", &first())?;
    publisher.install_run(&sandbox.path("before")).answer()?;
    fs::rename(sandbox.path("before"), sandbox.path("root"))
        .map_err(kojibox_tests::Failure::doing("could not move the root"))?;
    expect_state(&sandbox, 1, "1.0.0")?;
    sandbox
        .installer(["verify", "--root"])
        .arg(sandbox.path("root"))
        .answer()?;
    release(&publisher, "1.1.0", &second())?;
    sandbox
        .installer(["update", "--yes", "--source"])
        .arg(publisher.depot())
        .arg("--root")
        .arg(sandbox.path("root"))
        .answer()?;
    expect_state(&sandbox, 2, "1.1.0")
}

#[test]
fn verify_names_what_was_changed() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let root = sandbox.path("root");
    release(&publisher, "1.0.0", &first())?;
    publisher.install_run(&root).answer()?;
    let before = sandbox.picture("root/components")?;
    let victim = before
        .keys()
        .find(|path| path.ends_with("a.txt"))
        .cloned()
        .unwrap_or_default();
    let victim = root.join("components").join(victim);
    let make_writable = sandbox.run("/bin/chmod").arg("u+w").arg(&victim);
    make_writable.go()?;
    sandbox
        .run("/bin/cp")
        .arg(sandbox.write("other", "X\n")?)
        .arg(&victim)
        .go()?;
    let verify = || sandbox.installer(["verify", "--root"]).arg(&root);
    verify().fails(21).says("dir/deeper/a.txt").answer().map(drop)
}
