//! Rules that keep the documents true: what they name exists, what they promise is run.

use std::fs;

use kojibox_tests::{Failure, Outcome, ensure};

use crate::tree::{dir, expect_none};

fn read(path: &str) -> Outcome<String> {
    fs::read_to_string(dir(path)).map_err(Failure::doing(format!("could not read `{path}`")))
}

#[test]
fn the_map_names_what_exists() -> Outcome {
    let text = read("ARCHITECTURE.md")?;
    let ticked = text.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = ticked
        .filter(|t| t.contains('/') && !t.contains([' ', '<', '{', '←']))
        .filter(|t| !["components/", "platform/"].contains(t))
        .collect();
    ensure(paths.len() > 20, || {
        format!("only {} paths are named in ARCHITECTURE.md", paths.len())
    })?;
    let lost: Vec<String> = paths
        .iter()
        .filter(|p| !dir(p).exists())
        .map(ToString::to_string)
        .collect();
    expect_none("ARCHITECTURE.md names what is there", &lost)
}

#[test]
fn the_check_run_runs_the_commands_of_the_readme() -> Outcome {
    let (readme, run) = (read("README.md")?, read(".ci/run")?);
    let block = readme
        .split("```sh\n")
        .nth(1)
        .and_then(|t| t.split("```").next())
        .unwrap_or_default();
    let commands: Vec<&str> = block
        .lines()
        .filter_map(|line| line.split('#').next())
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    ensure(commands.len() == 2, || {
        format!("two commands do everything, found {commands:?}")
    })?;
    let missing: Vec<String> = commands
        .iter()
        .filter(|command| !run.lines().any(|line| line.trim().ends_with(**command)))
        .map(ToString::to_string)
        .collect();
    expect_none("`.ci/run` runs what README.md promises", &missing)
}

#[test]
fn every_crash_point_has_its_row() -> Outcome {
    expect_rows("state/TRANSACTIONS.md", "state/src/crash.rs", 10)?;
    expect_rows("launcher/DATA.md", "launcher/supervisor/src/data/disk.rs", 7)
}

/// Each point that `code` names has a row in the table of `text`; there are more than `least`.
fn expect_rows(text: &str, code: &str, least: usize) -> Outcome {
    let (rows, source) = (read(text)?, read(code)?);
    let names: Vec<&str> = source
        .lines()
        .filter_map(|line| line.split(" = \"").nth(1)?.strip_suffix("\","))
        .collect();
    ensure(names.len() > least, || format!("only {names:?} found in {code}"))?;
    let missing: Vec<String> = names
        .iter()
        .filter(|name| {
            !rows
                .lines()
                .any(|l| l.starts_with('|') && l.contains(&format!("`{name}`")))
        })
        .map(ToString::to_string)
        .collect();
    expect_none(&format!("each crash point has a row in {text}"), &missing)
}
