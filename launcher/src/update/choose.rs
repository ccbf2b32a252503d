//! Owns the verdict over the packs of a source, and which launcher among the good ones is the newest.
//!
//! Nothing of a manifest is read before enough keys of a pinned publisher signed it. What is older than what this tree
//! has seen, was withdrawn, or lacks a countersignature that a pinned root demands, is refused.

use std::sync::Arc;

use kojibox_packs::{
    Target,
    manifest::{Component, Kind, Manifest},
    read,
    source::{BlobSource, Section},
};
use kojibox_signing::{Document as _, KeyId, Keyring, Namespace, Signed, Verified};
use kojibox_state::{
    InstallRoot,
    records::{Floors, LAUNCHER},
};
use semver::Version;

use super::{
    UpdateError, floors,
    trust::{Documents, Publisher},
};

/// A detached signature longer than this is something else.
const SIGNATURE_MAX: u64 = 16 << 10;

/// Detached signatures by file name.
type Signatures = Vec<(String, Vec<u8>)>;

/// A newer launcher, vouched for.
pub(crate) struct Offer {
    pub(crate) component: Component,
    pub(super) manifest: Verified<Manifest>,
    /// Detached signatures by file name, countersignatures too.
    pub(super) signatures: Signatures,
    pub(super) source: Arc<dyn BlobSource>,
    pub(super) root16: String,
    pub(super) root_version: u64,
    pub(super) approved_by: Vec<KeyId>,
    /// What this tree remembers, and what everything on the source adds to that.
    pub(super) known: Floors,
    /// Publishers whose chains went on.
    pub(super) new_roots: Vec<(String, Documents)>,
}

/// The newest launcher above version `from` that nothing speaks against; `None` if there is none.
///
/// Every manifest of the source is verified before one is chosen: what any of them withdraws, and the time that any of them
/// proves, counts for all.
pub(super) fn newest(
    root: &InstallRoot,
    source: Arc<dyn BlobSource>,
    publishers: &[Publisher],
    from: &str,
    ours: &str,
) -> Result<Option<Offer>, UpdateError> {
    let files = source.manifests()?;
    let mut all = Vec::new();
    for file in &files {
        all.extend(judge(source.as_ref(), file, publishers)?);
    }
    if !files.is_empty() && all.is_empty() {
        return Err(UpdateError::NobodyTrusted(source.describe()));
    }
    let roots = publishers.iter().map(|p| p.root.issued());
    let known = floors::known(root.floors()?, all.iter().map(|j| &*j.manifest), roots);
    check_roots(publishers, &known)?;
    let Some(judged) = best(all, publishers, &known, from, ours)? else {
        return Ok(None);
    };
    for document in judged.manifest.documents() {
        read::check_document(source.as_ref(), document).map_err(|source| UpdateError::Read {
            version: judged.manifest.version.clone(),
            source: Box::new(source),
        })?;
    }
    let (approved_by, countersigned) = approvals(source.as_ref(), &judged, publishers)?;
    let signatures = judged.signatures.into_iter().chain(countersigned).collect();
    let publisher = &publishers[judged.publisher];
    Ok(launcher_of(&judged.manifest).cloned().map(|component| Offer {
        component,
        root16: publisher.root16.clone(),
        root_version: publisher.root.version(),
        approved_by,
        new_roots: publishers
            .iter()
            .map(|p| (p.root16.clone(), p.new_documents.clone()))
            .collect(),
        manifest: judged.manifest,
        signatures,
        known,
        source,
    }))
}

