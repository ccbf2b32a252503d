//! Damage of an installed tree: named, repaired from the stick with few bytes read, and what a person added left alone.

use std::{fs, path::PathBuf};

use kojibox_tests::{Failure, Outcome, Sandbox, ensure, pack::Publisher, tree};

use crate::life::big;

/// One release with a large and many small files, installed.
fn installed(sandbox: &Sandbox) -> Outcome<(Publisher<'_>, PathBuf)> {
    let publisher = Publisher::new(sandbox, "publisher")?;
    let bytes = big(12_000_000, 3);
    publisher.build_tree(
        "1.0.0",
        &[
            ("bin/tool", b"#!/bin/sh\n"),
            ("big.bin", &bytes),
            ("a/b.txt", b"b"),
            ("c.txt", b"c"),
        ],
    )?;
    let root = sandbox.path("my röot");
    publisher.install_run(&root).answer()?;
    Ok((publisher, root))
}

fn in_tree(sandbox: &Sandbox, root: &std::path::Path, name: &str) -> Outcome<PathBuf> {
    let picture = sandbox.picture(root.file_name().and_then(|n| n.to_str()).unwrap_or_default())?;
    let found = picture
        .keys()
        .find(|path| path.starts_with("components/") && path.ends_with(name));
    let found = found.ok_or_else(|| Failure::new(format!("there is no `{name}`")))?;
    Ok(root.join(found))
}

