//! Owns adding a publisher or a site's own root to what an install root trusts: by fingerprint, never silently.

use std::path::{Path, PathBuf};

use kojibox_console::Report;
use kojibox_signing::root::fingerprint;
use kojibox_state::trust;

use super::{Session, run};
use crate::{
    medium::Medium,
    report::StateReport,
    trust::{Outside, Publisher, TrustError, first},
};

/// Pins the root with this fingerprint, from a file or from the chain of a depot.
pub(crate) fn add_publisher(
    session: &Session<'_>,
    path: &Path,
    wanted: &str,
    sources: &[PathBuf],
    file: Option<&Path>,
) -> Result<Publisher, Report> {
    let medium = match file {
        Some(_) => Medium::of(Vec::new(), session.watch)?,
        None => Medium::open(sources, &session.world.program, session.watch)?,
    };
    let outside = Outside {
        file: file.map(Path::to_owned),
        fingerprint: file.is_none().then(|| wanted.to_owned()),
        embedded: Vec::new(),
    };
    let found = first(&outside, &medium, &mut |_| Ok(false))?;
    let publisher = found.into_iter().next().ok_or(TrustError::Nobody)?;
    // A file proves nothing by itself: its fingerprint must be the one that came another way.
    let named = publisher
        .new_documents
        .iter()
        .any(|(_, bytes)| fingerprint(bytes) == wanted);
    if !named {
        let wanted = format!("`{wanted}`");
        return Err(TrustError::NotOnMedium { wanted }.into());
    }
    run::recover_first(session, path, false)?;
    let locked = run::open_or_create(session, path)?;
    trust::pin(locked.store(), &publisher.root16, &publisher.new_documents).map_err(StateReport)?;
    run::raise_floor(&locked, &publisher)?;
    Ok(publisher)
}
