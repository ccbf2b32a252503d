//! Owns the questions a doctor asks: can this tree's services run on this machine as it is?

use std::{ffi::OsString, path::PathBuf};

use serde::Serialize;

use crate::{
    api::{ServiceStatus, Status},
    data::{self, data_of},
    place::Place,
    platform,
    ports::{self, Ports},
    stack::Stack,
};

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Nothing has to be done about it.
    pub ok: bool,
    /// What was found.
    pub text: String,
    /// What to do.
    pub fix: Option<String>,
}

impl Finding {
    /// Nothing to do.
    pub fn good(text: impl Into<String>) -> Self {
        Self {
            ok: true,
            text: text.into(),
            fix: None,
        }
    }

    /// Something to do.
    pub fn bad(text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            ok: false,
            text: text.into(),
            fix: Some(fix.into()),
        }
    }
}

/// Looks at trees, secrets, sockets, services and ports.
pub fn look(stack: &Stack, status: &Status) -> Vec<Finding> {
    let mut findings = Vec::new();
    let missing: Vec<&str> = stack
        .components
        .iter()
        .filter(|(_, tree)| !tree.is_dir())
        .map(|(id, _)| id.as_str())
        .collect();
    findings.push(match missing.as_slice() {
        [] => Finding::good(format!("all {} components are in their places", stack.components.len())),
        some => Finding::bad(
            format!("components are missing: {}", some.join(", ")),
            "run `kojibox-installer repair`",
        ),
    });
    findings.push(secrets(stack));
    findings.extend(sockets(stack));
    let unwell = |s: &&ServiceStatus| s.reason.is_some() && s.is_stuck();
    findings.extend(status.services.iter().filter(unwell).map(|s| {
        let reason = s.reason.clone().unwrap_or_default();
        Finding::bad(
            format!("service `{}`: {reason}", s.name),
            s.fix.clone().unwrap_or_default(),
        )
    }));
    findings.extend(stack.services.keys().flat_map(|name| data(stack, status, name)));
    findings.extend(taken(stack, status));
    findings
}

/// How the data of a service was left, and what lies beside it.
fn data(stack: &Stack, status: &Status, name: &str) -> Vec<Finding> {
    let runs = status.service(name).is_some_and(|s| s.pid.is_some() || !s.is_down());
    let Some(data) = data_of(stack, name, runs) else {
        return Vec::new();
    };
    let unclean = data.unclean.iter().map(|why| {
        Finding::bad(
            format!("the data of `{name}` was not left cleanly: {why}"),
            "run `kojibox up`, so that the same version repairs it, then `kojibox down`",
        )
    });
    let kept = data.older.iter().chain(&data.aside).map(|kept| {
        let (folder, size) = (&kept.folder, data::size(kept.bytes));
        Finding::good(format!("`{folder}` keeps {size} of `{name}` that nothing uses now"))
    });
    unclean.chain(kept).collect()
}

/// Others must not be able to order services about.
fn sockets(stack: &Stack) -> Option<Finding> {
    let dir = Place::read(stack.layout.root())?.dir(stack.layout.root());
    match platform::is_private_dir(&dir) {
        Ok(true) => Some(Finding::good(format!(
            "the socket directory `{}` is private",
            dir.display()
        ))),
        Ok(false) => Some(Finding::bad(
            format!("the socket directory `{}` is open to others", dir.display()),
            "run `kojibox down`, remove it, then `kojibox up`",
        )),
        // The next command lets the daemon make it anew.
        Err(_) => None,
    }
}

/// Others must not be able to read secrets that are there.
fn secrets(stack: &Stack) -> Finding {
    let dir = stack.layout.secrets();
    let open = |id: &&String| platform::is_private(&dir.join(id)).is_ok_and(|private| !private);
    let open: Vec<&str> = stack.secrets.keys().filter(open).map(String::as_str).collect();
    match open.as_slice() {
        [] => Finding::good("secrets are private"),
        some => Finding::bad(
            format!("others can read secrets: {}", some.join(", ")),
            format!("make the files in `{}` readable for their owner only", dir.display()),
        ),
    }
}

/// Preferred ports of services that do not run, held by someone else.
fn taken(stack: &Stack, status: &Status) -> Vec<Finding> {
    let Ok(table) = Ports::load(stack) else {
        return Vec::new();
    };
    let runs = |key: &str| {
        let name = key.split('.').next().unwrap_or_default();
        status.service(name).is_some_and(|s| s.pid.is_some())
    };
    let idle = table.all().into_iter().filter(|(key, _)| !runs(key));
    let held = idle.filter_map(|(key, port)| {
        let owner = ports::owner(port);
        (!owner.is_empty())
            .then(|| format!("port {port} of `{key}` is taken{owner}; another one will be chosen unless it is pinned"))
    });
    held.map(Finding::good).collect()
}

/// Which program each name means, inside and outside: a global one must not hide ours.
pub fn programs(stack: &Stack, environment: &[(OsString, OsString)]) -> Vec<Finding> {
    let path = environment
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("PATH"))
        .map(|(_, v)| v.clone());
    let outside: Vec<PathBuf> = path.iter().flat_map(std::env::split_paths).collect();
    let mut findings = Vec::new();
    for dir in stack.program_dirs() {
        let names = crate::files::names(&dir).unwrap_or_default();
        let known = [
            "postgres",
            "node",
            "npm",
            "php",
            "caddy",
            "mysqld",
            "redis-server",
            "valkey-server",
            "python3",
        ];
        for name in names
            .iter()
            .filter(|n| known.contains(&n.trim_end_matches(platform::EXE)))
        {
            let other = outside
                .iter()
                .map(|d| d.join(name))
                .find(|p| p.is_file() && !p.starts_with(stack.layout.root()));
            if let Some(other) = other {
                let own = dir.join(name);
                findings.push(Finding::good(format!(
                    "`{name}` is `{}` in services and `kojibox exec`, `{}` outside",
                    own.display(),
                    other.display()
                )));
            }
        }
    }
    findings
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let texts: Vec<String> = std::iter::successors(Some(error), |e| e.source())
        .map(ToString::to_string)
        .collect();
    texts.join(": ")
}
