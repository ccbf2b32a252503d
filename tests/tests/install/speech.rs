//! How the programs speak when nobody sits at a terminal.

use kojibox_tests::{Outcome, Sandbox, ensure, pack::Publisher};

#[test]
fn what_is_missing_is_named_with_the_flag_that_answers_it() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    publisher.build_tree("1.0.0", &[("a.txt", b"a")])?;
    let install = || {
        sandbox
            .installer(["install", "--source"])
            .arg(publisher.depot())
            .arg("--trust")
            .arg(publisher.root_json())
    };
    install()
        .arg("--root")
        .arg(sandbox.path("root"))
        .fails(2)
        .says("--yes")
        .answer()?;
    let nothing_made = !sandbox.path("root").exists();
    ensure(nothing_made, || {
        "a question without an answer must not make the root".into()
    })
}

#[test]
fn a_failure_is_one_json_document_for_scripts() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    publisher.build_tree("1.0.0", &[("a.txt", b"a")])?;
    let run = sandbox
        .installer(["install", "--yes", "--source"])
        .arg(publisher.depot())
        .arg("--root")
        .arg(sandbox.path("root"));
    let report = run.fails(20).json()?;
    let holds = report["exit"] == 20
        && report["error"].is_string()
        && report["state"].is_string()
        && report["hint"].is_string();
    ensure(holds, || {
        format!("expected error, state, hint and exit 20, got {report}")
    })
}

#[test]
fn every_program_helps_and_says_its_version() -> Outcome {
    let sandbox = Sandbox::new()?;
    for program in ["kojibox-packer", "kojibox-installer", "kojibox"] {
        let help = sandbox.run(sandbox.bin(program)).arg("--help").answer()?;
        ensure(
            help.stdout.contains("Usage:") && help.stdout.contains("--color"),
            || help.stdout.clone(),
        )?;
        let version = sandbox.run(sandbox.bin(program)).arg("--version").answer()?;
        ensure(
            version.stdout.starts_with(program) && version.stdout.contains("0.1.0"),
            || version.stdout.clone(),
        )?;
        let (code, done) = sandbox.run(sandbox.bin(program)).arg("frobnicate").any()?;
        ensure(code == 2 && done.stderr.contains("frobnicate"), || {
            format!("{program}: {code} {}", done.stderr)
        })?;
    }
    Ok(())
}
