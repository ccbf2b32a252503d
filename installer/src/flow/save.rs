//! Owns saving the answers, so that thirty more machines install without questions.

use std::{
    io,
    path::{Path, PathBuf},
};

use kojibox_console::Report;
use kojibox_signing::root::fingerprint;

use super::{Draft, Existing, Manner, Request, Session};
use crate::{
    answers::Answers,
    report::{NOTHING_WRITTEN, io_exit},
    select::selectable,
    trust::{Origin, Publisher},
    wizard::Guide,
};

#[derive(Debug, thiserror::Error)]
#[error("could not save the answers in `{}`", path.display())]
struct SaveError {
    path: PathBuf,
    source: io::Error,
}

/// The choices of a draft as an answers file states them.
fn answers_of(session: &Session<'_>, draft: &Draft, root: &Path, existing: &Existing) -> Answers {
    let new = draft.picks.iter().filter(|p| p.offer.is_some());
    let wished = |p: &super::Pick| {
        let chosen = selectable(&p.manifest).filter(|c| p.components.contains(&c.id));
        chosen.map(|c| c.id.clone()).collect::<Vec<_>>()
    };
    // What the packs would have answered by themselves is not frozen into the file.
    let defaults: Vec<_> = draft.picks.iter().flat_map(|p| &p.manifest.questions).collect();
    let own_answer = |id: &str, text: &str| {
        existing.settings().answers.contains_key(id)
            || defaults
                .iter()
                .any(|q| q.id == *id && q.default.as_deref() != Some(text))
    };
    Answers {
        root: Some(session.world.below_home(root)),
        language: draft.language.clone(),
        packs: new.clone().map(|p| p.manifest.pack.clone()).collect(),
        components: Some(new.flat_map(wished).collect()),
        start: Some(draft.start),
        answers: draft
            .settings
            .answers
            .iter()
            .filter(|(id, text)| own_answer(id, text))
            .map(|(id, text)| (id.clone(), text.clone()))
            .collect(),
        ports: draft.settings.ports.clone(),
    }
}

/// Writes the answers where the flag says, or where a person says after being asked.
pub(super) fn save(
    session: &Session<'_>,
    request: &Request,
    guide: &Guide<'_>,
    draft: &Draft,
    root: &Path,
    existing: &Existing,
) -> Result<(), Report> {
    let file = match (&request.save_answers, request.manner) {
        (Some(file), _) => Some(file.clone()),
        (None, Manner::Wizard) => {
            let home = session.world.home.as_ref().unwrap_or(&session.world.directory);
            guide.save_answers(&home.join("kojibox-answers.toml"))?
        }
        (None, Manner::Terse) => None,
    };
    if let Some(file) = file {
        let file = session
            .world
            .absolute(&session.world.with_home(&file.to_string_lossy()));
        write_answers(&file, &answers_of(session, draft, root, existing))?;
        guide.saved(&session.world.program, &file, outside_trust(draft).as_deref());
    }
    Ok(())
}

/// Fingerprint that the next machine has to be given too, unless its installer brings the trust along.
fn outside_trust(draft: &Draft) -> Option<String> {
    let told = |p: &&Publisher| matches!(p.origin, Origin::Person | Origin::Fingerprint | Origin::File(_));
    draft.publishers.iter().find(told).map(|p| fingerprint(p.root.bytes()))
}

/// Writes an answers file; a person's file, so it is written like one and not through the store of the root.
fn write_answers(file: &Path, answers: &Answers) -> Result<(), Report> {
    std::fs::write(file, answers.to_toml()).map_err(|source| {
        let exit = io_exit(&source);
        let path = file.to_owned();
        Report::new(exit, SaveError { path, source })
            .state(NOTHING_WRITTEN)
            .hint("name another file with `--save-answers`")
    })
}
