//! Owns the comparisons of a build: with the trees of the lock, and with another build of the same input.

use kojibox_packs::{Target, manifest::Manifest};
use kojibox_signing::Digest;

use super::{AssembleError, Difference, TwoDigests, component::Packed, differs, pack::Made};
use crate::{
    cache::{Cache, CacheError},
    lock::Lock,
};

/// Longest listing that is read back.
const MAX_LISTING: u64 = 1 << 30;

impl Made {
    /// What the manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the manifest: the identity of the pack.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// Bytes of files that were stored once and named again.
    pub fn deduplicated(&self) -> u64 {
        self.packed.iter().map(|p| p.blob.stored_once()).sum()
    }

    /// Blobs that were in the depot already.
    pub fn taken(&self) -> usize {
        self.packed.iter().filter(|p| p.blob.taken).count()
    }

    /// Fails if a tree is not the one that the lock states, naming the first file that differs if it is known.
    pub fn compare_with_lock(&self, lock: &Lock, target: Target, cache: &Cache) -> Result<(), AssembleError> {
        for packed in &self.packed {
            let entry = lock.get(&packed.component.id, &target);
            let Some(expected) = entry.and_then(|e| e.tree_sha256) else {
                continue;
            };
            let got = packed.component.tree_sha256;
            if got != expected {
                let known = locked_listing(cache, &expected).and_then(|old| differs::first(&old, &packed.listing));
                return Err(AssembleError::Tree {
                    component: packed.component.id.clone(),
                    source: known.unwrap_or(Difference::Unknown { got, expected }),
                });
            }
        }
        Ok(())
    }

    /// Writes the trees into the lock, and what is behind their digests into the cache; true if the lock changed.
    pub fn record(&self, lock: &mut Lock, target: Target, cache: &Cache) -> Result<bool, CacheError> {
        let before = lock.clone();
        for packed in &self.packed {
            let stored = cache.insert_bytes(packed.listing.as_bytes())?;
            debug_assert_eq!(
                stored, packed.component.tree_sha256,
                "a tree is named by the digest of its listing"
            );
            lock.set_tree(&packed.component.id, &target, packed.component.tree_sha256);
        }
        Ok(*lock != before)
    }

    /// Fails if `second`, another build of the same input, has other bytes.
    pub fn compare(&self, second: &Self) -> Result<(), AssembleError> {
        let differ = |what: String, first: Digest, second: Digest| {
            Err(AssembleError::NotReproducible {
                pack: self.manifest.pack.clone(),
                what,
                source: TwoDigests { first, second },
            })
        };
        for (a, b) in self.packed.iter().zip(&second.packed) {
            let id = &a.component.id;
            if a.component.tree_sha256 != b.component.tree_sha256 {
                let what = match differs::first(&a.listing, &b.listing) {
                    Some(Difference::At { path, .. }) => format!("`{path}` of component `{id}`"),
                    _ => format!("the tree of component `{id}`"),
                };
                return differ(what, a.component.tree_sha256, b.component.tree_sha256);
            }
            for (what, a, b) in blob_digests(a, b) {
                if a != b {
                    return differ(format!("{what} of component `{id}`"), a, b);
                }
            }
        }
        for ((name, a), (_, b)) in self.documents.iter().zip(&second.documents) {
            if a != b {
                return differ(format!("`{name}`"), Digest::of(a), Digest::of(b));
            }
        }
        if self.bytes != second.bytes {
            return differ("the manifest".to_owned(), self.digest(), second.digest());
        }
        Ok(())
    }
}

fn blob_digests(a: &Packed, b: &Packed) -> [(&'static str, Digest, Digest); 2] {
    let (a, b) = (&a.component, &b.component);
    [
        ("the blob", a.blob.sha256, b.blob.sha256),
        ("the index", a.index.sha256, b.index.sha256),
    ]
}

/// The listing behind a locked digest, if this machine built it once.
fn locked_listing(cache: &Cache, digest: &Digest) -> Option<String> {
    let cached = cache.get(digest).ok().flatten().filter(|c| c.size <= MAX_LISTING)?;
    std::io::read_to_string(cached.file).ok()
}
