//! Owns the way from a request to the next generation: look, trust, choose, settle, preflight, show, confirm, run.
//!
//! The wizard and the unattended install are this one flow. Where an answer is missing a person is asked through the
//! [`Guide`]; without a terminal the question becomes a usage error that names its flag.

mod catalog;
mod choose;
mod diagnose;
mod draft;
mod existing;
mod hold;
mod remove;
mod request;
mod run;
mod save;
mod settle;
mod site;
mod summary;
mod trusted;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kojibox_console::{Exit, Outcome, Report, Spelling, Ui, declined};
use kojibox_packs::Target;
use kojibox_state::InstallRoot;

pub(crate) use catalog::Catalog;
pub(crate) use diagnose::{diagnose, show_findings};
pub(crate) use draft::{Draft, Pick};
pub(crate) use existing::Existing;
pub(crate) use hold::hold_program;
pub(crate) use remove::{names_all, remove_packs};
pub(crate) use request::{Aim, Manner, Request};
pub(crate) use run::{Ran, insert, manifests_of, open_locked, recover, recover_first, recovery_needed, told, transact};
pub(crate) use site::add_publisher;
pub(crate) use summary::Summary;

use crate::{
    medium::Medium,
    patient::Watch,
    preflight::{self, Facts, Finding},
    report::{NOTHING_WRITTEN, SourceReport, StateReport},
    trust::Publisher,
    wizard::Guide,
    world::{self, World},
};

/// What every step may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session<'a> {
    /// Speaks.
    pub ui: &'a Ui,
    /// The process we run in.
    pub world: &'a World,
    /// Set by Ctrl-C.
    pub cancel: &'a AtomicBool,
    /// Looks on while a medium is read.
    pub watch: &'a Arc<Watch>,
}

impl Session<'_> {
    /// Advice from now on names this install root.
    pub(crate) fn is_about(&self, root: &Path) {
        let installer = Some(self.world.called.clone());
        self.ui.spell(Spelling::of(root, &self.world.directory, installer));
    }

    /// Advice from now on names this program as it was typed, if no install root is known.
    pub(crate) fn is_about_nothing(&self) {
        self.ui.spell(Spelling {
            installer: Some(self.world.called.clone()),
            ..Spelling::default()
        });
    }

    /// Ends here if Ctrl-C was pressed; nothing has been written yet.
    pub(crate) fn go_on(&self) -> Result<(), Report> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(declined(NOTHING_WRITTEN));
        }
        Ok(())
    }
}

/// Everything that is decided, right before the last question.
struct Decided {
    root: PathBuf,
    medium: Medium,
    existing: Existing,
    draft: Draft,
    summary: Summary,
}

/// Installs or updates as `request` says.
pub(crate) fn install(session: &Session<'_>, request: &Request) -> Outcome {
    let guide = guide(session, request)?;
    let medium = Medium::open(&request.sources, &session.world.program, session.watch)?;
    if request.manner == Manner::Wizard {
        guide.introduce(&medium.describe());
    }
    let root = place(session, request, &guide, &medium)?;
    session.is_about(&root);
    run::recover_first(session, &root, request.dry_run)?;
    let existing = Existing::read(&root).map_err(StateReport)?;
    let publishers = trusted::establish(session, request, &guide, &existing, &medium)?;
    session.go_on()?;
    let learned = !request.dry_run && run::remember_trust(session, &root, &publishers)?;
    if learned && medium.manifests().map_err(SourceReport)?.is_empty() {
        return Ok(Exit::Done);
    }
    let Some(mut draft) = draft(session, request, &guide, (&root, &existing), &medium, publishers)? else {
        return Ok(nothing_to_do(session, &root, &existing, "the medium has nothing newer"));
    };
    let (facts, findings, demand) = preflight(&draft, &root, Some(&medium), &existing)?;
    draft.verdicts.extend(findings.iter().map(Finding::verdict));
    let details = draft.verdicts.iter().map(|v| format!("{}: {}", v.check, v.detail));
    details.for_each(|detail| session.ui.detail(&detail));
    let summary = Summary::new(&root, &draft, &existing, &demand, &facts, &findings);
    let decided = Decided {
        root,
        medium,
        existing,
        draft,
        summary,
    };
    conclude(session, request, &guide, decided)
}

fn conclude(session: &Session<'_>, request: &Request, guide: &Guide<'_>, decided: Decided) -> Outcome {
    let Decided {
        root,
        medium,
        existing,
        draft,
        summary,
    } = decided;
    if request.dry_run {
        if session.ui.is_json() {
            session.ui.json(&summary);
        } else {
            guide.summarise(&summary.lines(guide.texts));
        }
        preflight::enforce(&summary.findings, session.ui)?;
        return Ok(if draft.changes_nothing(&existing) {
            Exit::NothingToDo
        } else {
            Exit::Done
        });
    }
    preflight::enforce(&summary.findings, session.ui)?;
    if draft.changes_nothing(&existing) {
        return Ok(nothing_to_do(session, &root, &existing, "exactly this is installed"));
    }
    // From here on nobody opens the program's file any more, which some drivers take for a sign to forget what was read of it.
    hold_program(session, &medium);
    if !request.yes || request.manner == Manner::Wizard {
        guide.summarise(&summary.lines(guide.texts));
    }
    if !request.yes && !guide.confirm()? {
        return Err(declined(NOTHING_WRITTEN));
    }
    save::save(session, request, guide, &draft, &root, &existing)?;
    let ran = run::run(session, guide, &root, &medium, &existing, draft, !request.yes)?;
    if session.ui.is_json() {
        session.ui.json(&ran.document(&root));
    } else {
        guide.farewell(&root, &session.world.program, &ran);
    }
    Ok(Exit::Done)
}

