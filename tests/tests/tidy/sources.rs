//! Rules that can be read off the text of the sources.

use std::collections::BTreeMap;

use kojibox_tests::Outcome;

use crate::tree::{Source, expect_none, files};

/// Lines of code that `breaks` calls wrong, in the files that `applies` to.
fn findings(all: &[Source], applies: impl Fn(&Source) -> bool, breaks: impl Fn(&str) -> bool) -> Vec<String> {
    let files = all.iter().filter(|source| applies(source));
    let lines = files.flat_map(|source| source.code().map(move |(number, line)| (source, number, line)));
    lines
        .filter(|(_, _, line)| breaks(line))
        .map(|(source, number, line)| format!("{}:{number}: {}", source.path, line.trim()))
        .collect()
}

#[test]
fn every_file_opens_with_what_it_owns() -> Outcome {
    let all = files(&[".rs"])?;
    let silent: Vec<String> = all
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.clone())
        .collect();
    expect_none("files start with `//! `", &silent)
}

#[test]
fn files_stay_short() -> Outcome {
    let all = files(&[".rs"])?;
    let long = all.iter().filter(|source| !source.is_test()).filter_map(|source| {
        let lines = source
            .text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"))
            .count();
        (lines > 500).then(|| format!("{}: {lines} lines", source.path))
    });
    expect_none(
        "a file has at most 500 lines before its unit tests",
        &long.collect::<Vec<_>>(),
    )
}

#[test]
fn main_files_only_start_something() -> Outcome {
    let all = files(&["src/main.rs", "src/bin/demo.rs"])?;
    let long = all
        .iter()
        .filter(|source| source.text.lines().count() > 40)
        .map(|source| source.path.clone());
    expect_none("a `main.rs` has at most 40 lines", &long.collect::<Vec<_>>())
}

#[test]
fn systems_are_told_apart_in_twins_only() -> Outcome {
    let all = files(&[".rs"])?;
    let words = [
        "cfg(unix",
        "cfg(windows",
        "cfg(target_os",
        "cfg(not(unix",
        "cfg(not(windows",
        "cfg(any(unix",
        "cfg!(windows",
        "cfg!(unix",
    ];
    let found = findings(
        &all,
        |source| !source.is_platform() && !source.is_test(),
        |line| words.iter().any(|word| line.contains(word)),
    );
    expect_none("`#[cfg]` of a system stands in `platform/` only", &found)
}

#[test]
fn unsafe_code_stands_in_twins_with_its_reason() -> Outcome {
    let all = files(&[".rs"])?;
    let is_unsafe =
        |line: &str| line.contains("unsafe {") || line.contains("unsafe fn") || line.contains("unsafe impl");
    let found = findings(
        &all,
        |source| !source.is_platform(),
        |line| is_unsafe(line) && !line.contains('"'),
    );
    expect_none("`unsafe` stands in `platform/` only", &found)?;
    let mut bare = Vec::new();
    for source in all.iter().filter(|source| source.is_platform()) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| line.contains("unsafe {")) {
            if !lines[i.saturating_sub(6)..=i]
                .iter()
                .any(|line| line.contains("SAFETY:"))
            {
                bare.push(format!("{}:{}: {}", source.path, i + 1, line.trim()));
            }
        }
    }
    expect_none("`unsafe` has a `SAFETY:` paragraph", &bare)
}

#[test]
fn twins_have_the_same_functions() -> Outcome {
    let all = files(&[".rs"])?;
    let mut folders: BTreeMap<&str, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for source in all.iter().filter(|source| source.is_platform()) {
        let (folder, name) = source.path.rsplit_once('/').unwrap_or_default();
        folders.entry(folder).or_default().insert(name, functions(source));
    }
    let mut found = Vec::new();
    for (folder, files) in folders {
        let of = |name: &str| files.get(name).cloned().unwrap_or_default();
        let (linux, macos, windows) = (of("linux.rs"), of("macos.rs"), of("windows.rs"));
        let unix: Vec<String> = of("unix.rs").into_iter().chain(linux.clone()).collect();
        let mut missing = |in_file: &str, wanted: &[String], there: &[String]| {
            found.extend(
                wanted
                    .iter()
                    .filter(|f| !there.contains(f))
                    .map(|f| format!("{folder}/{in_file} lacks `{f}`")),
            );
        };
        if files.contains_key("windows.rs") {
            missing("unix.rs", &windows, &unix);
            missing("windows.rs", &of("unix.rs"), &windows);
        }
        if files.contains_key("macos.rs") {
            missing("macos.rs", &linux, &macos);
            missing("linux.rs", &macos, &linux);
        }
    }
    expect_none("the twins of a `platform/` have equal functions", &found)
}

