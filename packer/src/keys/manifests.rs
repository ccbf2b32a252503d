//! Owns finding the manifests of a pack in a depot by name, and placing signature files beside them.
//!
//! Names: `<manifest file>.<keyid16>.sshsig`, `<manifest file>.<keyid16>.approval.sshsig`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kojibox_signing::{KeyId, Namespace, sshsig::SshSig};
use serde::Deserialize;

use super::{
    KeyError,
    files::{self, Readers, io_error},
};

const SUFFIX: &str = ".kbx.json";
/// Longest manifest of the format.
const MAX_MANIFEST: u64 = 4 << 20;

/// The fields that name a pack.
#[derive(Deserialize)]
struct Head {
    schema: String,
    pack: String,
    version: String,
}

/// The manifests that `pack` means: those of `name@version` for every target, or the one file of that path.
///
/// # Errors
/// [`KeyError::NoPack`] if there are none, [`KeyError::NotAManifest`] for another file.
pub fn find_manifests(depot: &Path, pack: &str) -> Result<Vec<(PathBuf, Vec<u8>)>, KeyError> {
    if pack.ends_with(SUFFIX) {
        let path = PathBuf::from(pack);
        let bytes = files::read(&path, MAX_MANIFEST)?;
        return match head(&bytes) {
            Some(_) => Ok(vec![(path, bytes)]),
            None => Err(KeyError::NotAManifest(path)),
        };
    }
    let none = || KeyError::NoPack {
        pack: pack.to_owned(),
        depot: depot.to_owned(),
    };
    let (name, version) = pack.split_once('@').ok_or_else(none)?;
    let mut found = Vec::new();
    for path in listed(&depot.join("packs"), &format!("{name}-{version}-"))? {
        let bytes = files::read(&path, MAX_MANIFEST)?;
        if head(&bytes).is_some_and(|head| head.pack == name && head.version == version) {
            found.push((path, bytes));
        }
    }
    if found.is_empty() { Err(none()) } else { Ok(found) }
}

fn head(bytes: &[u8]) -> Option<Head> {
    let head: Head = serde_json::from_slice(bytes).ok()?;
    head.schema.starts_with("kojibox.pack/").then_some(head)
}

/// Files in `dir` that could be manifests with this start of their name, sorted.
fn listed(dir: &Path, prefix: &str) -> Result<Vec<PathBuf>, KeyError> {
    let entries = fs::read_dir(dir).map_err(io_error("list", dir))?;
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(io_error("list", dir))?.file_name();
        if let Some(name) = name.to_str()
            && name.starts_with(prefix)
            && name.ends_with(SUFFIX)
        {
            found.push(dir.join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// Puts a signature file beside its manifest; gives its path, and whether it is new. The same bytes may be there already.
///
/// # Errors
/// [`KeyError::Exists`] if other bytes are there: a signature is never replaced.
pub fn place_signature(
    manifest: &Path,
    key: &KeyId,
    namespace: Namespace,
    signature: &[u8],
) -> Result<(PathBuf, bool), KeyError> {
    let kind = match namespace {
        Namespace::Approval => ".approval.sshsig",
        Namespace::Pack | Namespace::Root | Namespace::Feed => ".sshsig",
    };
    place_beside(manifest, &format!(".{}{kind}", key.short()), signature)
}

/// Puts a file beside `manifest`, named after it; gives its path, and whether it is new.
pub(super) fn place_beside(manifest: &Path, suffix: &str, bytes: &[u8]) -> Result<(PathBuf, bool), KeyError> {
    let mut path = manifest.as_os_str().to_owned();
    path.push(suffix);
    let path = PathBuf::from(path);
    match files::read(&path, files::LIMIT) {
        Ok(old) if old == bytes => return Ok((path, false)),
        Ok(_) => return Err(KeyError::Exists(path)),
        Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    files::write_new(&path, bytes, Readers::Anyone)?;
    Ok((path, true))
}

/// Reads a signature file that was made elsewhere, with its bytes as they are.
///
/// # Errors
/// [`KeyError::Signature`] if it is not in the one form that is read.
pub fn read_signature(path: &Path) -> Result<(SshSig, Vec<u8>), KeyError> {
    let bytes = files::read(path, files::LIMIT)?;
    let signature = SshSig::parse(&bytes).map_err(|source| KeyError::Signature {
        path: path.to_owned(),
        source,
    })?;
    Ok((signature, bytes))
}
