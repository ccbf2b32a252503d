//! Owns the configuration file that the launcher renders at each start.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// What the installer's questions and the launcher's port plan decided.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Port on 127.0.0.1.
    pub(crate) port: u16,
    /// Heading of the book.
    pub(crate) title: String,
}

/// A file that was given on the command line is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("could not read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("could not understand `{}`", path.display())]
    Parse {
        path: PathBuf,
        source: Box<toml::de::Error>,
    },
    #[error("the key in `{}` is shorter than 16 characters", path.display())]
    ShortKey { path: PathBuf },
}

impl Config {
    /// Reads the file at `path`; a key it does not know is a mistake.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse {
            path: path.into(),
            source: Box::new(source),
        })
    }
}

/// Reads the administrator's key at `path`, without the line break that may end it.
pub(crate) fn admin_key(path: &Path) -> Result<String, ConfigError> {
    let key = read(path)?.trim_end().to_owned();
    if key.len() < 16 {
        return Err(ConfigError::ShortKey { path: path.into() });
    }
    Ok(key)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.into(),
        source,
    })
}
