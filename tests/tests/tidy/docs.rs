//! Rules that keep the documents true: what they name exists, what they promise is run.

use std::fs;

use kojibox_tests::{Failure, Outcome, ensure};

use crate::tree::{dir, expect_none, files};

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

/// A command of a program, with the words that reach it, as in `trust add-key`.
type Command = (&'static str, String);

/// The commands that the sources define: variants of enums that are subcommands, without the hidden ones.
fn commands() -> Outcome<Vec<Command>> {
    let mut all = Vec::new();
    for source in files(&[".rs"])? {
        let program = match source.path.split('/').next() {
            Some("packer") => "kojibox-packer",
            Some("installer") => "kojibox-installer",
            Some("launcher") => "kojibox",
            _ => continue,
        };
        for (at, _) in source.text.match_indices("Subcommand)]\n") {
            let body = &source.text[at..];
            let body = &body[..body.find("\n}").unwrap_or(body.len())];
            let name = body
                .split("enum ")
                .nth(1)
                .and_then(|t| t.split(' ').next())
                .unwrap_or_default();
            let above = parent(&source.path, name);
            let words = variants(body).into_iter().map(|variant| format!("{above}{variant}"));
            all.extend(words.map(|words| (program, words)));
        }
    }
    // A command that only holds others is no row of its own.
    let holds = |command: &Command| {
        all.iter()
            .any(|(p, w)| *p == command.0 && w.starts_with(&format!("{} ", command.1)))
    };
    Ok(all.iter().filter(|command| !holds(command)).cloned().collect())
}

/// The word above the commands of the enum `name`: the name of its file, unless that is `cli.rs`, where another enum has its own.
fn parent(path: &str, name: &str) -> String {
    let file = path
        .trim_end_matches("/mod.rs")
        .trim_end_matches(".rs")
        .rsplit('/')
        .next();
    match (file.unwrap_or_default(), name) {
        ("cli", "Command") => String::new(),
        ("cli", name) => format!("{} ", name.to_lowercase()),
        (file, _) => format!("{file} "),
    }
}

/// The variants of an enum as clap names them.
fn variants(body: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut hidden = false;
    for line in body.lines() {
        let name = line
            .strip_prefix("    ")
            .filter(|l| l.starts_with(|c: char| c.is_ascii_uppercase()));
        if let Some(name) = name.and_then(|name| name.split([' ', '(', '{', ',']).next()) {
            if !hidden {
                names.push(kebab(name));
            }
            hidden = false;
        }
        hidden |= line.contains("hide = true");
    }
    names
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[test]
fn the_command_line_is_documented_as_it_is() -> Outcome {
    let text = read("docs/cli.md")?;
    let commands = commands()?;
    ensure(commands.len() > 30, || {
        format!("only {} commands found", commands.len())
    })?;
    // The words of a row up to its first argument: `trust add-key FILE.pub …` is `trust add-key`.
    let mut rows: Vec<(String, String)> = Vec::new();
    let mut section = "";
    for line in text.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        if let Some(row) = line.strip_prefix("| `").and_then(|row| row.split('`').next()) {
            let plain =
                |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            let words: Vec<&str> = row.split(' ').take_while(plain).collect();
            rows.push((section.to_owned(), words.join(" ")));
        }
    }
    let has = |(program, words): &Command| rows.iter().any(|(s, w)| s == program && w == words);
    let missing = commands.iter().filter(|command| !has(command));
    let mut found: Vec<String> = missing
        .map(|(program, words)| format!("no row for `{program} {words}`"))
        .collect();
    let known = |(section, words): &&(String, String)| commands.iter().any(|(p, w)| p == section && w == words);
    let wrong = rows
        .iter()
        .filter(|(section, _)| section.starts_with("kojibox"))
        .filter(|row| !known(row));
    found.extend(wrong.map(|(section, words)| format!("`{section}` has no `{words}`")));
    expect_none("docs/cli.md has a row for each command, and no other", &found)
}

#[test]
fn every_exit_code_is_documented() -> Outcome {
    let (text, code) = (read("docs/cli.md")?, read("console/src/exit.rs")?);
    let codes: Vec<&str> = code
        .lines()
        .filter_map(|line| line.split_once(" = ")?.1.strip_suffix(','))
        .collect();
    ensure(codes.len() > 10, || format!("only {codes:?} found"))?;
    let missing = codes.iter().filter(|code| !text.contains(&format!("\n| {code} | ")));
    let missing: Vec<String> = missing.map(ToString::to_string).collect();
    expect_none("docs/cli.md has a row for each exit code", &missing)
}
