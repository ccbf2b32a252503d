//! Owns the choice of packs and components: by name, by what is installed, or by asking.

use std::collections::{BTreeMap, BTreeSet};

use kojibox_console::{Exit, Report};
use kojibox_packs::manifest::Manifest;

use super::{Aim, Catalog, Existing, Manner, Pick, Request, draft::complete};
use crate::{
    answers::or_nearest,
    plan::KeptLauncher,
    report::NOTHING_WRITTEN,
    select::{Want, choose, choose_update, preselected, selectable},
    trust::Offer,
    wizard::Guide,
};

/// Which pack was not said, and nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[error("the medium has several packs: {}", .0.join(", "))]
struct WhichPack(Vec<String>);

/// A pack to be updated is not installed.
#[derive(Debug, thiserror::Error)]
#[error("pack `{0}` is not installed{1}")]
struct NotInstalled(String, String);

/// Names by which manifests are looked for: what was asked for, or for an update what is installed.
pub(super) fn names(request: &Request, wants: &[Want], existing: &Existing) -> Vec<Want> {
    if request.aim == Aim::Install || !wants.is_empty() {
        return wants.to_vec();
    }
    let installed = existing.manifests.keys();
    installed
        .map(|name| Want {
            name: name.clone(),
            version: None,
        })
        .collect()
}

/// Packs of the next generation, the kept ones too; `None` if an update finds nothing newer.
pub(super) fn picks(
    request: &Request,
    guide: &Guide<'_>,
    existing: &Existing,
    catalog: &Catalog,
    wants: &[Want],
) -> Result<Option<Vec<Pick>>, Report> {
    let manifests: Vec<&Manifest> = catalog.offers.iter().map(|o| &**o.manifest).collect();
    let chosen = match request.aim {
        Aim::Install => installs(request, guide, existing, &manifests, wants)?,
        Aim::Update => updates(request, existing, &manifests, wants)?,
    };
    if chosen.is_empty() {
        return Ok(None);
    }
    let mut picks: BTreeMap<String, Pick> = BTreeMap::new();
    for (name, manifest) in &existing.manifests {
        let recorded = existing.record.iter().flat_map(|r| &r.packs);
        let root16 = recorded.into_iter().find(|p| p.name == *name).map(|p| p.root16.clone());
        picks.insert(
            name.clone(),
            Pick::kept(manifest, &root16.unwrap_or_default(), existing),
        );
    }
    for at in chosen {
        let offer = &catalog.offers[at];
        picks.insert(offer.manifest.pack.clone(), offered(offer));
    }
    Ok(Some(picks.into_values().collect()))
}

fn offered(offer: &Offer) -> Pick {
    Pick {
        manifest: offer.manifest.clone(),
        root16: offer.root16.clone(),
        root_version: offer.root_version,
        components: BTreeSet::new(),
        offer: Some(offer.clone()),
        approval: crate::trust::Approval::default(),
    }
}

fn installs(
    request: &Request,
    guide: &Guide<'_>,
    existing: &Existing,
    there: &[&Manifest],
    wants: &[Want],
) -> Result<Vec<usize>, Report> {
    let channel = request.channel.as_deref();
    let newest = |want: &Want| {
        let installed = existing.manifests.get(&want.name).map(|m| m.channel.as_str());
        choose(there, want, channel, installed)
    };
    if !wants.is_empty() {
        return Ok(wants.iter().map(newest).collect::<Result<_, _>>()?);
    }
    let names: BTreeSet<_> = there.iter().map(|m| m.pack.clone()).collect();
    let wants = names.iter().map(|name| Want {
        name: name.clone(),
        version: None,
    });
    // A pack that is only on other channels is none of the proposals.
    let proposals: Vec<usize> = wants.filter_map(|want| newest(&want).ok()).collect();
    match (&proposals[..], request.manner) {
        ([one], _) => Ok(vec![*one]),
        (_, Manner::Wizard) => {
            let shown: Vec<_> = proposals.iter().map(|at| there[*at]).collect();
            let installed = existing.manifests.keys().map(String::as_str).collect();
            let chosen = guide.packs(&shown, &installed)?;
            Ok(chosen.into_iter().filter_map(|i| proposals.get(i)).copied().collect())
        }
        (_, Manner::Terse) => {
            let names = names.into_iter().map(|n| format!("`{n}`")).collect();
            Err(Report::new(Exit::Usage, WhichPack(names))
                .state(NOTHING_WRITTEN)
                .hint("name the packs to install"))
        }
    }
}

