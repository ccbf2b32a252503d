//! Owns the removal of some packs of several: a new generation without them, so that there is a way back.

use std::path::Path;

use kojibox_console::{Exit, Outcome, Report, declined};

use super::{Existing, Session, diagnose::installed, draft::complete, run};
use crate::{
    answers::or_nearest,
    report::{NOTHING_WRITTEN, StateReport, tx_report},
    select::Want,
    transaction,
    wizard::texts::EN,
};

#[derive(Debug, thiserror::Error)]
#[error("pack `{0}` is not installed{1}")]
struct NotInstalled(String, String);

/// True if `packs` are all that is installed.
pub(crate) fn names_all(path: &Path, packs: &[Want]) -> Result<bool, Report> {
    let existing = Existing::read(path).map_err(StateReport)?;
    let known: Vec<_> = existing.manifests.keys().collect();
    if let Some(want) = packs.iter().find(|w| !existing.manifests.contains_key(&w.name)) {
        let error = NotInstalled(want.name.clone(), or_nearest(&want.name, &known));
        return Err(Report::new(Exit::Usage, error).state(NOTHING_WRITTEN));
    }
    Ok(known.iter().all(|name| packs.iter().any(|w| w.name == **name)))
}

/// Makes a generation without `packs`.
pub(crate) fn remove_packs(session: &Session<'_>, path: &Path, packs: &[Want], yes: bool) -> Outcome {
    run::recover_first(session, path, false)?;
    let existing = Existing::read(path).map_err(StateReport)?;
    let mut draft = installed(&existing);
    draft
        .picks
        .retain(|pick| !packs.iter().any(|w| w.name == pick.manifest.pack));
    draft.launcher = complete(&mut draft.picks, &existing)?;
    let names: Vec<_> = packs.iter().map(|w| w.name.as_str()).collect();
    let question = format!("Remove {} from {}? Its data stays.", names.join(", "), path.display());
    if !yes && !session.ui.confirm(&question, false, "--yes")? {
        return Err(declined(NOTHING_WRITTEN));
    }
    let plan = draft.into_plan(session.world.command.clone(), None);
    let mut locked = run::open_locked(session, path)?;
    run::unchanged(&locked, &existing)?;
    let manifests = run::manifests_of(locked.root());
    let (installed, _) = run::transact(session, &EN, &manifests, |env| {
        transaction::install(&mut locked, &plan, env)
    })
    .map_err(|e| tx_report(session.ui, e))?;
    if session.ui.is_json() {
        let services = Vec::new();
        session.ui.json(&run::Ran { installed, services }.document(path));
        return Ok(Exit::Done);
    }
    session.ui.done(&format!(
        "Generation {} is active without {}.",
        installed.generation,
        names.join(", ")
    ));
    Ok(Exit::Done)
}
