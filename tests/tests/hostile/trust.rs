//! Who signed, and what was there before.

use std::fs;

use kojibox_tests::{Failure, Outcome, Sandbox, ensure, pack::Publisher};

use crate::{forge::Forge, published, refuses};

#[test]
fn a_pack_of_somebody_else_is_refused() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let stranger = Publisher::new(&sandbox, "stranger")?;
    let run = sandbox
        .installer(["install", "--yes", "--source"])
        .arg(publisher.depot())
        .arg("--root")
        .arg(sandbox.path("root"));
    run.arg("--trust")
        .arg(stranger.root_json())
        .fails(20)
        .says("nothing was written")
        .says("  hint: ")
        .answer()?;
    crate::expect_nothing_installed(&sandbox.path("root"))
}

#[test]
fn a_signature_by_a_key_without_a_role_is_refused() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    let stranger = Publisher::new(&sandbox, "stranger")?;
    let manifest = forge.publisher.manifest("tree", "1.0.0");
    let run = sandbox
        .run("/usr/bin/ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "kojibox-pack@v1", "-f"]);
    run.arg(stranger.dir("keys/pack")).arg(&manifest).go()?;
    let theirs = format!("{}.sig", manifest.display());
    fs::rename(theirs, forge.signature()?).map_err(Failure::doing("could not place a signature"))?;
    refuses(
        &sandbox,
        &forge.publisher,
        20,
        &["could not verify pack", "trust root 1", "  hint: "],
    )
}

#[test]
fn the_right_key_for_another_purpose_is_refused() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    let manifest = forge.publisher.manifest("tree", "1.0.0");
    let run = sandbox
        .run("/usr/bin/ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", "kojibox-site-approval@v1", "-f"]);
    run.arg(forge.publisher.dir("keys/pack")).arg(&manifest).go()?;
    let other = format!("{}.sig", manifest.display());
    fs::rename(other, forge.signature()?).map_err(Failure::doing("could not place a signature"))?;
    refuses(&sandbox, &forge.publisher, 20, &["could not verify pack"])
}

#[test]
fn no_signature_is_refused() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    fs::remove_file(forge.signature()?).map_err(Failure::doing("could not remove a signature"))?;
    refuses(
        &sandbox,
        &forge.publisher,
        20,
        &["could not verify pack", "nothing was written"],
    )
}

#[test]
fn an_empty_signature_is_refused() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    crate::forge::write(&forge.signature()?, "")?;
    refuses(&sandbox, &forge.publisher, 20, &["could not verify pack"])
}

#[test]
fn a_fresh_root_that_is_told_nothing_trusts_nobody() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let install = || {
        sandbox
            .installer(["install", "--yes", "--source"])
            .arg(publisher.depot())
            .arg("--root")
            .arg(sandbox.path("root"))
    };
    install()
        .fails(20)
        .says("nothing says which publisher to trust")
        .says("--trust")
        .answer()?;
    let wrong = format!("SHA256:{}", "A".repeat(43));
    install()
        .args(["--fingerprint", &wrong])
        .fails(20)
        .says(wrong)
        .answer()?;
    crate::expect_nothing_installed(&sandbox.path("root"))
}

#[test]
fn a_missing_or_wrong_key_stops_the_build() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let stranger = Publisher::new(&sandbox, "stranger")?;
    let stack = sandbox.path("publisher/tree-1.0.0/stack.toml");
    let build = || {
        sandbox
            .packer(["build"])
            .arg(&stack)
            .arg("--trust")
            .arg(publisher.root_json())
            .arg("--depot")
            .arg(sandbox.path("depot"))
    };
    build()
        .arg("--key")
        .arg(sandbox.path("no-such-key"))
        .fails(32)
        .says("no-such-key")
        .answer()?;
    build()
        .arg("--key")
        .arg(stranger.dir("keys/pack"))
        .fails(2)
        .says("may not sign packs of this publisher")
        .answer()?;
    build()
        .arg("--key")
        .arg(publisher.dir("keys/root"))
        .fails(2)
        .says("may not sign packs of this publisher")
        .answer()?;
    ensure(!sandbox.path("depot/packs").exists(), || {
        "nothing may be left in the depot".into()
    })
}

#[test]
fn going_down_needs_a_word_and_equal_sequences_must_be_equal() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let root = sandbox.path("root");
    publisher.build_tree("1.1.0", &[("a.txt", b"newer")])?;
    publisher.install_run(&root).answer()?;
    let down = |word: &str| {
        sandbox
            .installer(["install", "tree@1.0.0", "--yes", "--source"])
            .arg(publisher.depot())
            .arg("--root")
            .arg(&root)
            .args(word.split_whitespace())
    };
    down("").fails(23).says("sequence").says("--allow-downgrade").answer()?;
    down("--allow-downgrade").answer()?;
    let status = sandbox.installer(["status", "--root"]).arg(&root).json()?;
    ensure(status["packs"][0]["version"] == "1.0.0", || status.to_string())?;

    // The same version, other bytes, signed by the same key.
    let up = || {
        sandbox
            .installer(["install", "tree@1.1.0", "--yes", "--source"])
            .arg(publisher.depot())
            .arg("--root")
            .arg(&root)
    };
    up().answer()?;
    fs::remove_dir_all(publisher.depot()).map_err(Failure::doing("could not remove the depot"))?;
    publisher.build_tree("1.1.0", &[("a.txt", b"replaced in silence")])?;
    up().fails(23).says("sequence").answer().map(drop)
}
