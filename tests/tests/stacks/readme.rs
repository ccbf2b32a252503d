//! Owns the story of README.md: its two consoles, line by line, the builder's and then the carrier's.

use std::{env, fs, path::Path, time::Duration};

use kojibox_tests::{Failure, Network, Outcome, Programs, Sandbox, Story, ensure, pack::host_target, workspace};

/// Runs every line; what a person would type at a prompt is given as the flag that answers it.
pub(crate) fn tell(story: &Story<'_>) -> Outcome {
    story.chapter("The commands of README.md");
    let sandbox = Sandbox::with(&Programs::locate()?, Network::Host)?;
    let readme = workspace().join("README.md");
    let text = fs::read_to_string(&readme).map_err(Failure::doing("could not read README.md"))?;
    let lines = lines(&text);
    ensure(lines.len() >= 7, || format!("only {lines:?} found in README.md"))?;
    for line in lines {
        let run = sandbox.run("bash").args(["-c", &here(&sandbox, line)]);
        // The builder's commands ask the registries, with the mirrors and proxies of the person who runs this.
        let run = if line.starts_with("kojibox-packer") {
            env::vars_os().fold(run, |run, (name, value)| match name.to_str() {
                Some(name) if !OURS.contains(&name) => run.env(name, value),
                _ => run,
            })
        } else {
            run
        };
        let run = run.env("PATH", path(&sandbox.dir().join("bin")));
        story.run(sandbox.dir(), run.warns().within(Duration::from_mins(5)))?;
    }
    sandbox.expect_no_survivors()
}

/// What the sandbox decides, not the person.
const OURS: [&str; 5] = ["PATH", "HOME", "TMPDIR", "LANG", "USER"];

/// The commands of the blocks that show a console, without their comments.
fn lines(readme: &str) -> Vec<&str> {
    let blocks = readme.split("```console\n").skip(1);
    let text = blocks.filter_map(|rest| rest.split("```").next());
    text.flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("$ "))
        .map(|line| line.split("  ").next().unwrap_or(line).trim())
        .collect()
}

/// The line for a sandbox: its own stick and home; answers instead of prompts.
fn here(sandbox: &Sandbox, line: &str) -> String {
    let line = line.replace("linux-x86_64", &host_target());
    let answers = match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["kojibox-packer", "trust", "init", ..] => " --unsafe-no-password",
        [program] if program.contains("/install-") => " install --root ~/kojibox --yes",
        _ => "",
    };
    let line = line.replace("/media/stick", "../stick");
    // The builder goes into the folder of the pack, and stays there.
    let folder = if sandbox.path("app/stack.toml").exists() {
        "app"
    } else {
        "."
    };
    format!("cd {folder} && {line}{answers}")
}

fn path(bin: &Path) -> String {
    format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display())
}
