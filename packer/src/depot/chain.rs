//! Owns a publisher's chain of trust roots as packs carry it: `trust/<root16>/N.root.json`, N from 1 without a gap.

use std::path::{Path, PathBuf};

use kojibox_packs::{
    names,
    source::{BlobSource, Section, SourceError},
};
use kojibox_signing::root::{self, RootError, TrustedRoot};

use super::place::{self, PlaceError};
use crate::keys::TrustChain;

/// A verified chain, from the first root to the newest.
#[derive(Clone, Debug)]
pub struct Chain {
    documents: Vec<Vec<u8>>,
    newest: TrustedRoot,
}

/// A chain could not be read or does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// A document could not be read.
    #[error("could not read the trust roots of publisher `{publisher}`")]
    Read {
        /// First 16 hex digits of the SHA-256 of the first root.
        publisher: String,
        /// What was wrong.
        #[source]
        source: SourceError,
    },
    /// A document is no good by itself or does not follow from the one before.
    #[error("could not accept the trust root `{}`", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: RootError,
    },
    /// A chain lies under another publisher's name.
    #[error("the trust roots in `{}` do not belong there: `1.root.json` makes them `{got}`", path.display())]
    Misplaced {
        /// The folder.
        path: PathBuf,
        /// What its first document makes.
        got: String,
    },
}

/// A chain could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayOutError {
    /// The file system said no.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The depot has another document of that version: one of the two was not made by its keys' owner.
    #[error("`{}` is there already and differs from version {version} of this trust root", path.display())]
    Fork {
        /// The file.
        path: PathBuf,
        /// Version of the root.
        version: u64,
    },
}

impl From<&TrustChain> for Chain {
    fn from(chain: &TrustChain) -> Self {
        Self {
            documents: chain.roots().to_vec(),
            newest: chain.current().clone(),
        }
    }
}

impl Chain {
    /// Reads and checks every document of a publisher; `None` if there is no first one.
    pub fn read(source: &dyn BlobSource, root16: &str) -> Result<Option<Self>, ChainError> {
        let section = Section::Trust(root16.to_owned());
        let document = |n: u64| {
            source
                .read_small(&section, &names::root(n), root::MAX_BYTES as u64)
                .map_err(|source| ChainError::Read {
                    publisher: root16.to_owned(),
                    source,
                })
        };
        let refuse = |n: u64| {
            let path = source.locate(&section, &names::root(n));
            move |source| ChainError::Root { path, source }
        };
        let Some(first) = document(1)? else { return Ok(None) };
        let got = root::root16(&first);
        if got != root16 {
            let path = PathBuf::from(source.describe()).join(section.folder());
            return Err(ChainError::Misplaced { path, got });
        }
        let mut newest = TrustedRoot::pin(&first).map_err(refuse(1))?;
        let mut documents = vec![first];
        for n in 2.. {
            let Some(next) = document(n)? else { break };
            newest.advance(&next).map_err(refuse(n))?;
            documents.push(next);
        }
        Ok(Some(Self { documents, newest }))
    }

    /// The newest root.
    pub fn newest(&self) -> &TrustedRoot {
        &self.newest
    }

    /// Name of the publisher's folder.
    pub fn root16(&self) -> String {
        root::root16(&self.documents[0])
    }

    /// `SHA256:…` of the first root, which people compare.
    pub fn fingerprint(&self) -> String {
        root::fingerprint(&self.documents[0])
    }

    /// Every document, the first one first.
    pub fn documents(&self) -> &[Vec<u8>] {
        &self.documents
    }

    /// True if `other` is this chain or what this one grew from.
    pub fn continues(&self, other: &Self) -> bool {
        self.documents.starts_with(&other.documents)
    }

    /// Lays the chain out in a depot; documents are added, never replaced.
    pub(crate) fn write(&self, depot: &Path) -> Result<(), LayOutError> {
        let dir = depot.join("trust").join(self.root16());
        for (version, document) in (1..).zip(&self.documents) {
            let path = dir.join(names::root(version));
            match std::fs::read(&path) {
                Ok(old) if old != *document => return Err(LayOutError::Fork { path, version }),
                _ => drop(place::write_small(&dir, &names::root(version), document)?),
            }
        }
        Ok(place::sync_dir(&dir)?)
    }
}