/// The newest of `all` that may be used; what is said against the newest, if all are refused.
fn best(
    all: Vec<Judged>,
    publishers: &[Publisher],
    known: &Floors,
    from: &str,
    ours: &str,
) -> Result<Option<Judged>, UpdateError> {
    let wanted = all.into_iter().filter_map(|j| Some((wanted(&j.manifest, from)?, j)));
    let mut wanted: Vec<(Version, Judged)> = wanted.collect();
    wanted.sort_by(|(a, i), (b, j)| (b, j.manifest.sequence).cmp(&(a, i.manifest.sequence)));
    let mut refused = None;
    for (_, judged) in wanted {
        match check_floors(&judged, &publishers[judged.publisher], known).and_then(|()| check_reader(&judged, ours)) {
            Ok(()) => return Ok(Some(judged)),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(None), Err)
}

/// Refuses to go on under a root that was stale before the newest signed document was made.
fn check_roots(publishers: &[Publisher], known: &Floors) -> Result<(), UpdateError> {
    let at = floors::not_before(known);
    match publishers.iter().find(|p| p.root.expires() < at) {
        None => Ok(()),
        Some(publisher) => Err(UpdateError::StaleRoot {
            root16: publisher.root16.clone(),
            expires: publisher.root.expires().to_string(),
            at: at.to_string(),
        }),
    }
}

/// A verified manifest and who vouched for it.
struct Judged {
    file: String,
    manifest: Verified<Manifest>,
    signatures: Signatures,
    publisher: usize,
}

/// Verifies a manifest under the publisher whose key its signatures name; `None` if that is nobody's here.
fn judge(source: &dyn BlobSource, file: &str, publishers: &[Publisher]) -> Result<Option<Judged>, UpdateError> {
    let signatures = signatures(source, file, false)?;
    let names_key = |ring: &Keyring| {
        let named = |id: &KeyId| {
            signatures
                .iter()
                .any(|(n, _)| n.ends_with(&format!(".{}.sshsig", id.short())))
        };
        ring.keys().any(|(id, _)| named(id))
    };
    let Some(publisher) = publishers.iter().position(|p| names_key(&p.root.pack_ring())) else {
        return Ok(None);
    };
    let Some(bytes) = source.read_small(&Section::Packs, file, Manifest::MAX_BYTES as u64)? else {
        return Ok(None);
    };
    let ring = publishers[publisher].root.pack_ring();
    let manifest = attached(bytes, &signatures)
        .verify(&ring, Namespace::Pack)
        .map_err(refused(file))?;
    Ok(Some(Judged {
        file: file.to_owned(),
        manifest,
        signatures,
        publisher,
    }))
}

fn refused(
    file: &str,
) -> impl FnOnce(kojibox_signing::VerifyError<<Manifest as kojibox_signing::Document>::Error>) -> UpdateError {
    let file = file.to_owned();
    move |source| UpdateError::Manifest {
        file,
        source: Box::new(source),
    }
}

fn attached(bytes: Vec<u8>, signatures: &Signatures) -> Signed<Manifest> {
    let signatures = signatures.iter().map(|(_, bytes)| bytes.clone());
    signatures.fold(Signed::new(bytes), Signed::attach)
}

fn signatures(source: &dyn BlobSource, file: &str, approvals: bool) -> Result<Signatures, UpdateError> {
    let mut found = Vec::new();
    for name in source.signatures(file)? {
        if name.ends_with(".approval.sshsig") != approvals {
            continue;
        }
        if let Some(bytes) = source.read_small(&Section::Packs, &name, SIGNATURE_MAX)? {
            found.push((name, bytes));
        }
    }
    Ok(found)
}

/// Countersignatures of every pinned root that demands them, and the keys that counted.
fn approvals(
    source: &dyn BlobSource,
    judged: &Judged,
    publishers: &[Publisher],
) -> Result<(Vec<KeyId>, Signatures), UpdateError> {
    let (mut keys, mut found) = (Vec::new(), Signatures::new());
    for ring in publishers.iter().filter_map(|site| site.root.approval_ring()) {
        let files = signatures(source, &judged.file, true)?;
        let verified = attached(judged.manifest.bytes().to_vec(), &files)
            .verify(&ring, Namespace::Approval)
            .map_err(refused(&judged.file))?;
        keys.extend(verified.keys());
        // The same files for every root.
        found = files;
    }
    Ok((keys, found))
}

fn launcher_of(manifest: &Manifest) -> Option<&Component> {
    manifest.components.iter().find(|c| c.id == LAUNCHER)
}

/// The version of the launcher in a full pack for this machine, if it is above `from`.
fn wanted(manifest: &Manifest, from: &str) -> Option<Version> {
    let host = Target::host().to_string();
    let fits = |target: &str| target == host || target == "any";
    if manifest.kind != Kind::Full || !fits(&manifest.target) {
        return None;
    }
    let component = launcher_of(manifest).filter(|c| fits(&c.target))?;
    let version = Version::parse(&component.version).ok()?;
    let newer = Version::parse(from).is_ok_and(|from| version > from);
    newer.then_some(version)
}

fn check_floors(judged: &Judged, publisher: &Publisher, known: &Floors) -> Result<(), UpdateError> {
    let (manifest, digest) = (&judged.manifest, judged.manifest.digest());
    floors::check(known, &publisher.root16, manifest, digest).map_err(|source| UpdateError::Floor {
        pack: manifest.pack.clone(),
        version: manifest.version.clone(),
        source,
    })
}

fn check_reader(judged: &Judged, ours: &str) -> Result<(), UpdateError> {
    let version = |text: &str| Version::parse(text).ok();
    if version(&judged.manifest.min_installer) <= version(ours) {
        return Ok(());
    }
    Err(UpdateError::TooNew {
        file: judged.file.clone(),
        wanted: judged.manifest.min_installer.clone(),
    })
}
