//! Owns what is found out about the machine.

use std::{
    collections::BTreeSet,
    fs, io,
    iter::Sum,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use kojibox_signing::UtcTime;
use kojibox_state::{InstallRoot, StateError};

use super::{Abilities, Demand};
use crate::platform::{self, HostLibc, PathLimit, User, Volume};

/// The machine, as far as an install cares.
#[derive(Debug)]
pub(crate) struct Facts {
    /// What is at the place of the root.
    pub root: RootKind,
    /// Nearest directory that exists: the root or one above it.
    pub anchor: PathBuf,
    /// What the volume of `anchor` offers, or why nothing can be written there.
    pub place: Result<(Volume, Abilities), io::Error>,
    /// Directories of the root that are on another volume than the root, though renames lead from one to the other.
    pub apart: Vec<&'static str>,
    /// What the volume of the services' data offers, if it is another one.
    pub data: Option<(Volume, Abilities)>,
    /// How large the data is that is moved to another format.
    pub moves: Vec<Moved>,
    /// Who runs the installer.
    pub user: User,
    /// The host's C library.
    pub libc: HostLibc,
    /// Longest usable path.
    pub limit: PathLimit,
    /// Asked-for ports that somebody else holds.
    pub busy: BTreeSet<u16>,
    /// The clock.
    pub now: UtcTime,
}

/// Data that is moved to another format, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Service id.
    pub service: String,
    /// Sum of file sizes in bytes.
    pub bytes: u64,
}

/// What is at the place where the root should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RootKind {
    /// Nothing.
    Absent,
    /// An empty directory, or one with nothing but litter of the operating system.
    Empty,
    /// An install root.
    Installed,
    /// A directory with other things in it; the first by name.
    Foreign(String),
    /// Not a directory.
    NotADirectory,
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    /// Sum of file sizes in bytes.
    pub bytes: u64,
    /// Number of files and directories.
    pub entries: u64,
}

impl Content {
    /// Measures `dir`. What cannot be looked at counts as not there.
    pub(crate) fn of(dir: &Path) -> Self {
        let mut content = Self::default();
        let mut todo = vec![dir.to_owned()];
        while let Some(at) = todo.pop() {
            for entry in fs::read_dir(at).into_iter().flatten().flatten() {
                content.entries += 1;
                match entry.metadata() {
                    Ok(meta) if meta.is_dir() => todo.push(entry.path()),
                    Ok(meta) if meta.is_file() => content.bytes += meta.len(),
                    _ => {}
                }
            }
        }
        content
    }
}

impl Sum for Content {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            bytes: sum.bytes + one.bytes,
            entries: sum.entries + one.entries,
        })
    }
}

/// Looks at the place of an install root.
pub(crate) fn root_kind(root: &Path) -> Result<RootKind, StateError> {
    if let Some(example) = kojibox_state::foreign(root)? {
        return Ok(if root.is_dir() {
            RootKind::Foreign(example)
        } else {
            RootKind::NotADirectory
        });
    }
    match InstallRoot::open(root) {
        Ok(_) => Ok(RootKind::Installed),
        Err(StateError::NotARoot { .. }) if root.is_dir() => Ok(RootKind::Empty),
        Err(StateError::NotARoot { .. }) => Ok(RootKind::Absent),
        Err(error) => Err(error),
    }
}

impl Facts {
    /// Finds out what `demand` will be judged by. `own_ports` belong to services of this root and count as free.
    pub(crate) fn gather(demand: &Demand, own_ports: &BTreeSet<u16>, now: UtcTime) -> Result<Self, StateError> {
        let anchor = nearest_directory(&demand.root);
        let place = if demand.is_on_medium() {
            Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
        } else {
            platform::volume(&anchor).and_then(|volume| Ok((volume, Abilities::probe(&anchor, volume.noexec)?)))
        };
        let asked: BTreeSet<u16> = demand.ports.iter().map(|p| p.port).collect();
        Ok(Self {
            root: root_kind(&demand.root)?,
            apart: apart(&demand.root),
            data: data(&demand.root)?,
            moves: demand
                .moves
                .iter()
                .map(|m| Moved {
                    service: m.service.clone(),
                    bytes: Content::of(&demand.root.join(&m.dir)).bytes,
                })
                .collect(),
            anchor,
            place,
            user: platform::user(),
            libc: platform::host_libc(),
            limit: platform::PATH_LIMIT,
            busy: asked.difference(own_ports).copied().filter(|p| is_busy(*p)).collect(),
            now,
        })
    }
}

/// Directories between which a transaction renames.
const ONE_VOLUME: [&str; 6] = ["backups", "components", "generations", "records", "staging", "state"];

fn apart(root: &Path) -> Vec<&'static str> {
    let other = |name: &&str| {
        let dir = root.join(name);
        dir.is_dir() && !platform::same_volume(root, &dir).unwrap_or(true)
    };
    ONE_VOLUME.into_iter().filter(other).collect()
}

/// Looks at the volume of `data/` if a person has put it on one of its own.
fn data(root: &Path) -> Result<Option<(Volume, Abilities)>, StateError> {
    let dir = root.join("data");
    if !dir.is_dir() || platform::same_volume(root, &dir).unwrap_or(true) {
        return Ok(None);
    }
    let found = platform::volume(&dir).and_then(|volume| Ok((volume, Abilities::probe(&dir, volume.noexec)?)));
    found
        .map(Some)
        .map_err(|source| StateError::Create { path: dir, source })
}

fn nearest_directory(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|p| p.is_dir())
        .map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// True if this port of the loopback cannot be listened on now; binds loopback only.
pub(crate) fn is_busy(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{RootKind, root_kind};

    #[test]
    fn an_empty_directory_with_litter_is_empty_and_anything_else_is_foreign() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        assert_eq!(root_kind(&root).unwrap(), RootKind::Absent);
        fs::create_dir(&root).unwrap();
        fs::write(root.join(".DS_Store"), "").unwrap();
        fs::write(root.join("._x"), "").unwrap();
        assert_eq!(root_kind(&root).unwrap(), RootKind::Empty);
        fs::write(root.join("thesis.odt"), "years of work").unwrap();
        assert_eq!(root_kind(&root).unwrap(), RootKind::Foreign("thesis.odt".to_owned()));
        assert_eq!(root_kind(&root.join("thesis.odt")).unwrap(), RootKind::NotADirectory);
        assert_eq!(root_kind(&root.join("thesis.odt/x")).unwrap(), RootKind::NotADirectory);
    }
}
