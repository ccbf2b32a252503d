//! Owns the components that no definition writes: `_pack` with templates and documents, and the launcher.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use kojibox_packs::{Target, manifest::Text, path::PackPath, write::InputEntry};

use super::{AssembleError, component::Input};
use crate::{definition::ResolvedPack, tools};

/// Component id of templates and documents.
pub const PACK: &str = "_pack";
/// Component id of the launcher.
pub const LAUNCHER: &str = "kojibox-launcher";

/// A launcher says its version in its own bytes, so that one for another system can be asked too: this, the version, `\n`.
const VERSION_MARK: &[u8] = b"kojibox-launcher-version=";

/// Templates and documents of a pack; none if it has none.
pub(super) fn pack_files(pack: &ResolvedPack) -> Result<Option<Input>, AssembleError> {
    let mut entries = Vec::new();
    for file in &pack.pack_files {
        let unreadable = |source| AssembleError::Read {
            component: PACK.to_owned(),
            path: file.path.clone(),
            source,
        };
        let size = fs::metadata(&file.from).map_err(unreadable)?.len();
        let path = PackPath::new(&file.path).map_err(|e| unreadable(io::Error::other(e)))?;
        entries.push(InputEntry::file(path, 0o644, size, file.from.clone()));
    }
    if entries.is_empty() {
        return Ok(None);
    }
    Ok(Some(Input {
        id: PACK.to_owned(),
        title: Text::new(),
        version: pack.pack.version.clone(),
        license: String::new(),
        default: true,
        requires: Vec::new(),
        conflicts: Vec::new(),
        data_format: None,
        runtime: None,
        upstream: "path".to_owned(),
        signature: None,
        inputs_sha256: None,
        portable: true,
        packages: Vec::new(),
        entries,
    }))
}

/// The launcher at `from` as a component of a pack for `target`.
pub(super) fn launcher(from: &Path, target: Target) -> Result<Input, AssembleError> {
    let name = format!("kojibox{}", tools::exe_suffix(target));
    let unreadable = |source| AssembleError::Read {
        component: LAUNCHER.to_owned(),
        path: name.clone(),
        source,
    };
    let size = fs::metadata(from).map_err(unreadable)?.len();
    let version = version_of(from).map_err(unreadable)?;
    let path = PackPath::new(&name).expect("the launcher's name is a path of the format");
    Ok(Input {
        id: LAUNCHER.to_owned(),
        title: Text::from([("en".to_owned(), "Kojibox launcher".to_owned())]),
        version: version.unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
        license: env!("CARGO_PKG_LICENSE").to_owned(),
        default: true,
        requires: Vec::new(),
        conflicts: Vec::new(),
        data_format: None,
        runtime: None,
        upstream: "path:kojibox".to_owned(),
        signature: None,
        inputs_sha256: None,
        portable: false,
        packages: Vec::new(),
        entries: vec![InputEntry::file(path, 0o755, size, PathBuf::from(from))],
    })
}

/// The version that a launcher carries in its bytes; `None` for one without a mark.
fn version_of(program: &Path) -> io::Result<Option<String>> {
    let mut file = File::open(program)?;
    let mut window = Vec::new();
    let keep = VERSION_MARK.len() + kojibox_packs::names::MAX_VERSION + 1;
    loop {
        let more = (&mut file).take(1 << 20).read_to_end(&mut window)?;
        for at in marks(&window) {
            let rest = &window[at + VERSION_MARK.len()..];
            let text = rest
                .split(|b| *b == b'\n')
                .next()
                .and_then(|t| std::str::from_utf8(t).ok());
            // The mark as a search text of ours has no version behind it.
            if let Some(version) = text.filter(|v| rest.len() > v.len() && kojibox_packs::names::is_version(v)) {
                return Ok(Some(version.to_owned()));
            }
        }
        if more == 0 {
            return Ok(None);
        }
        window.drain(..window.len().saturating_sub(keep));
    }
}

/// Every place of the mark in `window`.
fn marks(window: &[u8]) -> impl Iterator<Item = usize> {
    let ends = window.len().saturating_sub(VERSION_MARK.len() - 1);
    (0..ends).filter(|at| window[*at] == b'k' && window[*at..].starts_with(VERSION_MARK))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{VERSION_MARK, version_of};

    #[test]
    fn a_launcher_says_its_version_wherever_the_mark_lies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kojibox");
        for offset in [0, 1, (1 << 20) - 10, (1 << 20) - 30, 3 << 20] {
            let mut bytes = vec![b'k'; offset];
            bytes.extend(VERSION_MARK);
            bytes.extend(b"\0 not this one\n");
            bytes.extend(VERSION_MARK);
            bytes.extend(b"1.2.3-rc.1\nrest");
            fs::write(&path, bytes).unwrap();
            assert_eq!(version_of(&path).unwrap().as_deref(), Some("1.2.3-rc.1"), "at {offset}");
        }
        fs::write(&path, VERSION_MARK).unwrap();
        assert_eq!(version_of(&path).unwrap(), None);
    }
}
