//! Owns reading the SBOM of a pack, held against the manifest.

use std::path::PathBuf;

use kojibox_packs::{limits, source::Section};
use kojibox_signing::Digest;

use crate::depot::{Found, Mismatch, Refused};

/// The SBOM as it is.
pub(super) fn read(found: &Found) -> Result<String, Refused> {
    let stated = &found.manifest.sbom;
    let path = found.source.locate(&Section::Packs, &stated.name);
    let read = found.source.read_small(&Section::Packs, &stated.name, limits::SMALL);
    let bytes = match read {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let pack = found.name.clone();
            return Err(Refused::Missing { pack, path });
        }
        Err(source) => return Err(Refused::Source { path, source }),
    };
    let got = Digest::of(&bytes);
    match String::from_utf8(bytes) {
        Ok(text) if got == stated.sha256 => Ok(text),
        Ok(text) => Err(damaged(found, path, got, text.len())),
        Err(e) => Err(damaged(found, path, got, e.as_bytes().len())),
    }
}

fn damaged(found: &Found, path: PathBuf, got: Digest, got_size: usize) -> Refused {
    Refused::Damaged {
        pack: found.name.clone(),
        path,
        source: Box::new(Mismatch {
            got,
            got_size: got_size as u64,
            expected: found.manifest.sbom.sha256,
            expected_size: found.manifest.sbom.size,
        }),
    }
}
