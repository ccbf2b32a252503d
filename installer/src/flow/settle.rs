//! Owns answers, ports, language and start: given, asked for, kept, or by default.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use kojibox_console::Report;

use super::{Existing, Manner, Pick, Request, Session};
use crate::{
    preflight::{is_busy, services_of},
    select::{Chosen, Settings, settle as settle_settings},
    wizard::Guide,
};

/// What is settled.
pub(super) struct Settled {
    pub(super) settings: Settings,
    pub(super) language: Option<String>,
    pub(super) start: bool,
}

/// Settles what the chosen components want to know.
pub(super) fn settle(
    session: &Session<'_>,
    request: &Request,
    guide: &Guide<'_>,
    existing: &Existing,
    picks: &[Pick],
    root: &Path,
) -> Result<Settled, Report> {
    let chosen: Vec<_> = picks
        .iter()
        .map(|pick| Chosen {
            kept: pick.offer.is_none(),
            manifest: &pick.manifest,
            components: pick.components.clone(),
        })
        .collect();
    let before = existing.settings();
    let mut given = Settings {
        answers: request.answers.answers.clone(),
        ports: request.answers.ports.clone(),
    };
    let has_services = picks
        .iter()
        .any(|p| p.manifest.services.iter().any(|s| p.components.contains(&s.component)));
    if request.manner == Manner::Wizard {
        given.ports.extend(ask_ports(guide, existing, picks, &given, &before)?);
        let unanswered = picks.iter().flat_map(|p| &p.manifest.questions);
        let unanswered: Vec<_> = unanswered.filter(|q| !given.answers.contains_key(&q.id)).collect();
        given.answers.extend(guide.questions(&unanswered, &before.answers)?);
    }
    let settings = settle_settings(&chosen, &given, &before).map_err(|mistake| match &request.answers_file {
        Some(file) if file.has(mistake.table, &mistake.name) => {
            Report::from(file.complain(mistake.table, &mistake.name, mistake.what))
        }
        _ => mistake.into(),
    })?;
    let kept = existing.record.as_ref();
    let start = match request.answers.start {
        Some(start) => start,
        None if request.manner == Manner::Wizard && has_services => {
            let secrets: Vec<_> = picks
                .iter()
                .flat_map(|p| &p.manifest.secrets)
                .map(|s| s.id.clone())
                .collect();
            guide.secrets(&secrets, &root.join("secrets"));
            guide.start()?
        }
        None => kept.is_none_or(|record| record.start),
    };
    session.go_on()?;
    let language = match (&request.answers.language, request.manner) {
        (Some(language), _) => Some(language.clone()),
        (None, Manner::Wizard) => Some(guide.texts.tag.to_owned()),
        (None, Manner::Terse) => kept.and_then(|record| record.language.clone()),
    };
    Ok(Settled {
        settings,
        language,
        start,
    })
}

fn ask_ports(
    guide: &Guide<'_>,
    existing: &Existing,
    picks: &[Pick],
    given: &Settings,
    before: &Settings,
) -> Result<BTreeMap<String, u16>, Report> {
    let port_of = |name: &str, prefer| *given.ports.get(name).or(before.ports.get(name)).unwrap_or(&prefer);
    let asked = picks
        .iter()
        .flat_map(|p| services_of(&p.manifest, &p.components, port_of).1);
    let asked: BTreeMap<_, _> = asked.map(|p| (p.name, p.port)).collect();
    let own = existing.own_ports();
    let busy: BTreeSet<u16> = asked
        .values()
        .copied()
        .filter(|p| !own.contains(p) && is_busy(*p))
        .collect();
    guide.ports(&asked, &busy)
}