#[test]
fn repair_reads_little_and_puts_everything_right() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let (publisher, root) = installed(&sandbox)?;
    let before = tree::picture(&root.join("components"))?;
    let (small, large) = (in_tree(&sandbox, &root, "a/b.txt")?, in_tree(&sandbox, &root, "c.txt")?);
    let shell = |script: &str, path: &std::path::Path| sandbox.run("/bin/sh").args(["-c", script]).arg(path).go();
    shell(r#"rm "$0""#, &small)?;
    shell(r#"chmod u+w "$0" && printf X > "$0" && chmod 444 "$0""#, &large)?;
    let verify = || sandbox.installer(["verify", "--root"]).arg(&root);
    verify()
        .fails(21)
        .says("a/b.txt")
        .says("c.txt")
        .says("kojibox-installer\" repair --root \"my röot\"")
        .answer()?;
    let alone = sandbox.installer(["repair", "--root"]).arg(&root);
    alone
        .fails(33)
        .says("no medium at hand has it")
        .says("pack `tree`")
        .answer()?;
    let run = sandbox.installer(["repair", "--source"]).arg(publisher.depot());
    let done = run.arg("--root").arg(&root).json()?;
    let read = done["read"].as_u64().unwrap_or(u64::MAX);
    ensure(done["files"] == 2 && read < 100_000, || {
        format!("two small files, few bytes: {done}")
    })?;
    verify().answer()?;
    tree::expect_same("the trees", &before, &tree::picture(&root.join("components"))?)?;
    let (code, again) = sandbox.installer(["repair", "--root"]).arg(&root).any()?;
    ensure(code == 50, || {
        format!("nothing to repair is 50, got {code}: {}", again.stderr)
    })?;
    let history = sandbox.installer(["history", "--root"]).arg(&root).json()?;
    let last = &history["receipts"][1];
    ensure(last["kind"] == "repair" && last["outcome"] == "done", || {
        history.to_string()
    })
}

#[test]
fn what_a_person_added_is_named_and_moved_only_if_asked() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let (_, root) = installed(&sandbox)?;
    let beside = in_tree(&sandbox, &root, "a/b.txt")?.with_file_name("mine.txt");
    sandbox
        .run("/bin/sh")
        .args(["-c", r#"echo mine > "$0""#])
        .arg(&beside)
        .go()?;
    let repair = |more: &[&str]| sandbox.installer(["repair", "--root"]).arg(&root).args(more);
    let (code, done) = repair(&[]).any()?;
    ensure(code == 50 && done.stderr.contains("mine.txt"), || done.stderr.clone())?;
    ensure(beside.exists(), || "it must stay".into())?;
    let done = repair(&["--remove-extra"]).json()?;
    ensure(done["aside"].as_array().is_some_and(|a| a.len() == 1), || {
        done.to_string()
    })?;
    let kept = tree::picture(&root.join("backups"))?;
    ensure(kept.keys().any(|path| path.ends_with("mine.txt")), || {
        format!("{kept:?}")
    })?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer().map(drop)
}

#[test]
fn a_pinned_generation_outlives_every_prune() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let root = sandbox.path("root");
    for version in ["1.0.0", "1.1.0", "1.2.0"] {
        publisher.build_tree(version, &[("version.txt", version.as_bytes())])?;
        let run = if version == "1.0.0" {
            publisher.install_run(&root)
        } else {
            let run = sandbox
                .installer(["update", "--yes", "--source"])
                .arg(publisher.depot());
            run.arg("--root").arg(&root)
        };
        run.answer()?;
    }
    let on = |words: &[&str]| sandbox.installer(words).arg("--root").arg(&root);
    on(&["pin", "1"]).answer()?;
    on(&["pin", "9"]).fails(2).says("there is no generation 9").answer()?;
    let done = on(&["prune", "--keep", "1"]).json()?;
    ensure(done["generations"] == serde_json::json!([2]), || done.to_string())?;
    let status = on(&["status"]).json()?;
    let first = &status["generations"][0];
    ensure(first["id"] == 1 && first["pinned"] == true, || status.to_string())?;
    ensure(status["last"]["kind"] == "prune", || status.to_string())?;
    on(&["unpin", "1"]).answer()?;
    let done = on(&["prune", "--keep", "1"]).json()?;
    ensure(done["generations"] == serde_json::json!([1]), || done.to_string())
}

#[test]
fn the_evidence_is_checked_with_tools_of_the_system() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let (publisher, root) = installed(&sandbox)?;
    publisher.build_tree("1.1.0", &[("a.txt", b"a")])?;
    let update = sandbox
        .installer(["update", "--yes", "--source"])
        .arg(publisher.depot());
    update.arg("--root").arg(&root).answer()?;
    let export = sandbox.path("evidence.tar");
    let run = sandbox
        .installer(["history", "--export"])
        .arg(&export)
        .arg("--root")
        .arg(&root);
    let told = run.arg("--json").answer()?.stdout;
    ensure(
        told.contains("\"receipts\":2") || told.contains("\"receipts\": 2"),
        || told.clone(),
    )?;
    // The commands of its README, as an auditor types them.
    let script = r#"
        tar -xf "$0" && cd kojibox-evidence && sha256sum -c --quiet SHA256SUMS || exit 1
        last=none
        for r in receipts/*.json; do
          grep -q "\"sha256\": \"$last\"" "$r" || [ $last = none ] || { echo "$r does not follow" >&2; exit 1; }
          last=$(sha256sum "$r" | cut -d' ' -f1)
        done
        for m in packs/*/manifest.kbx.json; do echo "$(basename "$(dirname "$m")")  $m"; done | sha256sum -c --quiet || exit 1
        for s in packs/*/*.sshsig; do
          ssh-keygen -q -Y verify -f trust/*/allowed_signers -I publisher -n kojibox-pack@v1 -s "$s" \
            < "$(dirname "$s")/manifest.kbx.json" >/dev/null || exit 1
        done
        [ "$(ls receipts | wc -l)" = 2 ] && [ "$(ls packs | wc -l)" = 2 ]
    "#;
    sandbox.run("/bin/bash").args(["-euc", script]).arg(&export).go()?;
    let receipt = fs::read_dir(root.join("state/receipts"))
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|e| e.path())
        .min();
    let receipt = receipt.ok_or_else(|| Failure::new("there are no receipts"))?;
    let forge = r#"chmod u+w "$0" && sed -i s/install/1nstall/ "$0""#;
    sandbox.run("/bin/sh").args(["-c", forge]).arg(&receipt).go()?;
    let history = sandbox.installer(["history", "--root"]).arg(&root).fails(21);
    history.says("state/receipts/").answer().map(drop)
}
