//! Owns making a finished pack visible in a depot: blobs first, the manifest last, so that a reader never meets half a pack.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kojibox_packs::names;
use kojibox_signing::{Digest, Namespace, Signer as _, sshsig};

use super::{AssembleError, pack::Made};
use crate::{
    depot::{self, Chain, PlaceError},
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
        let name = self.manifest_name();
        let path = packs.join(&name);
        for packed in &mut self.packed {
            if let Some(blob) = packed.unpublished.take() {
                let names = blob.publish(&packed.component.blob.name);
                names.map_err(depot::io_error("write the blob in", &blobs))?;
            }
            depot::write_small(&blobs, &packed.component.index.name, &packed.index)?;
        }
        depot::sync_dir(&blobs)?;
        let replaced = withdraw(&path, &self.bytes)?;
        publisher.chain.write(depot).map_err(AssembleError::Trust)?;
        for (name, bytes) in &self.documents {
            depot::write_small(&packs, name, bytes)?;
        }
        for key in &publisher.keys {
            let signature = sshsig::sign(Namespace::Pack, &self.bytes, key);
            let name = names::signature(&name, &key.public_key().key_id().short());
            depot::write_small(&packs, &name, signature.as_bytes())?;
        }
        let signatures = self.settle_signatures(&packs, &name, publisher)?;
        depot::sync_dir(&packs)?;
        depot::write_small(&packs, &name, &self.bytes)?;
        depot::sync_dir(&packs)?;
        Ok(Published {
            manifest: path,
            digest: Digest::of(&self.bytes),
            signatures,
            threshold: publisher.chain.newest().pack_ring().threshold(),
            replaced,
        })
    }

    fn manifest_name(&self) -> String {
        let target = self
            .manifest
            .target
            .parse()
            .expect("the target was written by this program");
        names::manifest(&names::stem(&self.manifest.pack, &self.manifest.version, target))
    }

    /// Counts the signatures that are over these bytes and removes those over earlier ones.
    fn settle_signatures(&self, packs: &Path, manifest: &str, publisher: &Publisher) -> Result<usize, PlaceError> {
        let ring = publisher.chain.newest().pack_ring();
        let mut valid = 0;
        for entry in fs::read_dir(packs).map_err(depot::io_error("list", packs))? {
            let path = entry.map_err(depot::io_error("list", packs))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let Some(namespace) = namespace_of(name, manifest) else {
                continue;
            };
            let bytes = fs::read(&path).map_err(depot::io_error("read", &path))?;
            let signature = sshsig::SshSig::parse(&bytes).ok();
            match signature.filter(|s| s.verify(namespace, &self.bytes).is_ok()) {
                Some(s) if namespace == Namespace::Pack && ring.get(&s.public_key().key_id()).is_some() => valid += 1,
                Some(_) => {}
                None => fs::remove_file(&path).map_err(depot::io_error("remove the outdated signature", &path))?,
            }
        }
        Ok(valid)
    }
}

/// What a file of `packs/` signs, if it is a signature of `manifest`.
fn namespace_of(name: &str, manifest: &str) -> Option<Namespace> {
    let key = name
        .strip_prefix(manifest)?
        .strip_prefix('.')?
        .strip_suffix(".sshsig")?;
    match key.strip_suffix(".approval") {
        Some(key) if names::is_hex16(key) => Some(Namespace::Approval),
        None if names::is_hex16(key) => Some(Namespace::Pack),
        _ => None,
    }
}

/// Takes an older manifest with other bytes away; true if there was one.
fn withdraw(path: &Path, bytes: &[u8]) -> Result<bool, PlaceError> {
    match fs::read(path) {
        Ok(old) if old == bytes => Ok(false),
        Ok(_) => {
            fs::remove_file(path).map_err(depot::io_error("replace", path))?;
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(depot::io_error("read", path)(e)),
    }
}
