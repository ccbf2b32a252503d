//! What a machine does to an install: no space, no rights, foreign directories, Ctrl-C in every phase.

use std::{fs, path::Path, time::Duration};

use kojibox_tests::{Failure, Outcome, Sandbox, ensure, pack::Publisher, tree};

use crate::{forge::noise, published};

#[test]
fn a_directory_of_somebody_else_is_left_alone() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    sandbox.write("mine/letter.txt", "dear")?;
    let before = sandbox.picture("mine")?;
    let run = publisher
        .install_run(&sandbox.path("mine"))
        .says("is not empty and not an install root")
        .says("letter.txt");
    run.fails(2).says("nothing was written").answer()?;
    tree::expect_same("the directory", &before, &sandbox.picture("mine")?)?;
    for command in ["status", "verify", "rollback", "uninstall", "prune"] {
        let (code, done) = sandbox.installer([command, "--root"]).arg(sandbox.path("mine")).any()?;
        let holds = code == 2 && done.stderr.contains("is not an install root");
        ensure(holds, || format!("{command}: {code} {}{}", done.stdout, done.stderr))?;
    }
    tree::expect_same("the directory", &before, &sandbox.picture("mine")?)
}

#[test]
fn a_directory_without_rights_is_a_file_system_error() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    sandbox.write("closed/.keep", "")?;
    fs::remove_file(sandbox.path("closed/.keep")).map_err(Failure::doing("could not remove a file"))?;
    sandbox.run("/bin/chmod").arg("555").arg(sandbox.path("closed")).go()?;
    let run = publisher
        .install_run(&sandbox.path("closed/root"))
        .fails(32)
        .says("closed")
        .says("ermission denied");
    run.answer()?;
    sandbox
        .run("/bin/chmod")
        .arg("755")
        .arg(sandbox.path("closed"))
        .go()
        .map(drop)
}

#[test]
fn a_full_disk_is_seen_before_anything_is_written() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let small = sandbox.path("small");
    sandbox.write("small/.keep", "")?;
    // A file system of one megabyte, in a mount namespace that ends with the command.
    let script = r#"mount -t tmpfs -o size=1m,mode=777 none "$0" && exec "$@""#;
    let mut run = publisher
        .install_run(&small.join("root"))
        .fails(31)
        .says("not enough space")
        .says("MiB");
    run = run.says("nothing was written").says("  hint: ");
    run.in_mounts(script, &small).answer().map(drop)
}

#[test]
fn ctrl_c_in_any_phase_leaves_old_or_new_and_the_same_command_finishes() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    publisher.build_tree("1.0.0", &[("a.txt", b"old")])?;
    let root = sandbox.path("root");
    publisher.install_run(&root).answer()?;
    let many: Vec<(String, Vec<u8>)> = (0..400)
        .map(|n| (format!("d{}/{n}.bin", n % 20), noise(20_000 + n)))
        .collect();
    let files: Vec<(&str, &[u8])> = many
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    publisher.build_tree("1.1.0", &files)?;
    let update = || {
        sandbox
            .installer(["update", "--yes", "--source"])
            .arg(publisher.depot())
            .arg("--root")
            .arg(&root)
    };
    let whole = time_of(&sandbox, &update, &root)?;
    let mut cancelled = 0;
    for step in 0..16 {
        let run = update()
            .signal_after(whole * step / 16, "INT")
            .within(Duration::from_mins(1));
        let (code, done) = run.any()?;
        let code = before_it_began(code, &done);
        ensure(matches!(code, 0 | 3), || {
            format!("step {step}: exit {code}\n{}{}", done.stdout, done.stderr)
        })?;
        cancelled += i32::from(code == 3);
        let version = version(&sandbox, &root)?;
        let expected = if code == 0 { "1.1.0" } else { "1.0.0" };
        ensure(version == expected, || {
            format!("step {step}: exit {code}, but {version} is active\n{}", done.stderr)
        })?;
        sandbox.installer(["verify", "--root"]).arg(&root).answer()?;
        if code == 0 {
            back(&sandbox, &root)?;
        }
    }
    ensure(cancelled >= 4, || {
        format!("only {cancelled} of 16 runs were cancelled; the phases were not reached")
    })?;
    update().answer()?;
    ensure(version(&sandbox, &root)? == "1.1.0", || {
        "the same command must finish the job".into()
    })
}

/// A program that is told to end before it listens to signals is ended by the system, with 130 and no word: cancelled.
fn before_it_began(code: i32, done: &kojibox_tests::Done) -> i32 {
    if code == 130 && done.stderr.is_empty() { 3 } else { code }
}

/// How long an update takes when nobody interrupts it; undone again.
fn time_of(sandbox: &Sandbox, update: &impl Fn() -> kojibox_tests::Run, root: &Path) -> Outcome<Duration> {
    let took = update().answer()?.took;
    back(sandbox, root)?;
    Ok(took)
}

/// Returns to the first release and forgets the second.
fn back(sandbox: &Sandbox, root: &Path) -> Outcome {
    sandbox.installer(["rollback", "--yes", "--root"]).arg(root).answer()?;
    sandbox
        .installer(["prune", "--keep", "1", "--yes", "--root"])
        .arg(root)
        .answer()
        .map(drop)
}

fn version(sandbox: &Sandbox, root: &Path) -> Outcome<String> {
    let status = sandbox.installer(["status", "--root"]).arg(root).json()?;
    let version = status["packs"][0]["version"].as_str().map(str::to_owned);
    version.ok_or_else(|| Failure::new(format!("no version in {status}")))
}

#[test]
fn ctrl_c_in_a_build_leaves_no_half_pack() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let noise = noise(30_000_000);
    sandbox.write("s/files/big.bin", &noise)?;
    let stack = sandbox.write("s/stack.toml", kojibox_tests::pack::tree_stack("1.0.0"))?;
    for delay in [0, 20, 60, 120, 250, 500] {
        let run = publisher
            .build_run(&stack)
            .signal_after(Duration::from_millis(delay), "INT");
        let (code, done) = run.any()?;
        let code = before_it_began(code, &done);
        ensure(matches!(code, 0 | 3), || {
            format!("after {delay} ms: exit {code}\n{}", done.stderr)
        })?;
        let manifest = publisher.manifest("tree", "1.0.0").exists();
        ensure(manifest == (code == 0), || {
            format!("after {delay} ms: exit {code}, manifest there: {manifest}")
        })?;
        if code == 0 {
            break;
        }
    }
    publisher.build(&stack)?;
    let verify = sandbox
        .packer(["verify"])
        .arg(publisher.depot())
        .arg("--trust")
        .arg(publisher.root_json());
    verify.answer().map(drop)
}

#[test]
fn two_at_once_wait_for_each_other_or_say_who_holds_the_root() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let root = sandbox.path("root");
    publisher.install_run(&root).answer()?;
    let lock = root.join("state/lock");
    // `flock` of util-linux holds the same advisory lock that the installer takes.
    let holder = sandbox.run("/usr/bin/flock").arg(&lock).args(["/bin/sleep", "60"]);
    let held = holder.start()?;
    let run = sandbox
        .installer(["rollback", "--yes", "--root"])
        .arg(&root)
        .within(Duration::from_secs(55));
    let (code, done) = run.any()?;
    drop(held);
    let holds = code == 30 && done.stderr.contains("could not lock install root");
    ensure(holds, || format!("{code} {}", done.stderr))
}
