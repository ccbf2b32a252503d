//! Owns the secrets of an install root: random values made once, one private file each in `secrets/`.
//!
//! Values reach a service through its environment, a rendered file or `{secret_file:ID}`, never through arguments.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use kojibox_packs::manifest::Secret;

use crate::{
    files::{self, FileError, failed},
    platform,
};

/// Characters of a secret: safe in a URL, a shell and every file format.
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Unless declared; about 190 bits.
const LENGTH: u32 = 32;
/// Lengths that make sense.
const LENGTHS: std::ops::RangeInclusive<u32> = 8..=1024;

/// A secret could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Others can read it.
    #[error("`{}` can be read by others, or its file system keeps no permissions", .0.display())]
    Open(PathBuf),
    /// The name would leave the directory.
    #[error("`{0}` is not the name of a secret")]
    Name(String),
    /// The declared length makes no sense.
    #[error("secret `{0}` has a length of {1}; 8 to 1024 make sense")]
    Length(String, u32),
    /// No randomness.
    #[error("could not get random bytes from the system")]
    Random(#[source] getrandom::Error),
}

/// All secrets of an install root.
#[derive(Debug, Default)]
pub struct Secrets {
    dir: PathBuf,
    values: BTreeMap<String, String>,
}

impl Secrets {
    /// Reads the declared secrets and makes those that are not there yet.
    pub fn load(dir: &Path, declared: &BTreeMap<String, Secret>) -> Result<Self, SecretError> {
        let mut secrets = Self {
            dir: dir.to_owned(),
            values: BTreeMap::new(),
        };
        if declared.is_empty() {
            return Ok(secrets);
        }
        platform::make_private_dir(dir).map_err(failed("make private", dir))?;
        for (id, secret) in declared {
            let valid = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            if id.is_empty() || !id.bytes().all(valid) {
                return Err(SecretError::Name(id.clone()));
            }
            let value = match secrets.read(id)? {
                Some(value) => value,
                None => secrets.make(id, secret.length.unwrap_or(LENGTH))?,
            };
            secrets.values.insert(id.clone(), value);
        }
        // What is there may have been made by a process that was killed before it could do this; data will depend on it.
        for dir in [dir, dir.parent().unwrap_or(dir)] {
            platform::sync_dir(dir).map_err(failed("sync", dir))?;
        }
        Ok(secrets)
    }

    fn read(&self, id: &str) -> Result<Option<String>, SecretError> {
        let path = self.dir.join(id);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed("read", &path))?,
        };
        check(&path)?;
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Makes a value; it is there completely or not at all, and never under anyone else's eyes.
    fn make(&self, id: &str, length: u32) -> Result<String, SecretError> {
        if !LENGTHS.contains(&length) {
            return Err(SecretError::Length(id.to_owned(), length));
        }
        let value = random(length).map_err(SecretError::Random)?;
        let (path, unfinished) = (self.dir.join(id), self.dir.join(format!(".{id}.new")));
        files::remove_file(&unfinished)?;
        let mut file = platform::new_private_file(&unfinished).map_err(failed("create", &unfinished))?;
        check(&unfinished)?;
        file.write_all(value.as_bytes()).map_err(failed("write", &unfinished))?;
        file.sync_all().map_err(failed("sync", &unfinished))?;
        drop(file);
        fs::rename(&unfinished, &path).map_err(failed("replace", &path))?;
        platform::sync_dir(&self.dir).map_err(failed("sync", &self.dir))?;
        Ok(value)
    }

    /// Value of a secret.
    pub fn value(&self, id: &str) -> Option<&str> {
        self.values.get(id).map(String::as_str)
    }

    /// Values by id.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// File of a secret.
    pub fn file(&self, id: &str) -> Option<PathBuf> {
        self.values.contains_key(id).then(|| self.dir.join(id))
    }

    /// Files by id.
    pub fn files(&self) -> impl Iterator<Item = (String, PathBuf)> {
        self.values.keys().map(|id| (id.clone(), self.dir.join(id)))
    }
}

fn check(path: &Path) -> Result<(), SecretError> {
    if platform::is_private(path).map_err(failed("look at", path))? {
        return Ok(());
    }
    Err(SecretError::Open(path.to_owned()))
}

/// `length` characters, each equally likely.
pub(crate) fn random(length: u32) -> Result<String, getrandom::Error> {
    let mut out = String::new();
    let mut bytes = [0; 64];
    while out.len() < length as usize {
        getrandom::fill(&mut bytes)?;
        // 248 is the largest multiple of 62 that fits a byte; what is above would favour some characters.
        let fair = bytes
            .iter()
            .filter(|b| **b < 248)
            .map(|b| char::from(ALPHABET[usize::from(b % 62)]));
        out.extend(fair.take(length as usize - out.len()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use kojibox_packs::manifest::Secret;

    use super::{SecretError, Secrets};

    fn declared(id: &str) -> BTreeMap<String, Secret> {
        let secret = Secret {
            id: id.to_owned(),
            length: None,
        };
        BTreeMap::from([(id.to_owned(), secret)])
    }

    #[test]
    fn a_secret_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("secrets");
        let first = Secrets::load(&dir, &declared("db")).unwrap();
        let value = first.value("db").unwrap().to_owned();
        assert_eq!(value.len(), 32);
        assert_eq!(
            Secrets::load(&dir, &declared("db")).unwrap().value("db"),
            Some(value.as_str())
        );
        assert_ne!(
            Secrets::load(&dir, &declared("other")).unwrap().value("other"),
            Some(value.as_str())
        );
        assert_eq!(fs::read_to_string(dir.join("db")).unwrap(), value);
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("secrets");
        drop(Secrets::load(&dir, &declared("db")).unwrap());
        let mode = fs::metadata(dir.join("db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::set_permissions(dir.join("db"), fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(
            Secrets::load(&dir, &declared("db")),
            Err(SecretError::Open(_))
        ));
    }

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            Secrets::load(dir.path(), &declared("../x")),
            Err(SecretError::Name(_))
        ));
    }
}
