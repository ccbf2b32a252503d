//! Owns the verdict over one manifest of the medium: whose it is, signed by how many, approved by whom.
//!
//! The bytes are read once. Nothing of them is parsed before enough signatures matched.

use std::sync::Arc;

use kojibox_packs::{
    manifest::Manifest,
    names,
    read::{self, ReadError},
    source::{Section, SourceError},
};
use kojibox_signing::{Document as _, KeyId, Keyring, Namespace, Signed, Verified, VerifyError, sshsig::SshSig};

use super::Publisher;
use crate::{
    medium::Medium,
    plan::{Verdict, VerdictOutcome},
};

/// Why a manifest was refused.
pub(crate) type ManifestRefusal = VerifyError<<Manifest as kojibox_signing::Document>::Error>;

/// A pack on the medium whose manifest is verified.
#[derive(Clone, Debug)]
pub(crate) struct Offer {
    /// The manifest.
    pub manifest: Arc<Verified<Manifest>>,
    /// Its file name below `packs/`.
    pub file: String,
    /// Pack signatures that were looked at, by file name.
    pub signatures: Vec<(String, Vec<u8>)>,
    /// Its publisher.
    pub root16: String,
    /// Version of the publisher's root.
    pub root_version: u64,
    /// Position of its source on the medium.
    pub source: usize,
}

/// A manifest could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// The medium could not be read.
    #[error("could not read `packs/{file}`")]
    Medium {
        /// Manifest file.
        file: String,
        /// Why.
        source: SourceError,
    },
    /// The signatures do not suffice, or what they sign breaks the format.
    #[error("could not verify pack `packs/{file}` under trust root {root_version} of publisher `{root16}`{}", names::signed_in(.signatures))]
    Refused {
        /// Manifest file.
        file: String,
        /// Publisher.
        root16: String,
        /// Version of its root.
        root_version: u64,
        /// Files with its signatures.
        signatures: Vec<String>,
        /// Why.
        source: Box<ManifestRefusal>,
    },
    /// It asks for a newer installer.
    #[error("pack `packs/{file}` asks for installer {wanted} or newer, this is {ours}")]
    TooNewForUs {
        /// Manifest file.
        file: String,
        /// Lowest version that understands it.
        wanted: String,
        /// Our version.
        ours: &'static str,
    },
    /// A document beside the manifest is not what the manifest states.
    #[error("could not take document `packs/{document}` of pack `packs/{file}`")]
    Document {
        /// Manifest file.
        file: String,
        /// The document.
        document: String,
        /// Why.
        source: Box<ReadError>,
    },
    /// The site's countersignature is missing or insufficient.
    #[error("pack `packs/{file}` has no sufficient approval of site root `{root16}`")]
    Unapproved {
        /// Manifest file.
        file: String,
        /// Site whose approval is demanded.
        root16: String,
        /// Why.
        source: Box<ManifestRefusal>,
    },
}

/// Judges the manifest `file` of the source at `at`; `None` if no trusted key has signed it.
///
/// # Errors
/// A manifest that carries a trusted key's signature must verify; anything else is an error, never a shrug.
pub(crate) fn judge(
    medium: &Medium,
    at: usize,
    file: &str,
    publishers: &[Publisher],
) -> Result<Option<Offer>, OfferError> {
    let Some((bytes, signatures)) = read(medium, at, file)? else {
        return Ok(None);
    };
    let signs = |p: &&Publisher| signatures.iter().any(|(name, _)| is_of(name, &p.root.pack_ring()));
    let Some(publisher) = publishers.iter().find(signs) else {
        return Ok(None);
    };
    let manifest = verify(file, bytes, &signatures, publisher)?;
    Ok(Some(Offer {
        manifest: Arc::new(manifest),
        file: file.to_owned(),
        signatures,
        root16: publisher.root16.clone(),
        root_version: publisher.root.version(),
        source: at,
    }))
}

/// The refusal of a manifest that was meant and that no trusted key has signed.
pub(crate) fn unsigned(medium: &Medium, at: usize, file: &str, publishers: &[Publisher]) -> Result<(), OfferError> {
    let Some((bytes, signatures)) = read(medium, at, file)? else {
        return Ok(());
    };
    for publisher in publishers {
        verify(file, bytes.clone(), &signatures, publisher)?;
    }
    Ok(())
}

/// A manifest's bytes, and pack signatures by file name.
type Read = (Vec<u8>, Vec<(String, Vec<u8>)>);

fn read(medium: &Medium, at: usize, file: &str) -> Result<Option<Read>, OfferError> {
    let wrap = |source| OfferError::Medium {
        file: file.to_owned(),
        source,
    };
    let max = Manifest::MAX_BYTES as u64;
    let Some(bytes) = medium.read_small(at, &Section::Packs, file, max).map_err(wrap)? else {
        return Ok(None);
    };
    let mut signatures = medium.signatures(at, file).map_err(wrap)?;
    signatures.retain(|(name, _)| !is_approval(name));
    Ok(Some((bytes, signatures)))
}

