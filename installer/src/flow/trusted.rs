//! Owns the trust decisions of a flow: whose packs, whether they are replays, what the root remembers from now on.

use kojibox_console::{Report, declined};
use kojibox_signing::Digest;
use kojibox_state::records::Floors;

use super::{Catalog, Existing, Pick, Request, Session};
use crate::{
    medium::Medium,
    plan::{Verdict, VerdictOutcome},
    report::NOTHING_WRITTEN,
    trust::{self, Publisher, TrustError, floors, named_file},
    wizard::Guide,
    world,
};

/// Publishers whose packs may be installed here.
pub(crate) fn establish(
    session: &Session<'_>,
    request: &Request,
    guide: &Guide<'_>,
    existing: &Existing,
    medium: &Medium,
) -> Result<Vec<Publisher>, Report> {
    if !existing.pins.is_empty() {
        let publishers = trust::pinned(&existing.pins, Some(medium))?;
        trust::agree(&publishers, &existing.pins, &request.outside)?;
        return Ok(publishers);
    }
    let mut outside = request.outside.clone();
    if outside.file.is_none() && outside.fingerprint.is_none() {
        outside.embedded = session.world.embedded_roots()?;
    }
    let mut asked = false;
    let mut ask = |chain: &trust::Chain| {
        if request.yes || !guide.is_interactive() {
            return Err(TrustError::Nobody.into());
        }
        asked = true;
        guide.trust(chain)
    };
    let publishers = trust::first(&outside, medium, &mut ask);
    match publishers {
        // A person said no: that is their decision, not a failure of the medium.
        Err(_) if asked => Err(declined(NOTHING_WRITTEN)),
        other => other,
    }
}

/// What the decisions leave behind.
pub(super) struct Judged {
    pub(super) verdicts: Vec<Verdict>,
    pub(super) floors: Floors,
}

/// Judges the chosen packs: approval, sequence, time; adds the approvals to the picks.
pub(super) fn judge(
    session: &Session<'_>,
    request: &Request,
    existing: &Existing,
    medium: &Medium,
    catalog: &Catalog,
    publishers: &[Publisher],
    picks: &mut [Pick],
) -> Result<Judged, Report> {
    let mut verdicts: Vec<_> = publishers.iter().map(Publisher::verdict).collect();
    // Times that were signed count even for packs that are not chosen.
    let known = floors::known(
        &existing.floors,
        catalog.offers.iter().map(|o| &**o.manifest),
        publishers.iter().map(|p| p.root.issued()),
    );
    let not_before = floors::not_before(&known);
    for publisher in publishers {
        publisher.check_time(not_before)?;
    }
    let approvals = approvals(request)?;
    let mut next = known.clone();
    for pick in picks.iter_mut() {
        let Some(offer) = pick.offer.clone() else {
            let (manifest, digest) = (&pick.manifest, pick.manifest.digest());
            verdicts.extend(withdrawn(session, (&manifest.pack, &manifest.version), &digest, &known));
            continue;
        };
        verdicts.push(offer.verdict());
        for lacking in offer.check_documents(medium)? {
            let text = format!("`packs/{lacking}` is not on the medium; nothing that is installed needs it");
            session.ui.note(&text);
        }
        pick.approval = trust::approve(medium, &offer, publishers, &approvals)?;
        verdicts.extend(pick.approval.verdicts.iter().cloned());
        let active = existing.manifests.get(&pick.manifest.pack).map(|m| m.digest());
        let release = pick.release();
        verdicts.push(release.check_sequence(&known, active.as_ref(), request.allow_downgrade)?);
        let now = world::utc(world::now());
        let time = release.check_time(not_before, now.max(not_before), request.strict_time)?;
        if time.outcome == VerdictOutcome::Warned {
            session.ui.warn(&time.detail);
        }
        verdicts.push(time);
        release.raise(&mut next);
    }
    Ok(Judged { verdicts, floors: next })
}

/// A pack that stays may have been withdrawn meanwhile: it keeps running, and that is said.
pub(super) fn withdrawn(
    session: &Session<'_>,
    (pack, version): (&str, &str),
    digest: &Digest,
    known: &Floors,
) -> Option<Verdict> {
    if !known.revoked.contains(digest) {
        return None;
    }
    let detail = format!("`{pack}` {version} was withdrawn by its publisher and stays installed");
    session.ui.warn(&detail);
    Some(Verdict {
        check: "withdrawn".to_owned(),
        outcome: VerdictOutcome::Warned,
        detail,
    })
}

/// A detached signature longer than this is something else.
const APPROVAL_MAX: usize = 16 << 10;

fn approvals(request: &Request) -> Result<Vec<Vec<u8>>, Report> {
    let read = |path: &std::path::PathBuf| {
        named_file(path, APPROVAL_MAX).map_err(|source| TrustError::Approval {
            path: path.clone(),
            source,
        })
    };
    Ok(request.approvals.iter().map(read).collect::<Result<_, _>>()?)
}
