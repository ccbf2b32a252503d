//! Owns the files of the tree as the tests see them: what git tracks, without what is generated.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use kojibox_tests::{Failure, Outcome, ensure, workspace};

/// A text file of the tree.
pub(crate) struct Source {
    /// Relative to the workspace, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl Source {
    /// Lines that are not comments, with their numbers, up to the unit tests at the end of the file.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(i, line)| (i + 1, line));
        let lines =
            lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test"));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    /// Below a folder of tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// One of the twins.
    pub(crate) fn is_platform(&self) -> bool {
        self.path.contains("/platform/")
    }
}

/// Every tracked file whose name ends with one of `ends`.
pub(crate) fn files(ends: &[&str]) -> Outcome<Vec<Source>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(workspace())
        .output();
    let output = output.map_err(Failure::doing("could not run git"))?;
    ensure(output.status.success(), || {
        String::from_utf8_lossy(&output.stderr).into_owned()
    })?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    let wanted = listing
        .split('\0')
        .filter(|path| ends.iter().any(|end| path.ends_with(end)));
    let found: Vec<Source> = wanted
        .filter_map(|path| {
            Some(Source {
                text: read(&workspace().join(path))?,
                path: path.into(),
            })
        })
        .collect();
    ensure(found.len() > 3, || {
        format!("only {} files end with {ends:?}", found.len())
    })?;
    Ok(found)
}

/// None: not a text file, or gone since git listed it.
fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// Fails with all findings.
pub(crate) fn expect_none(rule: &str, findings: &[String]) -> Outcome {
    ensure(findings.is_empty(), || format!("{rule}:\n  {}", findings.join("\n  ")))
}

/// The directory of a crate below the workspace.
pub(crate) fn dir(name: &str) -> PathBuf {
    workspace().join(name)
}
