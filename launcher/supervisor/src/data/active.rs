//! Owns `data/<service>/active.json`: which data is used, what it was made from, what is kept aside.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DataError, disk::Disk};
use crate::files::{self, failed};

const SCHEMA: &str = "kojibox.active/1";
/// Name of the document.
const FILE: &str = "active.json";
/// More formats than this no data has gone through.
const LONGEST: usize = 1000;

/// What is known about the data of one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Active {
    schema: String,
    /// Directory that is used.
    pub(super) format: String,
    /// Generation that used it last.
    pub(super) generation: u64,
    /// When it was made or gone back to, RFC 3339 in UTC.
    pub(super) since: String,
    /// What it was made from, oldest first; each is as it was left, and can be gone back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) made_from: Vec<Former>,
    /// What is kept although nothing uses it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) aside: Vec<Aside>,
    /// What is being made from it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) moving: Option<Moving>,
}

/// Data of an older format, as it was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Former {
    pub(super) format: String,
    pub(super) generation: u64,
    pub(super) since: String,
    /// When newer data was made from it.
    pub(super) until: String,
}

/// Data that a way back has left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Aside {
    /// Directory below `data/<service>/`.
    pub(super) dir: String,
    pub(super) format: String,
    pub(super) generation: u64,
    /// What it holds was written from then…
    pub(super) since: String,
    /// … to then.
    pub(super) until: String,
}

/// An unfinished move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moving {
    pub(super) to: String,
    pub(super) generation: u64,
}

impl Active {
    /// Data that is new.
    pub(super) fn new(format: &str, generation: u64, now: &str) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            format: format.to_owned(),
            generation,
            since: now.to_owned(),
            made_from: Vec::new(),
            aside: Vec::new(),
            moving: None,
        }
    }

    /// Reads the document of the service whose data is in `base`; absent is `None`.
    pub(super) fn read(base: &Path) -> Result<Option<Self>, DataError> {
        let path = base.join(FILE);
        let read: Option<Self> = files::read_json(&path)?;
        if let Some(active) = &read {
            active.check(&path)?;
        }
        Ok(read)
    }

    /// Names in it become paths, and the root may come from another machine.
    fn check(&self, path: &Path) -> Result<(), DataError> {
        if self.schema != SCHEMA {
            return Err(DataError::Schema(self.schema.clone()));
        }
        let former = self.made_from.iter().map(|f| &f.format);
        let aside = self.aside.iter().flat_map(|a| [&a.dir, &a.format]);
        let moving = self.moving.iter().map(|m| &m.to);
        let mut names = [&self.format].into_iter().chain(former).chain(aside).chain(moving);
        let bad = names.find(|n| !is_plain(n)).cloned();
        if self.made_from.len() > LONGEST || self.aside.len() > LONGEST || bad.is_some() {
            let why = format!("`{}` is not the name of a directory", bad.unwrap_or_default());
            return Err(failed("understand", path)(std::io::Error::other(why)).into());
        }
        Ok(())
    }

    /// Replaces the document. Durable when it returns.
    pub(super) fn write(&self, base: &Path, disk: &dyn Disk) -> Result<(), DataError> {
        let path = base.join(FILE);
        let mut bytes = serde_json::to_vec_pretty(self).map_err(|e| failed("encode", &path)(e.into()))?;
        bytes.push(b'\n');
        Ok(disk.replace(&path, &bytes)?)
    }

    /// True if `dir` is the data that is used, or what it was made from.
    pub(super) fn uses(&self, dir: &str) -> bool {
        self.format == dir || self.made_from.iter().any(|f| f.format == dir)
    }

    /// The document after `to` was made from what is active now.
    pub(super) fn moved(&self, to: &str, generation: u64, now: &str) -> Self {
        let mut next = Self::new(to, generation, now);
        next.made_from.clone_from(&self.made_from);
        next.made_from.push(Former {
            format: self.format.clone(),
            generation: self.generation,
            since: self.since.clone(),
            until: now.to_owned(),
        });
        next.aside.clone_from(&self.aside);
        next
    }

    /// The document after the way back to `format`: everything that was made from it is put aside.
    pub(super) fn returned(&self, format: &str, generation: u64, now: &str, base: &Path) -> Option<Self> {
        let at = self.made_from.iter().position(|f| f.format == format)?;
        let mut next = Self::new(format, generation, now);
        next.made_from = self.made_from[..at].to_vec();
        next.aside.clone_from(&self.aside);
        let newest = Former {
            format: self.format.clone(),
            generation: self.generation,
            since: self.since.clone(),
            until: now.to_owned(),
        };
        for newer in self.made_from[at + 1..].iter().chain([&newest]) {
            next.put_aside(newer, base);
        }
        Some(next)
    }

    /// Notes that `data` has a name aside from now on; the directory itself gets it later.
    pub(super) fn put_aside(&mut self, data: &Former, base: &Path) {
        self.aside.push(Aside {
            dir: self.free_name(&data.format, base),
            format: data.format.clone(),
            generation: data.generation,
            since: data.since.clone(),
            until: data.until.clone(),
        });
    }

    /// A name aside that nothing has and nothing was promised.
    pub(super) fn free_name(&self, format: &str, base: &Path) -> String {
        let taken = |name: &String| self.aside.iter().any(|a| a.dir == *name) || base.join(name).exists();
        let mut names = (1_u32..).map(|n| format!("{format}.aside-{n}"));
        names.find(|name| !taken(name)).unwrap_or_default()
    }

    /// Directories that have a name aside in the document and still their own name on disk.
    pub(super) fn promised(&self, base: &Path) -> Vec<(PathBuf, PathBuf)> {
        let open = |a: &&Aside| !self.uses(&a.format) && base.join(&a.format).is_dir() && !base.join(&a.dir).exists();
        let moves = self.aside.iter().filter(open);
        moves.map(|a| (base.join(&a.format), base.join(&a.dir))).collect()
    }
}

/// True for names that stay in their directory on every system.
pub(super) fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    !name.is_empty() && name.len() <= 100 && !name.starts_with('.') && name.chars().all(plain)
}
