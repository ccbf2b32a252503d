//! Owns where trust comes from: what the root has pinned, what came from outside, and the chains that lead on from there.
//!
//! A root that was pinned once changes only through its own chain. For a fresh root, in this order: a file, a
//! fingerprint, the roots appended to this program, a person who compares fingerprints. None of them: refused.
//!
//! Source: signing/TRUST.md, "The first install".

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use kojibox_console::Report;
use kojibox_packs::source::open_regular;
use kojibox_signing::{
    UtcTime,
    root::{MAX_BYTES, TrustedRoot, fingerprint, root16},
};

use super::TrustError;
use crate::{
    medium::Medium,
    plan::{PlannedRoot, Verdict, VerdictOutcome},
};

/// A publisher whose packs may be installed.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    /// First 16 hex digits of the SHA-256 of `1.root.json`.
    pub root16: String,
    /// Its newest verified root.
    pub root: TrustedRoot,
    /// Documents that the install root does not have yet.
    pub new_documents: Vec<(u64, Vec<u8>)>,
    /// Why it is trusted.
    pub origin: Origin,
}

/// Why a publisher is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The install root has it pinned.
    Pinned,
    /// `--trust FILE`.
    File(PathBuf),
    /// `--fingerprint`.
    Fingerprint,
    /// Appended to this program.
    Embedded,
    /// A person compared the fingerprint.
    Person,
}

/// Roots that were obtained outside the medium.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outside {
    /// `--trust FILE`.
    pub file: Option<PathBuf>,
    /// `--fingerprint SHA256:…`.
    pub fingerprint: Option<String>,
    /// Appended to this program.
    pub embedded: Vec<Vec<u8>>,
}

/// A publisher's chain as one medium carries it, from the first root to the newest.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    /// Publisher.
    pub root16: String,
    /// Every document.
    pub documents: Vec<(u64, Vec<u8>)>,
    /// The newest.
    pub newest: TrustedRoot,
}

/// Reads and checks the whole chain of a publisher from the medium.
pub(crate) fn chain(medium: &Medium, publisher: &str) -> Result<Option<Chain>, TrustError> {
    let documents = medium.root_chain(publisher, 1).map_err(TrustError::Medium)?;
    let Some((_, first)) = documents.first() else {
        return Ok(None);
    };
    let got = root16(first);
    if got != publisher {
        let root16 = publisher.to_owned();
        return Err(TrustError::Misplaced { root16, got });
    }
    let newest = walk(publisher, &documents)?;
    Ok(Some(Chain {
        root16: publisher.to_owned(),
        documents,
        newest,
    }))
}

fn walk(publisher: &str, documents: &[(u64, Vec<u8>)]) -> Result<TrustedRoot, TrustError> {
    let wrap = |version| {
        move |source| TrustError::Root {
            what: format!("trust root {version} of publisher `{publisher}`"),
            source,
        }
    };
    let (first, rest) = documents.split_first().ok_or(TrustError::Nobody)?;
    let mut root = TrustedRoot::pin(&first.1).map_err(wrap(first.0))?;
    for (version, bytes) in rest {
        root.advance(bytes).map_err(wrap(*version))?;
    }
    Ok(root)
}

/// Publishers that the install root has pinned, each moved on over what the medium carries.
pub(crate) fn pinned(pins: &[PlannedRoot], medium: Option<&Medium>) -> Result<Vec<Publisher>, TrustError> {
    pins.iter().map(|pin| advanced(pin, medium)).collect()
}

fn advanced(pin: &PlannedRoot, medium: Option<&Medium>) -> Result<Publisher, TrustError> {
    let mut root = walk(&pin.root16, &pin.documents)?;
    let next = match medium {
        Some(medium) => medium
            .root_chain(&pin.root16, root.version() + 1)
            .map_err(TrustError::Medium)?,
        None => Vec::new(),
    };
    for (version, bytes) in &next {
        root.advance(bytes).map_err(|source| TrustError::Root {
            what: format!("trust root {version} of publisher `{}` on the medium", pin.root16),
            source,
        })?;
    }
    Ok(Publisher {
        root16: pin.root16.clone(),
        root,
        new_documents: next,
        origin: Origin::Pinned,
    })
}

/// Checks that what was given on the command line is one of the pinned publishers.
pub(crate) fn agree(publishers: &[Publisher], pins: &[PlannedRoot], outside: &Outside) -> Result<(), TrustError> {
    let wanted = match (&outside.file, &outside.fingerprint) {
        (Some(path), _) => (fingerprint(&read(path)?), format!("`{}`", path.display())),
        (None, Some(print)) => (print.clone(), format!("`{print}`")),
        (None, None) => return Ok(()),
    };
    let held = pins.iter().flat_map(|p| &p.documents);
    let held = held.chain(publishers.iter().flat_map(|p| &p.new_documents));
    if held.into_iter().any(|(_, bytes)| fingerprint(bytes) == wanted.0) {
        return Ok(());
    }
    Err(TrustError::NotPinned { wanted: wanted.1 })
}

