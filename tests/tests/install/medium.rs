//! What the medium and the machine around it may expect: nothing is written where nothing was asked for.

use std::fs;

use kojibox_tests::{
    Failure, Outcome, Sandbox, ensure,
    pack::{Publisher, host_target},
    tree,
};

use crate::life::big;

fn publisher(sandbox: &Sandbox) -> Outcome<Publisher<'_>> {
    let publisher = Publisher::new(sandbox, "publisher")?;
    publisher.build_tree("1.0.0", &[("a.txt", b"a"), ("b/c.bin", &big(100_000, 2))])?;
    Ok(publisher)
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = publisher(&sandbox)?;
    let before = tree::picture(sandbox.dir())?;
    let run = publisher.install_run(&sandbox.path("root")).arg("--dry-run");
    let done = run.answer()?;
    let said = format!("{}{}", done.stdout, done.stderr);
    ensure(said.contains("tree") && said.contains("1.0.0"), || {
        format!("it must name the pack: {said}")
    })?;
    tree::expect_same("the place", &before, &tree::picture(sandbox.dir())?)
}

#[test]
fn the_installer_on_the_stick_needs_no_further_word_and_leaves_the_stick_alone() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = publisher(&sandbox)?;
    let stick = sandbox.path("stick");
    let run = sandbox
        .packer(["stick"])
        .arg(&stick)
        .arg("--depot")
        .arg(publisher.depot());
    run.arg("--trust").arg(publisher.root_json()).answer()?;
    let before = sandbox.picture("stick")?;
    // Read-only for this user, as a stick with its switch set.
    sandbox.run("/bin/chmod").args(["-R", "a-w"]).arg(&stick).go()?;
    let installer = stick.join(format!("install-{}", host_target()));
    let run = sandbox
        .run(&installer)
        .args(["install", "--yes", "--root"])
        .arg(sandbox.path("root"));
    run.answer()?;
    sandbox.run("/bin/chmod").args(["-R", "u+w"]).arg(&stick).go()?;
    tree::expect_same("the stick", &before, &sandbox.picture("stick")?)?;
    let status = sandbox
        .installer(["status", "--root"])
        .arg(sandbox.path("root"))
        .json()?;
    ensure(status["state"] == "active", || status.to_string())
}

#[test]
fn one_file_serves_as_well_as_a_depot() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = publisher(&sandbox)?;
    let file = sandbox.path("tree.kpack");
    let run = sandbox
        .packer(["export", "tree@1.0.0", "--depot"])
        .arg(publisher.depot());
    run.arg("--single-file").arg(&file).answer()?;
    let install = |source: &std::path::Path, root: &str| {
        let run = sandbox
            .installer(["install", "--yes", "--source"])
            .arg(source)
            .arg("--root")
            .arg(sandbox.path(root));
        run.arg("--trust").arg(publisher.root_json()).answer()
    };
    install(&file, "from-file")?;
    install(&publisher.depot(), "from-depot")?;
    tree::expect_same(
        "the installed trees",
        &sandbox.picture("from-depot/components")?,
        &sandbox.picture("from-file/components")?,
    )
}

#[test]
fn saved_answers_install_the_next_machine() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = publisher(&sandbox)?;
    let answers = sandbox.path("answers.toml");
    publisher
        .install_run(&sandbox.path("first"))
        .arg("--save-answers")
        .arg(&answers)
        .answer()?;
    let text = fs::read_to_string(&answers).map_err(Failure::doing("could not read the answers"))?;
    ensure(text.contains("components"), || {
        format!("the answers name the components: {text}")
    })?;
    let run = sandbox
        .installer(["install", "--yes", "--answers"])
        .arg(&answers)
        .arg("--root")
        .arg(sandbox.path("second"));
    run.arg("--source")
        .arg(publisher.depot())
        .arg("--trust")
        .arg(publisher.root_json())
        .answer()?;
    tree::expect_same(
        "the second machine",
        &sandbox.picture("first/components")?,
        &sandbox.picture("second/components")?,
    )
}

#[test]
fn the_same_inputs_give_the_same_bytes_with_any_number_of_threads() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = publisher(&sandbox)?;
    let stack = sandbox.path("publisher/tree-1.0.0/stack.toml");
    let build = |depot: &str, threads: &str| {
        let run = sandbox.packer(["build", "--locked", "--offline"]).arg(&stack).args([
            "--target",
            &host_target(),
            "--threads",
            threads,
        ]);
        let run = run
            .arg("--key")
            .arg(publisher.dir("keys/pack"))
            .arg("--trust")
            .arg(publisher.root_json());
        run.arg("--depot").arg(sandbox.path(depot)).answer()
    };
    build("one", "1")?;
    build("eight", "8")?;
    tree::expect_same("the depot", &sandbox.picture("one")?, &sandbox.picture("eight")?)
}
