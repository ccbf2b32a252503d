//! The demo itself, as a person starts it.

use kojibox_tests::{Outcome, Programs, Sandbox, ensure};

#[test]
fn the_demo_holds_from_the_first_key_to_the_last_file() -> Outcome {
    let programs = Programs::locate()?;
    let sandbox = Sandbox::new()?;
    let demo = sandbox.builder([""; 0]);
    let demo = demo
        .program(env!("CARGO_BIN_EXE_kojibox-demo"))
        .env("KOJIBOX_BIN_DIR", programs.dir());
    let done = demo.within(std::time::Duration::from_mins(3)).go()?;
    for text in [
        "the note came along",
        "Release 3: broken on purpose",
        "both notes are there",
        "Nothing was left behind",
    ] {
        ensure(done.stderr.contains(text), || {
            format!("expected `{text}` in\n{}", done.stderr)
        })?;
    }
    Ok(())
}
