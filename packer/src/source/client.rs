//! Owns running package clients: the person's own configuration, a private folder, no input, their own words on failure.

mod process;
mod vars;

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{FetchEnv, error::SourceError};
use crate::interrupt;
pub use vars::ClientVars;

/// Most lines of a client's words that are shown.
const MAX_LINES: usize = 12;

/// A package client and what to say when it is not there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// Programs with their first arguments; the first that can be started is used.
    programs: &'static [&'static [&'static str]],
    what: &'static str,
    hint: &'static str,
}

pub(crate) const NPM: Client = Client {
    programs: &[&["npm"], &["npm.cmd"]],
    what: "npm packages",
    hint: "install Node.js with npm, or build with a filled cache and `--locked --offline`",
};

pub(crate) const PIP: Client = Client {
    programs: &[&["pip"], &["pip3"], &["python3", "-m", "pip"], &["py", "-m", "pip"]],
    what: "Python wheels",
    hint: "install Python 3 with pip, or build with a filled cache and `--locked --offline`",
};

pub(crate) const APT: Client = Client {
    programs: &[&["apt-get"]],
    what: "Debian packages",
    hint: "fetch Debian packages on Debian or Ubuntu (for any architecture), then build with the cache of that machine",
};

pub(crate) const CARGO: Client = Client {
    programs: &[&["cargo"]],
    what: "crates",
    hint: "install Rust with cargo, or build with a filled cache and `--locked --offline`",
};

pub(crate) const RUSTC: Client = Client {
    programs: &[&["rustc"]],
    ..CARGO
};

impl Client {
    pub(crate) fn name(&self) -> &'static str {
        self.programs[0][0]
    }
}

/// What a client said when it failed; the last lines.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Words(String);

/// One call of a client.
pub(crate) struct Call<'a> {
    client: Client,
    env: &'a FetchEnv,
    /// What is fetched, for messages.
    what: String,
    folder: PathBuf,
    args: Vec<OsString>,
    vars: Vec<(String, OsString)>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(client: Client, env: &'a FetchEnv, what: &str, folder: &Path) -> Self {
        Self {
            client,
            env,
            what: what.to_owned(),
            folder: folder.to_owned(),
            args: Vec::new(),
            vars: Vec::new(),
        }
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// An option whose value is a path.
    pub(crate) fn option(self, name: &str, value: &Path) -> Self {
        self.args([OsStr::new(name), value.as_os_str()])
    }

    /// Sets a variable for this call only.
    pub(crate) fn var(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.vars.push((name.to_owned(), value.into()));
        self
    }

    /// Runs it to its end. Any exit code but 0 is a failure.
    pub(crate) fn run(self) -> Result<Output, SourceError> {
        let output = self.output()?;
        if output.status.success() {
            return Ok(output);
        }
        let mut words = last_lines(&output.stderr);
        if words.is_empty() {
            words = last_lines(&output.stdout);
        }
        words.insert(0, format!("it ended with {}", output.status));
        Err(SourceError::ClientFailed {
            client: self.client.name().to_owned(),
            what: self.what,
            source: Box::new(Words(words.join("\n"))),
        })
    }

    fn output(&self) -> Result<Output, SourceError> {
        let mut first = None;
        for program in self.client.programs {
            let mut command = Command::new(program[0]);
            command
                .args(&program[1..])
                .args(&self.args)
                .current_dir(&self.folder)
                .env_clear()
                .envs(self.env.vars.iter())
                .envs(self.vars.iter().map(|(name, value)| (name, value)));
            let ran = process::output(&mut command);
            interrupt::check()?;
            match ran {
                Ok(output) => return Ok(output),
                Err(e) if e.kind() == io::ErrorKind::NotFound => drop(first.get_or_insert(e)),
                Err(e) => return Err(self.not_started(e)),
            }
        }
        let not_found = || io::Error::from(io::ErrorKind::NotFound);
        Err(self.not_started(first.unwrap_or_else(not_found)))
    }

    fn not_started(&self, source: io::Error) -> SourceError {
        SourceError::ClientMissing {
            client: self.client.name().to_owned(),
            what: self.client.what,
            hint: self.client.hint,
            source,
        }
    }
}

fn last_lines(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(|l| !l.is_empty()).collect();
    let from = lines.len().saturating_sub(MAX_LINES);
    lines[from..].iter().map(|l| l.chars().take(300).collect()).collect()
}
