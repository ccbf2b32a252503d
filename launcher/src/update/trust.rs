//! Owns whom to believe: the publishers this tree has pinned, each moved on along its own chain. Nobody else.

use kojibox_packs::{
    names,
    source::{BlobSource, Section},
};
use kojibox_signing::root::TrustedRoot;
use kojibox_state::{store::RootDir, trust};

use super::UpdateError;

/// A publisher that replaced its root this often is something else.
const CHAIN: u64 = 4096;

/// A pinned publisher.
#[derive(Debug)]
pub(super) struct Publisher {
    pub(super) root16: String,
    /// Its newest verified root.
    pub(super) root: TrustedRoot,
    /// Roots that the tree does not have yet.
    pub(super) new_documents: Documents,
}

/// Root documents by version.
pub(super) type Documents = Vec<(u64, Vec<u8>)>;

/// The pinned publishers, moved on over what `source` carries.
pub(super) fn publishers(dir: &RootDir, source: &dyn BlobSource) -> Result<Vec<Publisher>, UpdateError> {
    let pinned = trust::publishers(dir)?;
    let all = pinned.into_iter().map(|root16| publisher(dir, source, root16));
    Ok(all.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn publisher(dir: &RootDir, source: &dyn BlobSource, root16: String) -> Result<Option<Publisher>, UpdateError> {
    let held = trust::roots(dir, &root16)?;
    let Some(((_, first), rest)) = held.split_first() else {
        return Ok(None);
    };
    let bad = |version| {
        let root16 = root16.clone();
        move |source| UpdateError::Root {
            root16,
            version,
            source: Box::new(source),
        }
    };
    let mut root = TrustedRoot::pin(first).map_err(bad(1))?;
    for (version, bytes) in rest {
        root.advance(bytes).map_err(bad(*version))?;
    }
    let mut new_documents = Vec::new();
    let section = Section::Trust(root16.clone());
    for version in root.version() + 1..root.version().saturating_add(CHAIN) {
        let next = source.read_small(&section, &names::root(version), trust::ROOT_MAX_BYTES)?;
        let Some(bytes) = next else { break };
        root.advance(&bytes).map_err(bad(version))?;
        new_documents.push((version, bytes));
    }
    Ok(Some(Publisher {
        root16,
        root,
        new_documents,
    }))
}
