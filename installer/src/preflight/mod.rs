//! Owns preflight: what an install asks of a machine, what the machine is, and the verdicts with a fix each.
//!
//! [`Demand`] comes from verified manifests, [`Facts`] from the machine; [`judge`] compares them and touches nothing, so
//! every verdict is tested without the machine that would earn it.
//!
//! *Limitations*: the space needed is an estimate from above (every file is taken to waste one cluster, and every fourth to
//! need a directory); what a migration of data will write is taken to be what it reads, so that it is advice, and the launcher
//! looks again before it copies (31); accounts known only to a directory service are not seen.

mod demand;
mod facts;
mod judge;
mod probe;
mod space;

use std::fmt;

use kojibox_console::{Exit, Report, Ui};
use serde::Serialize;

pub(crate) use demand::{ComponentDemand, Demand, MoveDemand, services_of};
pub(crate) use facts::is_busy;
pub(crate) use facts::{Content, Facts, RootKind, root_kind};
pub(crate) use judge::judge;
pub(crate) use probe::Abilities;
pub(crate) use space::space_needed;

use crate::plan::{Verdict, VerdictOutcome};

/// One thing that preflight found out, with its fix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Stable name of the check: `root`, `volumes`, `space`, `paths`, `abilities`, `user`, `libc`, `ports`, `clock`.
    pub check: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What is the matter, lower-case, no final period.
    pub what: String,
    /// Why, with needed and found values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// One command or one physical act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Shown, not in the way.
    Warning,
    /// Stops the install.
    Error,
}

impl Finding {
    fn ok(check: &'static str, what: String) -> Self {
        Self {
            check,
            level: Level::Ok,
            what,
            why: None,
            fix: None,
            exit: Exit::Done,
        }
    }

    fn warning(check: &'static str, what: String) -> Self {
        Self {
            level: Level::Warning,
            ..Self::ok(check, what)
        }
    }

    fn error(check: &'static str, exit: Exit, what: String) -> Self {
        Self {
            level: Level::Error,
            exit,
            ..Self::ok(check, what)
        }
    }

    fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// Exit code of an install that ends with it.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The finding as a line of the receipt.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict {
            check: format!("preflight {}", self.check),
            outcome: match self.level {
                Level::Ok => VerdictOutcome::Passed,
                Level::Warning | Level::Error => VerdictOutcome::Warned,
            },
            detail: self.sentence(),
        }
    }

    pub(crate) fn sentence(&self) -> String {
        match &self.why {
            Some(why) => format!("{}: {why}", self.what),
            None => self.what.clone(),
        }
    }
}

/// Shows warnings and turns errors into the report that stops the command.
///
/// # Errors
/// All errors together, with the exit code and the hint of the first.
pub(crate) fn enforce(findings: &[Finding], ui: &Ui) -> Result<(), Report> {
    for finding in findings.iter().filter(|f| f.level == Level::Warning) {
        ui.warn(&finding.sentence());
        if let Some(fix) = &finding.fix {
            ui.note(fix);
        }
    }
    let mut errors = findings.iter().filter(|f| f.level == Level::Error);
    let Some(first) = errors.next() else {
        return Ok(());
    };
    let failed = Failed {
        what: first.what.clone(),
        source: first.why.clone().map(Why),
        others: errors.map(Finding::sentence).collect(),
    };
    let report = Report::new(first.exit, failed).state("nothing was written");
    Err(match &first.fix {
        Some(fix) => report.hint(fix.clone()),
        None => report,
    })
}

/// Preflight stopped the command.
#[derive(Debug, thiserror::Error)]
struct Failed {
    what: String,
    source: Option<Why>,
    others: Vec<String>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.others.iter().try_for_each(|other| write!(f, "\nalso: {other}"))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Why(String);
