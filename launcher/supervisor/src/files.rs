//! Owns how the launcher writes its own files: whole or not at all, and private where they must be.

use std::{
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};

use kojibox_state::Layout;
use serde::{Serialize, de::DeserializeOwned};

use crate::platform;

/// No document of ours is larger.
const MAX_DOCUMENT: u64 = 1 << 20;

/// A file or directory could not be used.
#[derive(Debug, thiserror::Error)]
#[error("could not {verb} `{}`", path.display())]
pub struct FileError {
    /// What was tried.
    pub verb: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// Makes the closure that says what was tried on `path`.
pub(crate) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { verb, path, source }
}

/// Reads a JSON document; absent is `None`.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed("open", path))?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT)
        .read_to_end(&mut bytes)
        .map_err(failed("read", path))?;
    let value = serde_json::from_slice(&bytes).map_err(|e| failed("understand", path)(e.into()))?;
    Ok(Some(value))
}

/// Replaces a JSON document; a reader sees the old or the new one. Durable when it returns.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| failed("encode", path)(e.into()))?;
    bytes.push(b'\n');
    replace(path, &bytes)
}

/// Replaces a file; only we may read it. Durable when it returns.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Two processes may write the same document; their unfinished files must not be the same.
    let unfinished = dir.join(format!(".{name}.{}", std::process::id()));
    remove_file(&unfinished)?;
    let mut file = platform::new_private_file(&unfinished).map_err(failed("create", &unfinished))?;
    file.write_all(bytes).map_err(failed("write", &unfinished))?;
    file.sync_all().map_err(failed("sync", &unfinished))?;
    drop(file);
    fs::rename(&unfinished, path).map_err(failed("replace", path))?;
    platform::sync_dir(dir).map_err(failed("sync", dir))
}

/// Removes a file; absent is fine.
pub(crate) fn remove_file(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("remove", path)),
    }
}

/// Makes a directory and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(failed("create", path))
}

/// Makes a directory of logs, for its owner only where the file system can keep that. Those above it are left as they are.
pub(crate) fn make_log_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir.parent().unwrap_or(dir))?;
    match platform::make_private_dir(dir) {
        Err(_) if dir.is_dir() => Ok(()),
        other => other,
    }
}

/// Makes `logs/` and the directory of one log in it.
pub(crate) fn make_log_dirs(layout: &Layout, name: &str) -> Result<PathBuf, FileError> {
    let dirs = [layout.root().join("logs"), layout.service_logs(name)];
    for dir in &dirs {
        make_log_dir(dir).map_err(failed("create", dir))?;
    }
    let [_, dir] = dirs;
    Ok(dir)
}

/// Names of the entries of a directory, sorted; absent is empty. Names that are not UTF-8 are not ours.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, FileError> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed("list", dir))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed("list", dir))?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
