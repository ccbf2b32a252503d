//! Owns the question which installed tree is meant: `--root`, `KOJIBOX_ROOT`, then where the program is.

use std::{
    io,
    path::{Path, PathBuf},
};

use kojibox_console::{Exit, Outcome, Report};
use kojibox_state::Layout;

use crate::Outside;

/// The program lies at most this deep: `<root>/components/<tree>/kojibox`.
const DEPTH: usize = 4;

/// No tree was named, and the program is not in one.
#[derive(Debug, thiserror::Error)]
#[error("could not find the installed tree")]
struct NotFound(#[source] Why);

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("no root was given, and `{}` is not inside of an installed tree", .0.display())]
    Elsewhere(PathBuf),
    #[error("`{}` is not an installed tree: it has no `state/install.json`", .0.display())]
    NotARoot(PathBuf),
    #[error("could not tell where this program is")]
    NoExe(#[source] io::Error),
    #[error("could not tell the working directory")]
    NoWorkingDir(#[source] io::Error),
}

/// Where we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The installed tree, absolute.
    pub(crate) root: PathBuf,
    /// The running program.
    pub(crate) exe: PathBuf,
}

impl Place {
    /// Finds the tree that is meant.
    pub(crate) fn find(given: Option<&Path>, outside: &Outside) -> Outcome<Self> {
        let exe = own_program(outside)?;
        let Some(root) = given.or(outside.root.as_deref()) else {
            let mut above = exe.ancestors().skip(1).take(DEPTH);
            let found = above.find(|dir| is_root(dir)).map(Path::to_owned);
            let root = found.ok_or_else(|| report(Why::Elsewhere(exe.clone())))?;
            return Ok(Self { root, exe });
        };
        let root = absolute(root, outside)?;
        if is_root(&root) {
            Ok(Self { root, exe })
        } else {
            Err(report(Why::NotARoot(root)))
        }
    }
}

/// The running program's file.
pub(crate) fn own_program(outside: &Outside) -> Outcome<PathBuf> {
    match &outside.exe {
        Ok(exe) => Ok(exe.clone()),
        Err(error) => Err(report(Why::NoExe(io::Error::new(error.kind(), error.to_string())))),
    }
}

/// Joins with the working directory and drops `.` and `..`; links stay as they are.
fn absolute(path: &Path, outside: &Outside) -> Outcome<PathBuf> {
    let base = match &outside.working_dir {
        Ok(dir) => dir.clone(),
        Err(_) if path.is_absolute() => PathBuf::new(),
        Err(error) => {
            return Err(report(Why::NoWorkingDir(io::Error::new(
                error.kind(),
                error.to_string(),
            ))));
        }
    };
    let mut out = PathBuf::new();
    for part in base.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => drop(out.pop()),
            other => out.push(other),
        }
    }
    Ok(out)
}

fn is_root(dir: &Path) -> bool {
    Layout::new(dir).install().is_file()
}

fn report(why: Why) -> Report {
    Report::new(Exit::Usage, NotFound(why)).hint("pass `--root DIR` with the directory that was installed to")
}
