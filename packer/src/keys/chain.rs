//! Owns a publisher's trust roots on disk: `root.json` (or `1.root.json`) is the first and never changes, `2.root.json`,
//! `3.root.json` and so on lie beside it. The first is what people compare and pin; the last is what counts.

use std::{
    io,
    path::{Path, PathBuf},
};

use kojibox_signing::root::{self, TrustedRoot};

use super::{
    KeyError,
    files::{self, Readers},
};

const FIRST: [&str; 2] = ["root.json", "1.root.json"];

/// All versions of one trust root, each verified against the one before.
#[derive(Clone, Debug)]
pub struct TrustChain {
    dir: PathBuf,
    roots: Vec<Vec<u8>>,
    current: TrustedRoot,
}

impl TrustChain {
    /// Reads the chain that `path` is part of: any version of it, or the folder that holds it.
    ///
    /// # Errors
    /// [`KeyError::Root`] naming the file that breaks a rule; [`KeyError::ChainStart`] if the first version is not there.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        if path.is_dir() {
            let first = FIRST
                .map(|name| path.join(name))
                .into_iter()
                .find(|first| first.is_file());
            return Self::load(&first.unwrap_or_else(|| path.join(FIRST[0])));
        }
        let given = read(path)?;
        let version = pin(path, &given)?.version();
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new(".")).to_owned();
        let first = if version == 1 {
            given.clone()
        } else {
            first_beside(&dir)?.ok_or_else(|| KeyError::ChainStart {
                path: path.to_owned(),
                version,
            })?
        };
        let mut chain = Self {
            current: pin(path, &first)?,
            roots: vec![first],
            dir,
        };
        while chain.step()? {}
        let at = usize::try_from(version - 1).ok();
        if at.and_then(|at| chain.roots.get(at)) != Some(&given) {
            let path = path.to_owned();
            return Err(KeyError::OtherChain { path, version });
        }
        Ok(chain)
    }

    /// Writes the first version, which is never replaced.
    ///
    /// # Errors
    /// [`KeyError::Exists`] if the file is there.
    pub fn start(path: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        pin(path, bytes)?;
        files::write_new(path, bytes, Readers::Anyone)?;
        Self::load(path)
    }

    /// Goes on by one version, if its file is there.
    fn step(&mut self) -> Result<bool, KeyError> {
        let path = self.next_file();
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let advanced = self.current.advance(&bytes);
        advanced.map_err(|source| KeyError::Root { path, source })?;
        self.roots.push(bytes);
        Ok(true)
    }

    /// Every version as read, the first first.
    pub fn roots(&self) -> &[Vec<u8>] {
        &self.roots
    }

    /// The last version: the one that counts.
    pub fn current(&self) -> &TrustedRoot {
        &self.current
    }

    /// Name of the publisher's folder in a depot.
    pub fn root16(&self) -> String {
        root::root16(&self.roots[0])
    }

    /// What people compare: the fingerprint of the first version.
    pub fn fingerprint(&self) -> String {
        root::fingerprint(&self.roots[0])
    }

    /// Where the next version will lie.
    pub fn next_file(&self) -> PathBuf {
        self.dir.join(format!("{}.root.json", self.current.version() + 1))
    }

    /// Where the draft of the next version lies while it collects signatures.
    pub fn draft_file(&self) -> PathBuf {
        self.dir.join(format!("{}.root.draft.json", self.current.version() + 1))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    files::read(path, files::LIMIT)
}

fn pin(path: &Path, bytes: &[u8]) -> Result<TrustedRoot, KeyError> {
    TrustedRoot::pin(bytes).map_err(|source| KeyError::Root {
        path: path.to_owned(),
        source,
    })
}

fn first_beside(dir: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    for path in FIRST.map(|name| dir.join(name)) {
        if path.is_file() {
            let bytes = read(&path)?;
            if pin(&path, &bytes)?.version() == 1 {
                return Ok(Some(bytes));
            }
        }
    }
    Ok(None)
}