/// What a script is told when everything stays as it is.
#[derive(serde::Serialize)]
struct Unchanged {
    root: String,
    generation: Option<u64>,
    changed: bool,
}

fn nothing_to_do(session: &Session<'_>, root: &Path, existing: &Existing, why: &str) -> Exit {
    if session.ui.is_json() {
        session.ui.json(&Unchanged {
            root: root.display().to_string(),
            generation: existing.record.as_ref().map(|r| r.id),
            changed: false,
        });
    }
    session.ui.status(&format!("Nothing to do: {why}."));
    Exit::NothingToDo
}

/// Looks at the machine and judges what `draft` asks of it.
pub(crate) fn preflight(
    draft: &Draft,
    root: &Path,
    medium: Option<&Medium>,
    existing: &Existing,
) -> Result<(Facts, Vec<Finding>, preflight::Demand), Report> {
    let demand = draft.demand(root, medium, existing);
    let facts = Facts::gather(&demand, &existing.own_ports(), world::utc(world::now())).map_err(StateReport)?;
    let findings = preflight::judge(&demand, &facts);
    Ok((facts, findings, demand))
}

fn guide<'a>(session: &Session<'a>, request: &Request) -> Result<Guide<'a>, Report> {
    match (&request.answers.language, request.manner) {
        (Some(language), _) => Ok(Guide::speaking(session.ui, language)),
        (None, Manner::Wizard) => Guide::ask_language(session.ui, session.world.proposed_language()),
        (None, Manner::Terse) => Ok(Guide::speaking(session.ui, "en")),
    }
}

/// Where to install: given, or asked for.
fn place(session: &Session<'_>, request: &Request, guide: &Guide<'_>, medium: &Medium) -> Result<PathBuf, Report> {
    let world = session.world;
    if let Some(root) = &request.answers.root {
        return Ok(world.absolute(&world.with_home(&root.to_string_lossy())));
    }
    let texts = guide.texts;
    let check = |typed: &str| {
        let root = world.absolute(&world.with_home(typed.trim()));
        let inside = medium.paths().any(|m| m.is_dir() && root.starts_with(m));
        let kind = preflight::root_kind(&root).map_err(|e| e.to_string())?;
        match kind {
            _ if typed.trim().is_empty() => Err(texts.place_question.to_owned()),
            _ if inside => Err(texts.place_medium.to_owned()),
            preflight::RootKind::Foreign(example) => Err(crate::wizard::texts::fill(
                texts.place_foreign,
                &[("example", &example)],
            )),
            preflight::RootKind::NotADirectory => Err(texts.place_file.to_owned()),
            _ => Ok(()),
        }
    };
    let typed = guide.place(&world.proposed_root(), &check)?;
    let root = world.absolute(&world.with_home(&typed.to_string_lossy()));
    if preflight::root_kind(&root).map_err(StateReport)? == preflight::RootKind::Installed {
        let found = InstallRoot::open(&root).map_err(StateReport)?;
        if found.pointer().map_err(StateReport)?.is_some() {
            session.ui.note(texts.place_installed);
        } else if found.recovery_needed().map_err(StateReport)? {
            session.ui.note(texts.place_interrupted);
        }
    }
    Ok(root)
}

/// Chooses, settles and judges; `None` if an update finds nothing newer.
fn draft(
    session: &Session<'_>,
    request: &Request,
    guide: &Guide<'_>,
    (root, existing): (&Path, &Existing),
    medium: &Medium,
    publishers: Vec<Publisher>,
) -> Result<Option<Draft>, Report> {
    let wants = request.wanted()?;
    let catalog = catalog::read(
        medium,
        Target::host(),
        &choose::names(request, &wants, existing),
        &publishers,
    )?;
    catalog.notes.iter().for_each(|note| session.ui.warn(note));
    session.go_on()?;
    let Some(mut picks) = choose::picks(request, guide, existing, &catalog, &wants)? else {
        return Ok(None);
    };
    let launcher = choose::components(request, guide, existing, &mut picks)?;
    let settled = settle::settle(session, request, guide, existing, &picks, root)?;
    let mut judged = trusted::judge(session, request, existing, medium, &catalog, &publishers, &mut picks)?;
    // A pack of which only the launcher is here is none of the picks, and its word counts all the same.
    let alone = existing.record.as_ref().and_then(|r| r.launcher_pack.as_ref());
    if let Some(pack) = alone.filter(|_| launcher.is_some()) {
        let named = (pack.name.as_str(), pack.version.as_str());
        let verdict = trusted::withdrawn(session, named, &pack.digest, &judged.floors);
        judged.verdicts.extend(verdict);
    }
    Ok(Some(Draft {
        picks,
        launcher,
        settings: settled.settings,
        language: settled.language,
        start: settled.start,
        verdicts: judged.verdicts,
        floors: judged.floors,
        publishers,
    }))
}
