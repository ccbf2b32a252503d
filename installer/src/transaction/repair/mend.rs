//! Owns [`Records`]: the manifests and lists of files that a repair stands on, as recorded, or as a medium has them under
//! the recorded digest. The digests are in the records of the generations, so a medium is believed nothing.

use std::{collections::BTreeMap, sync::Arc};

use kojibox_packs::{
    index::Index,
    limits,
    manifest::{Component, Manifest},
    read::read_index,
    source::{BlobSource, Section},
};
use kojibox_signing::{Digest, Document as _, Verified};
use kojibox_state::{
    InstallRoot, StateError,
    records::{ComponentRecord, PackRecord},
};

use super::super::{
    error::Cause,
    verify::{Finding, FindingKind, damage, finding, manifest_finding},
};

/// A detached signature longer than this is something else.
const SIGNATURE_MAX: u64 = 16 << 10;

/// Signatures by file name.
type Signatures = Vec<(String, Vec<u8>)>;

/// What was found of the records of a root.
#[derive(Default)]
pub(super) struct Records {
    /// Manifests of all generations, as far as they were found.
    pub(super) manifests: BTreeMap<Digest, Verified<Manifest>>,
    /// Those of them that are not in the root, with their signatures.
    pub(super) lost: Vec<(PackRecord, Signatures)>,
    /// Indexes that are not in the root, by directory of their tree.
    pub(super) mended: BTreeMap<String, Verified<Index>>,
    /// Every record that is damaged in the root.
    pub(super) findings: Vec<Finding>,
}

impl Records {
    /// Reads the records, and looks on `sources` for those that are damaged.
    pub(super) fn read(
        root: &InstallRoot,
        packs: &[&PackRecord],
        trees: &[&ComponentRecord],
        sources: &[Arc<dyn BlobSource>],
    ) -> Result<Self, Cause> {
        let mut records = Self::default();
        for pack in packs {
            match root.manifest(&pack.digest) {
                Ok(manifest) => drop(records.manifests.insert(pack.digest, manifest)),
                Err(error) => records.find_manifest(pack, error, sources)?,
            }
        }
        for tree in trees {
            if let Err(error) = root.index(tree) {
                let why = damage(error)?;
                records.findings.push(finding(tree, "", FindingKind::Index(why)));
                if let Some(index) = records.find_index(tree, sources) {
                    records.mended.insert(tree.dir.clone(), index);
                }
            }
        }
        Ok(records)
    }

    fn find_manifest(
        &mut self,
        pack: &PackRecord,
        error: StateError,
        sources: &[Arc<dyn BlobSource>],
    ) -> Result<(), Cause> {
        self.findings.push(manifest_finding(pack, damage(error)?));
        for source in sources {
            // A source that cannot be read offers nothing; what is lacking in the end is named.
            let Some((manifest, signatures)) = manifest_of(&**source, pack) else {
                continue;
            };
            self.manifests.insert(pack.digest, manifest);
            self.lost.push((pack.clone(), signatures));
            break;
        }
        Ok(())
    }

    fn find_index(&self, tree: &ComponentRecord, sources: &[Arc<dyn BlobSource>]) -> Option<Verified<Index>> {
        let same = |c: &&Component| c.index.sha256 == tree.index_sha256;
        let component = self.components(tree).into_iter().find(same)?;
        sources.iter().find_map(|s| read_index(&**s, component).ok())
    }

    /// What the manifests say of `tree`; the description under which it was installed first.
    pub(super) fn components(&self, tree: &ComponentRecord) -> Vec<&Component> {
        let all = self.manifests.values().flat_map(|m| &m.components);
        let mut same: Vec<_> = all
            .filter(|c| c.id == tree.id && c.tree_sha256 == tree.tree_sha256)
            .collect();
        same.sort_by_key(|c| c.index.sha256 != tree.index_sha256);
        same.dedup_by_key(|c| c.index.sha256);
        same
    }
}

/// A manifest and its signatures.
type Found = (Verified<Manifest>, Signatures);

/// The manifest of `pack` on `source`, if a file there has exactly its bytes.
fn manifest_of(source: &dyn BlobSource, pack: &PackRecord) -> Option<Found> {
    let start = format!("{}-{}-", pack.name, pack.version);
    for name in source.manifests().ok()?.iter().filter(|n| n.starts_with(&start)) {
        let read = source.read_small(&Section::Packs, name, Manifest::MAX_BYTES as u64);
        let Ok(Some(bytes)) = read else { continue };
        let Ok(manifest) = Verified::<Manifest>::by_digest(bytes, &pack.digest) else {
            continue;
        };
        let listed = source.signatures(name).unwrap_or_default();
        let max = SIGNATURE_MAX.min(limits::SMALL);
        let signatures = listed.into_iter().filter_map(|signature| {
            let bytes = source.read_small(&Section::Packs, &signature, max).ok()??;
            Some((signature, bytes))
        });
        return Some((manifest, signatures.collect()));
    }
    None
}