/// Establishes the first trust of a root from outside; `ask` shows a chain to a person, who says whether it is the one.
pub(crate) fn first(
    outside: &Outside,
    medium: &Medium,
    ask: &mut dyn FnMut(&Chain) -> Result<bool, Report>,
) -> Result<Vec<Publisher>, Report> {
    if let Some(path) = &outside.file {
        let what = format!("`{}`", path.display());
        return Ok(vec![located(&read(path)?, &what, medium, Origin::File(path.clone()))?]);
    }
    let chains = chains(medium)?;
    if let Some(wanted) = &outside.fingerprint {
        let chain = chains
            .into_iter()
            .find(|c| c.documents.iter().any(|(_, d)| fingerprint(d) == *wanted));
        let wanted = format!("`{wanted}`");
        return Ok(vec![from_chain(
            chain.ok_or(TrustError::NotOnMedium { wanted })?,
            Origin::Fingerprint,
        )]);
    }
    if !outside.embedded.is_empty() {
        let what = "the trust root appended to this program";
        let located = outside
            .embedded
            .iter()
            .map(|root| located(root, what, medium, Origin::Embedded));
        return Ok(newest_of_each(located.collect::<Result<_, _>>()?));
    }
    let mut trusted = Vec::new();
    for chain in chains {
        if ask(&chain)? {
            trusted.push(from_chain(chain, Origin::Person));
        }
    }
    if trusted.is_empty() {
        return Err(TrustError::Nobody.into());
    }
    Ok(trusted)
}

fn chains(medium: &Medium) -> Result<Vec<Chain>, TrustError> {
    let mut all = Vec::new();
    for publisher in medium.publishers().map_err(TrustError::Medium)? {
        all.extend(chain(medium, &publisher)?);
    }
    Ok(all)
}

fn from_chain(chain: Chain, origin: Origin) -> Publisher {
    Publisher {
        root16: chain.root16,
        root: chain.newest,
        new_documents: chain.documents,
        origin,
    }
}

/// Finds the chain that a root from outside belongs to, and moves on along it.
///
/// A first root is its own beginning; a later one needs the medium to show the chain that leads to exactly its bytes.
fn located(root: &[u8], what: &str, medium: &Medium, origin: Origin) -> Result<Publisher, TrustError> {
    let pinned = TrustedRoot::pin(root).map_err(|source| TrustError::Root {
        what: what.to_owned(),
        source,
    })?;
    if pinned.version() == 1 {
        let pin = PlannedRoot {
            root16: root16(root),
            documents: vec![(1, root.to_vec())],
        };
        let mut publisher = advanced(&pin, Some(medium))?;
        publisher.new_documents.splice(0..0, pin.documents);
        publisher.origin = origin;
        return Ok(publisher);
    }
    let chain = chains(medium)?
        .into_iter()
        .find(|c| c.documents.iter().any(|(_, d)| d == root));
    let wanted = what.to_owned();
    Ok(from_chain(chain.ok_or(TrustError::NotOnMedium { wanted })?, origin))
}

/// Several appended roots may be steps of one chain.
fn newest_of_each(publishers: Vec<Publisher>) -> Vec<Publisher> {
    let mut newest: Vec<Publisher> = Vec::new();
    for publisher in publishers {
        match newest.iter_mut().find(|p| p.root16 == publisher.root16) {
            Some(known) if known.root.version() >= publisher.root.version() => {}
            Some(known) => *known = publisher,
            None => newest.push(publisher),
        }
    }
    newest
}

fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    named_file(path, MAX_BYTES).map_err(|source| TrustError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Reads a file that a person has named, of at most `max` bytes: no pipe to wait for, no device without an end.
pub(crate) fn named_file(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open_regular(path)?;
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {max} bytes"),
        ));
    }
    Ok(bytes)
}

impl Publisher {
    /// Refuses a root that was stale before the newest signed document was made.
    pub(crate) fn check_time(&self, not_before: UtcTime) -> Result<(), TrustError> {
        let expires = self.root.expires();
        if expires >= not_before {
            return Ok(());
        }
        Err(TrustError::Expired {
            root16: self.root16.clone(),
            version: self.root.version(),
            expires,
            not_before,
        })
    }

    /// What the root has to remember of it.
    pub(crate) fn planned(&self) -> PlannedRoot {
        PlannedRoot {
            root16: self.root16.clone(),
            documents: self.new_documents.clone(),
        }
    }

    /// Why it is trusted, for the receipt.
    pub(crate) fn verdict(&self) -> Verdict {
        let (version, print) = (self.root.version(), fingerprint(self.root.bytes()));
        let why = match &self.origin {
            Origin::Pinned if self.new_documents.is_empty() => "pinned".to_owned(),
            Origin::Pinned => "pinned, moved on by its own chain".to_owned(),
            Origin::File(path) => format!("given as `{}`", path.display()),
            Origin::Fingerprint => "given by fingerprint".to_owned(),
            Origin::Embedded => "appended to the installer".to_owned(),
            Origin::Person => "a person compared its fingerprint".to_owned(),
        };
        Verdict {
            check: "trust root".to_owned(),
            outcome: VerdictOutcome::Passed,
            detail: format!("publisher `{}` root {version} ({print}): {why}", self.root16),
        }
    }
}
