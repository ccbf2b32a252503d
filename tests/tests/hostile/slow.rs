//! A medium that hangs: it is told of, and Ctrl-C does not wait for it.

use std::time::Duration;

use kojibox_tests::{Outcome, Sandbox, ensure, image::Access};

use crate::{
    forge::read,
    media::{Carried, on_fat32, traced},
};

#[test]
fn a_read_that_hangs_is_told_of_and_then_goes_on() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 3_000_000, &["--without-installer"])?;
    let blob = stick.file("blobs", "tree-", ".tar.zst")?;
    let hangs = ["-e", "trace=read", "-e", "inject=read:delay_enter=12500000:when=2"];
    let root = sandbox.path("root");
    let run = traced(&stick, &root, &hangs, Some(&blob)).says("note: the medium has not answered for 10 s");
    let done = run.within(Duration::from_mins(1)).answer()?;
    ensure(done.stderr.matches("has not answered").count() == 1, || {
        done.stderr.clone()
    })?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer().map(drop)
}

#[test]
fn ctrl_c_ends_a_command_whose_read_hangs() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 3_000_000, &["--without-installer"])?;
    let manifest = stick.file("packs", "tree-", ".kbx.json")?;
    let index = stick.file("blobs", "tree-", ".idx.zst")?;
    let blob = stick.file("blobs", "tree-", ".tar.zst")?;
    // The tracer, which does the hanging, does not let a process go whose thread it holds: what is told, and when, counts.
    let hangs = ["-e", "trace=read", "-e", "inject=read:delay_enter=300000000:when=1"];
    for (n, path) in [&manifest, &index, &blob].into_iter().enumerate() {
        let (root, said) = (sandbox.path(format!("root-{n}")), sandbox.path(format!("said-{n}")));
        let run = traced(&stick, &root, &hangs, Some(path)).also_into(&said);
        let run = run
            .signal_after(Duration::from_secs(4), "INT")
            .within(Duration::from_secs(14));
        let held = run.any().is_err();
        let text = String::from_utf8_lossy(&read(&said)?).into_owned();
        ensure(
            held && text.contains("error: cancelled\n") && text.contains("  state: "),
            || text.clone(),
        )?;
        crate::expect_nothing_installed(&root)?;
        // The same command goes on once the medium answers.
        stick.install(&root).answer()?;
        sandbox.installer(["verify", "--root"]).arg(&root).answer()?;
    }
    Ok(())
}

#[test]
fn ctrl_c_ends_a_command_whose_stick_is_frozen() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 3_000_000, &["--without-installer"])?;
    let Some(image) = on_fat32(&sandbox, &stick)? else {
        return Ok(());
    };
    let mounted = image.mount(sandbox.path("mnt"), Access::ReadOnly)?;
    let root = sandbox.path("root");
    let run = stick.install_from(&[mounted.path()], &root).fails(3);
    let run = run
        .says("note: the medium has not answered for 10 s")
        .says("error: cancelled\n");
    let run = run.signal_after(Duration::from_secs(13), "INT");
    mounted.frozen(|| run.within(Duration::from_secs(20)).answer().map(drop))?;
    crate::expect_nothing_installed(&root)?;
    stick.install_from(&[mounted.path()], &root).answer()?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer().map(drop)
}
