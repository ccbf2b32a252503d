//! Owns the diagnosis: preflight for what is on a medium, or for what is installed.

use std::path::Path;

use kojibox_console::Report;
use kojibox_packs::Target;

use super::{Draft, Existing, Pick, Request, Session, catalog, choose, preflight, trusted};
use crate::{
    medium::Medium,
    preflight::{Finding, Level},
    report::StateReport,
    select::Settings,
    wizard::Guide,
};

/// Judges the machine for `request`; without a medium, for what is installed.
pub(crate) fn diagnose(session: &Session<'_>, request: &Request, root: &Path) -> Result<Vec<Finding>, Report> {
    let existing = Existing::read(root).map_err(StateReport)?;
    let medium = match Medium::open(&request.sources, &session.world.program, session.watch) {
        Err(_) if request.sources.is_empty() && existing.record.is_some() => None,
        other => Some(other?),
    };
    let draft = match &medium {
        Some(medium) => from_medium(session, request, &existing, medium)?,
        None => installed(&existing),
    };
    Ok(preflight(&draft, root, medium.as_ref(), &existing)?.1)
}

fn from_medium(
    session: &Session<'_>,
    request: &Request,
    existing: &Existing,
    medium: &Medium,
) -> Result<Draft, Report> {
    let guide = Guide::speaking(session.ui, "en");
    let publishers = trusted::establish(session, request, &guide, existing, medium)?;
    let wants = request.wanted()?;
    let catalog = catalog::read(medium, Target::host(), &wants, &publishers)?;
    let picks = choose::picks(request, &guide, existing, &catalog, &wants)?;
    let mut picks = picks.unwrap_or_default();
    let launcher = choose::components(request, &guide, existing, &mut picks)?;
    let judged = trusted::judge(session, request, existing, medium, &catalog, &publishers, &mut picks)?;
    Ok(Draft {
        picks,
        launcher,
        settings: Settings {
            ports: request.answers.ports.clone(),
            ..existing.settings()
        },
        language: None,
        start: true,
        verdicts: judged.verdicts,
        floors: judged.floors,
        publishers,
    })
}

/// The active generation as a draft that changes nothing.
pub(super) fn installed(existing: &Existing) -> Draft {
    let record = existing.record.as_ref();
    let packs = record.iter().flat_map(|r| &r.packs);
    Draft {
        picks: packs
            .filter_map(|p| Some(Pick::kept(existing.manifests.get(&p.name)?, &p.root16, existing)))
            .collect(),
        launcher: existing.launcher(),
        settings: existing.settings(),
        language: record.and_then(|r| r.language.clone()),
        start: record.is_none_or(|r| r.start),
        verdicts: Vec::new(),
        floors: existing.floors.clone(),
        publishers: Vec::new(),
    }
}

/// Shows findings one line each.
pub(crate) fn show_findings(session: &Session<'_>, findings: &[Finding]) {
    for finding in findings {
        let mark = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "warning",
            Level::Error => "error",
        };
        session
            .ui
            .answer(&format!("{mark:8} {:10} {}", finding.check, finding.sentence()));
        if let Some(fix) = &finding.fix {
            session.ui.answer(&format!("{:19} fix: {fix}", ""));
        }
    }
}
