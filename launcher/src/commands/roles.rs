//! Owns the roles that are not for people: the daemon, the shim, and the check of the program by itself.

use std::{
    io,
    path::{Path, PathBuf},
};

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_supervisor::{Clock, daemon, shim};
use serde::Serialize;

use super::status::stack;
use crate::{Outside, place::Place, session, version::version};

/// Serves the tree until everything is down.
pub(crate) fn daemon(place: &Place, outside: &Outside) -> Outcome {
    kojibox_supervisor::close_inherited();
    match daemon::run(session::settings(place, outside), io::stdout()) {
        Ok(()) => Ok(Exit::Done),
        Err(error @ daemon::DaemonError::Busy) => Err(Report::new(Exit::Busy, error)),
        Err(error) => Err(Report::new(Exit::NotReady, error)),
    }
}

/// Runs one service to its end.
pub(crate) fn shim(outside: &Outside) -> Outcome {
    match shim::run(io::stdin(), io::stdout(), Clock::new(outside.now)) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(Report::new(Exit::NotReady, error)),
    }
}

#[derive(Serialize)]
struct Checked {
    version: &'static str,
    program: PathBuf,
    services: Option<usize>,
}

/// Proves that this program runs here: it can start itself, and read what is installed if a root is given.
pub(crate) fn self_check(program: &Path, root: Option<&Path>, outside: &Outside, ui: &Ui) -> Outcome {
    let services = match root {
        Some(root) => Some(stack(&Place::find(Some(root), outside)?)?.services.len()),
        None => None,
    };
    let checked = Checked {
        version: version(),
        program: program.to_owned(),
        services,
    };
    if ui.is_json() {
        ui.json(&checked);
    } else {
        ui.done(&format!("kojibox {} works in `{}`", checked.version, program.display()));
    }
    Ok(Exit::Done)
}
