//! Owns making a finished pack visible in a depot: blobs first, the manifest last, so that a reader never meets half a pack.

use std::path::{Path, PathBuf};

use kojibox_packs::names;
use kojibox_signing::{Digest, Namespace, Signer as _, sshsig};

use super::{AssembleError, pack::Made};
use crate::{
    depot::{self, Chain},
    keys::SecretKey,
};

/// Who publishes.
#[derive(Debug)]
pub struct Publisher {
    /// The trust roots that name the keys.
    pub chain: Chain,
    /// Keys that sign; each has the pack role.
    pub keys: Vec<SecretKey>,
}

/// A pack in a depot.
#[derive(Clone, Debug)]
pub struct Published {
    /// The manifest.
    pub manifest: PathBuf,
    /// Its SHA-256.
    pub digest: Digest,
    /// Signatures by keys that have the pack role now, the new ones included.
    pub signatures: usize,
    /// How many are needed.
    pub threshold: usize,
    /// A manifest of the same name with other bytes was there.
    pub replaced: bool,
}

impl Made {
    /// Publishes the pack in `depot`, which the caller has claimed.
    ///
    /// Crash: an older manifest of the same name is taken away first, then every other file is placed, then the new one. At
    /// each moment the depot has the old pack, none, or the new pack.
    pub fn publish(mut self, depot: &Path, publisher: &Publisher) -> Result<Published, AssembleError> {
        let packs = depot.join("packs");
        let blobs = depot.join("blobs");
        let name = depot::name_of(&self.manifest);
        let path = packs.join(&name);
        for packed in &mut self.packed {
            if let Some(blob) = packed.blob.unpublished.take() {
                let names = blob.publish(&packed.component.blob.name);
                names.map_err(depot::io_error("write the blob in", &blobs))?;
            }
            depot::write_small(&blobs, &packed.component.index.name, &packed.blob.index_bytes)?;
        }
        depot::sync_dir(&blobs)?;
        let replaced = depot::withdraw(&path, &self.bytes)?;
        publisher.chain.write(depot).map_err(AssembleError::Trust)?;
        for (name, bytes) in &self.documents {
            depot::write_small(&packs, name, bytes)?;
        }
        for key in &publisher.keys {
            let signature = sshsig::sign(Namespace::Pack, &self.bytes, key);
            let name = names::signature(&name, &key.public_key().key_id().short());
            depot::write_small(&packs, &name, signature.as_bytes())?;
        }
        let ring = publisher.chain.newest().pack_ring();
        let signatures = depot::settle(&packs, &name, &self.bytes, &ring)?;
        depot::sync_dir(&packs)?;
        depot::write_small(&packs, &name, &self.bytes)?;
        depot::sync_dir(&packs)?;
        Ok(Published {
            manifest: path,
            digest: Digest::of(&self.bytes),
            signatures,
            threshold: ring.threshold(),
            replaced,
        })
    }
}