fn verify(
    file: &str,
    bytes: Vec<u8>,
    signatures: &[(String, Vec<u8>)],
    publisher: &Publisher,
) -> Result<Verified<Manifest>, OfferError> {
    attached(bytes, signatures)
        .verify(&publisher.root.pack_ring(), Namespace::Pack)
        .map_err(|source| OfferError::Refused {
            file: file.to_owned(),
            root16: publisher.root16.clone(),
            root_version: publisher.root.version(),
            signatures: signatures.iter().map(|(name, _)| name.clone()).collect(),
            source: Box::new(source),
        })
}

fn attached(bytes: Vec<u8>, signatures: &[(String, Vec<u8>)]) -> Signed<Manifest> {
    let signed = Signed::new(bytes);
    signatures
        .iter()
        .fold(signed, |signed, (_, signature)| signed.attach(signature.clone()))
}

fn is_approval(name: &str) -> bool {
    name.ends_with(".approval.sshsig")
}

/// True if the file name says that a key of `ring` made the signature; the signature itself decides later.
fn is_of(name: &str, ring: &Keyring) -> bool {
    ring.keys()
        .any(|(id, _)| name.ends_with(&format!(".{}.sshsig", id.short())))
}

/// Approvals that counted, and their files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Approval {
    /// Keys of all demanded approvals.
    pub keys: Vec<KeyId>,
    /// Signature files to keep beside the manifest.
    pub signatures: Vec<(String, Vec<u8>)>,
    /// One verdict per site that demands approval.
    pub verdicts: Vec<Verdict>,
}

/// Enforces the countersignature of every trusted root that has an approval role; `given` came by `--approval`.
pub(crate) fn approve(
    medium: &Medium,
    offer: &Offer,
    publishers: &[Publisher],
    given: &[Vec<u8>],
) -> Result<Approval, OfferError> {
    let mut approval = Approval::default();
    for site in publishers {
        let Some(ring) = site.root.approval_ring() else {
            continue;
        };
        let wrap = |source| OfferError::Medium {
            file: offer.file.clone(),
            source,
        };
        let mut files = medium.signatures(offer.source, &offer.file).map_err(wrap)?;
        files.retain(|(name, _)| is_approval(name));
        files.extend(
            given
                .iter()
                .map(|bytes| (approval_name(&offer.file, bytes), bytes.clone())),
        );
        let verified = attached(offer.manifest.bytes().to_vec(), &files)
            .verify(&ring, Namespace::Approval)
            .map_err(|source| OfferError::Unapproved {
                file: offer.file.clone(),
                root16: site.root16.clone(),
                source: Box::new(source),
            })?;
        approval.keys.extend(verified.keys());
        approval.signatures.extend(files);
        approval.verdicts.push(Verdict {
            check: "approval".to_owned(),
            outcome: VerdictOutcome::Passed,
            detail: format!(
                "`{}` is approved by {} under site root `{}`",
                offer.manifest.pack,
                shorts(verified.keys()),
                site.root16
            ),
        });
    }
    Ok(approval)
}

/// The name under which an approval given by hand is kept.
fn approval_name(file: &str, bytes: &[u8]) -> String {
    let id = SshSig::parse(bytes).map_or_else(|_| "unreadable".to_owned(), |s| s.public_key().key_id().short());
    names::approval(file, &id)
}

fn shorts(keys: &[KeyId]) -> String {
    keys.iter()
        .map(|k| format!("`{}`", k.short()))
        .collect::<Vec<_>>()
        .join(", ")
}

impl Offer {
    /// Refuses a pack that only a newer installer understands.
    pub(crate) fn check_installer(&self) -> Result<(), OfferError> {
        let ours = env!("CARGO_PKG_VERSION");
        let parse = |text: &str| semver::Version::parse(text).ok();
        if parse(&self.manifest.min_installer) <= parse(ours) {
            return Ok(());
        }
        Err(OfferError::TooNewForUs {
            file: self.file.clone(),
            wanted: self.manifest.min_installer.clone(),
            ours,
        })
    }

    /// Compares the documents beside the manifest with their signed hashes; gives those that the medium does not have.
    pub(crate) fn check_documents(&self, medium: &Medium) -> Result<Vec<&str>, OfferError> {
        let source = medium.blobs(self.source);
        let mut lacking = Vec::new();
        for document in self.manifest.documents() {
            let there = read::check_document(&*source, document).map_err(|source| OfferError::Document {
                file: self.file.clone(),
                document: document.name.clone(),
                source: Box::new(source),
            })?;
            if !there {
                lacking.push(document.name.as_str());
            }
        }
        Ok(lacking)
    }

    /// Who signed it, for the receipt.
    pub(crate) fn verdict(&self) -> Verdict {
        Verdict {
            check: "pack signature".to_owned(),
            outcome: VerdictOutcome::Passed,
            detail: format!(
                "`{}` {} (manifest sha256 `{}`) is signed by {} under root {} of publisher `{}`",
                self.manifest.pack,
                self.manifest.version,
                self.manifest.digest(),
                shorts(self.manifest.keys()),
                self.root_version,
                self.root16
            ),
        }
    }
}