/// Names of the functions that a twin offers at its top level.
fn functions(source: &Source) -> Vec<String> {
    let offered = source
        .code()
        .filter(|(_, line)| line.starts_with("pub(crate) fn ") || line.starts_with("pub fn "));
    let names = offered.filter_map(|(_, line)| line.split_once("fn ")?.1.split(['(', '<']).next());
    names.map(str::to_owned).collect()
}

#[test]
fn only_console_speaks() -> Outcome {
    let all = files(&[".rs"])?;
    let words = [
        "println!(",
        "print!(",
        "io::stdout",
        "io::stderr",
        "stdout()",
        "stderr()",
    ];
    // The guest book is a service that is packed, not one of our programs; its output is its log.
    let applies = |source: &Source| {
        !source.path.starts_with("console/")
            && !source.path.starts_with("packs/recipes/")
            && !source.is_test()
            && !source.path.ends_with("build.rs")
            // The daemon and the shims talk to whoever started them through a pipe; nobody reads that as text.
            && source.path != "launcher/src/commands/roles.rs"
    };
    let found = findings(&all, applies, |line| {
        words.iter().any(|word| line.contains(word)) && !line.contains("Stdio")
    });
    expect_none("only `console` prints or prompts", &found)
}

#[test]
fn only_state_changes_an_install_root() -> Outcome {
    let all = files(&[".rs"])?;
    let words = [
        "fs::write",
        "fs::rename",
        "fs::remove_",
        "fs::create_dir",
        "fs::copy",
        "fs::hard_link",
        "fs::set_permissions",
        "File::create",
        "OpenOptions",
    ];
    // Files that a person named, and a probe that leaves nothing behind.
    let elsewhere = ["commands/history.rs", "flow/save.rs", "preflight/probe.rs"];
    let applies = |source: &Source| {
        source.path.starts_with("installer/src/")
            && !source.is_platform()
            && !elsewhere.iter().any(|end| source.path.ends_with(end))
    };
    let found = findings(&all, applies, |line| words.iter().any(|word| line.contains(word)));
    expect_none("the installer changes files through the store of `state` only", &found)
}

#[test]
fn signing_opens_nothing_and_knows_no_time() -> Outcome {
    let all = files(&[".rs"])?;
    let words = [
        "std::fs",
        "std::net",
        "std::env",
        "std::process",
        "SystemTime",
        "Instant::",
        "File::open",
    ];
    let found = findings(
        &all,
        |source| source.path.starts_with("signing/src/"),
        |line| words.iter().any(|word| line.contains(word)),
    );
    expect_none("`signing` is bytes in, verdict out", &found)
}

#[test]
fn libraries_ask_nobody() -> Outcome {
    let all = files(&[".rs"])?;
    let words = [
        "env::var",
        "env::current_dir",
        "env::temp_dir",
        "SystemTime::now",
        "Timestamp::now",
        "Zoned::now",
    ];
    // The command lines, which pass on what they have read.
    let asks = [
        "packer/src/commands/",
        "installer/src/world.rs",
        "launcher/src/main.rs",
        "console/src/ui.rs",
    ];
    let applies = |source: &Source| {
        let ours = !source.is_test() && !source.path.starts_with("packs/recipes/") && source.path.contains("src/");
        ours && !asks.iter().any(|start| source.path.starts_with(start))
    };
    let found = findings(&all, applies, |line| words.iter().any(|word| line.contains(word)));
    expect_none(
        "only command lines read the environment and the clock by themselves",
        &found,
    )
}

#[test]
fn nothing_is_left_for_later() -> Outcome {
    let all = files(&[".rs"])?;
    let words = [
        "todo!(",
        "unimplemented!(",
        "dbg!(",
        "#[ignore",
        "#[allow(",
        "#![allow(",
    ];
    let found = findings(
        &all,
        |source| !source.path.starts_with("tests/tests/tidy/"),
        |line| words.iter().any(|word| line.contains(word)),
    );
    expect_none("no stubs, no ignored tests, no silenced lints", &found)
}

#[test]
fn no_registry_and_no_machine_is_named() -> Outcome {
    let all = files(&[
        ".rs", ".toml", ".md", ".mjs", ".j2", ".yml", ".html", ".json", "run", ".txt",
    ])?;
    let words = [
        "registry.npmjs",
        "pypi.org",
        "files.pythonhosted",
        "deb.debian.org",
        "index.crates.io",
        "static.crates.io",
        "/var/tmp/t/",
        "/tmp/kbx",
    ];
    let applies = |source: &&Source| !source.path.starts_with("tests/tests/tidy/") && source.path != "Cargo.lock";
    let mut found = Vec::new();
    for source in all.iter().filter(applies) {
        for (i, line) in source.text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{}: {}", source.path, i + 1, line.trim()));
            }
        }
    }
    expect_none("clients know where their registries are; the tree names none", &found)
}
