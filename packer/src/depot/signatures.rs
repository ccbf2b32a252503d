//! Owns what becomes of a manifest and its signatures when another one takes its name.

use std::{fs, io, path::Path};

use kojibox_packs::names;
use kojibox_signing::{Keyring, Namespace, sshsig::SshSig};

use super::{PlaceError, io_error};

/// Takes an older manifest with other bytes away, so that nobody reads it beside the files of the new one; true if there
/// was one.
pub(crate) fn withdraw(path: &Path, bytes: &[u8]) -> Result<bool, PlaceError> {
    match fs::read(path) {
        Ok(old) if old == bytes => Ok(false),
        Ok(_) => {
            fs::remove_file(path).map_err(io_error("replace", path))?;
            Ok(true)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(io_error("read", path)(e)),
    }
}

/// Removes signatures of `manifest` in `packs` that are not over `bytes`; counts those by keys of `ring` that are.
pub(crate) fn settle(packs: &Path, manifest: &str, bytes: &[u8], ring: &Keyring) -> Result<usize, PlaceError> {
    let mut valid = 0;
    for entry in fs::read_dir(packs).map_err(io_error("list", packs))? {
        let path = entry.map_err(io_error("list", packs))?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(namespace) = namespace_of(name, manifest) else {
            continue;
        };
        let file = fs::read(&path).map_err(io_error("read", &path))?;
        match SshSig::parse(&file).ok().filter(|s| s.verify(namespace, bytes).is_ok()) {
            Some(s) if namespace == Namespace::Pack && ring.get(&s.public_key().key_id()).is_some() => valid += 1,
            Some(_) => {}
            None => fs::remove_file(&path).map_err(io_error("remove the outdated signature", &path))?,
        }
    }
    Ok(valid)
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