fn updates(request: &Request, existing: &Existing, there: &[&Manifest], wants: &[Want]) -> Result<Vec<usize>, Report> {
    let installed = |name: &str| {
        existing.manifests.get(name).ok_or_else(|| {
            let known: Vec<_> = existing.manifests.keys().collect();
            let error = NotInstalled(name.to_owned(), or_nearest(name, &known));
            Report::new(Exit::Usage, error).state(NOTHING_WRITTEN)
        })
    };
    let channel = request.channel.as_deref();
    if wants.is_empty() {
        let all = existing.manifests.values();
        return Ok(all.filter_map(|m| choose_update(there, m, channel)).collect());
    }
    let mut chosen = Vec::new();
    for want in wants {
        let current = installed(&want.name)?;
        chosen.extend(match &want.version {
            Some(_) => Some(choose(there, want, channel, Some(&current.channel))?),
            None => choose_update(there, current, channel),
        });
    }
    // An exact version that is installed already is nothing to do.
    chosen.retain(|&at| {
        existing
            .manifests
            .get(&there[at].pack)
            .is_none_or(|m| ***m != *there[at])
    });
    Ok(chosen)
}

/// Chooses components for the new packs: given, asked for, or as before with new defaults; then what they require. Gives the
/// active launcher, if it stays.
pub(super) fn components(
    request: &Request,
    guide: &Guide<'_>,
    existing: &Existing,
    picks: &mut [Pick],
) -> Result<Option<KeptLauncher>, Report> {
    if let Some(given) = &request.answers.components {
        check_known(request, picks, given)?;
    }
    for pick in picks.iter_mut().filter(|p| p.offer.is_some()) {
        let manifest = &pick.manifest;
        pick.components = match (&request.answers.components, request.manner) {
            (Some(given), _) => selectable(manifest)
                .map(|c| c.id.clone())
                .filter(|id| given.contains(id))
                .collect(),
            (None, Manner::Wizard) => guide.components(manifest, &usual(manifest, existing))?,
            (None, Manner::Terse) => usual(manifest, existing),
        };
    }
    Ok(complete(picks, existing)?)
}

/// What was chosen before and still exists, with defaults that are new in this release; preselected ones at first.
fn usual(manifest: &Manifest, existing: &Existing) -> BTreeSet<String> {
    let Some(before) = existing.manifests.get(&manifest.pack) else {
        return preselected(manifest);
    };
    let had: BTreeSet<&str> = existing.components_of(&manifest.pack).collect();
    let is_new = |id: &str| !before.components.iter().any(|c| c.id == *id);
    selectable(manifest)
        .filter(|c| had.contains(c.id.as_str()) || (c.default && is_new(&c.id)))
        .map(|c| c.id.clone())
        .collect()
}

fn check_known(request: &Request, picks: &[Pick], given: &[String]) -> Result<(), Report> {
    let known: Vec<&str> = picks
        .iter()
        .flat_map(|p| selectable(&p.manifest))
        .map(|c| c.id.as_str())
        .collect();
    let Some(id) = given.iter().find(|id| !known.contains(&id.as_str())) else {
        return Ok(());
    };
    let suggestion = or_nearest(id, &known);
    Err(match &request.answers_file {
        Some(file) if file.answers.components.iter().flatten().any(|c| c == id) => file
            .complain("components", id, format!("there is no component `{id}`{suggestion}"))
            .into(),
        _ => crate::select::SelectError::NoSuchComponent {
            id: id.clone(),
            suggestion,
        }
        .into(),
    })
}
