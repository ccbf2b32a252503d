//! Owns what can go wrong between a source and a tree, and how a program reports it.

use std::{error::Error, io, path::PathBuf};

use kojibox_console::{Exit, Report};
use kojibox_signing::Digest;

use crate::{
    cache::CacheError,
    interrupt::{self, Interrupted},
    lock::LockError,
    upstream::UpstreamError,
};

/// Why a component could not be locked, fetched or prepared.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// One component of several.
    #[error("could not {verb} component `{component}` for `{target}`")]
    Component {
        /// `lock`, `fetch` or `prepare`.
        verb: &'static str,
        /// Component id.
        component: String,
        /// Target.
        target: String,
        /// Why.
        source: Box<SourceError>,
    },
    /// A person pressed Ctrl-C.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The download cache said no.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The lock does not fit.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The file system said no.
    #[error("could not {verb} `{}`", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Fetching is forbidden and the cache does not have it.
    #[error("`{what}` is not in the download cache, and `--offline` forbids to fetch it")]
    Offline {
        /// File or package.
        what: String,
    },
    /// No mirror gave the bytes.
    #[error("could not fetch `{url}` in {tries} {}", if *tries == 1 { "try" } else { "tries" })]
    Unreachable {
        /// The last address that was tried.
        url: String,
        /// How often.
        tries: u32,
        /// No address has it, so that trying again is of no use.
        gone: bool,
        /// What the last try said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The bytes are not the pinned ones.
    #[error("`{what}` is not what was pinned: got sha256 `{got}` with {size} bytes, expected `{expected}`")]
    Checksum {
        /// File or package.
        what: String,
        /// What the definition or the lock says.
        expected: Digest,
        /// What came.
        got: Digest,
        /// How many bytes came.
        size: u64,
    },
    /// The bytes are not what the registry promised.
    #[error("`{what}` is not what its registry promised: got `{got}`, expected `{expected}`")]
    Integrity {
        /// Package.
        what: String,
        /// What the registry says.
        expected: String,
        /// What came.
        got: String,
    },
    /// The upstream's signature does not count, or there is none.
    #[error("the signature of `{what}` does not count")]
    Signature {
        /// The download.
        what: String,
        /// Why.
        source: Box<UpstreamError>,
    },
    /// A package client is not installed.
    #[error("could not run `{client}`, the client that fetches {what}")]
    ClientMissing {
        /// Program.
        client: String,
        /// What it would fetch.
        what: &'static str,
        /// How to get it.
        hint: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A package client failed.
    #[error("`{client}` could not fetch `{what}`")]
    ClientFailed {
        /// Program.
        client: String,
        /// What it should fetch.
        what: String,
        /// Its own words.
        source: Box<dyn Error + Send + Sync>,
    },
    /// What a client left is not what was asked for.
    #[error("`{client}` gave {got} for `{what}`, expected {expected}")]
    ClientAnswer {
        /// Program.
        client: String,
        /// What was asked for.
        what: String,
        /// What came.
        got: String,
        /// What should have come.
        expected: String,
    },
    /// An archive cannot be read.
    #[error("could not unpack `{archive}`")]
    Archive {
        /// Archive.
        archive: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A member of an archive is refused.
    #[error("refused `{}` in `{archive}`: {reason}", member.escape_debug())]
    Member {
        /// Archive.
        archive: String,
        /// Path as the archive has it.
        member: String,
        /// Why.
        reason: String,
    },
    /// An entry of a tree cannot be in a pack.
    #[error("`{}` cannot be in a pack: {reason}", path.escape_debug())]
    Entry {
        /// Path in the tree.
        path: String,
        /// Why.
        reason: String,
    },
    /// A step has nothing to work on.
    #[error("`{step}` names `{pattern}`, which matches nothing{near}")]
    NoMatch {
        /// Key of the step.
        step: &'static str,
        /// As written.
        pattern: String,
        /// What is near.
        near: String,
    },
    /// Programs need libraries that no package of the closure has.
    #[error("{}", missing(libraries))]
    MissingLibraries {
        /// Library, and who needs it.
        libraries: Vec<(String, String)>,
    },
    /// Not possible for this target or by this version.
    #[error("{what} {reason}")]
    NotPossible {
        /// The source.
        what: String,
        /// Why not.
        reason: String,
    },
}

impl SourceError {
    /// Wraps the error of one component.
    pub(crate) fn of(self, verb: &'static str, component: &str, target: &str) -> Self {
        Self::Component {
            verb,
            component: component.to_owned(),
            target: target.to_owned(),
            source: Box::new(self),
        }
    }

    fn root(&self) -> &Self {
        match self {
            Self::Component { source, .. } => source.root(),
            other => other,
        }
    }

    /// What scripts see.
    pub fn exit(&self) -> Exit {
        match self.root() {
            Self::Interrupted(_) => Exit::Cancelled,
            Self::Checksum { .. } | Self::Integrity { .. } => Exit::Damaged,
            Self::Signature { .. } => Exit::Refused,
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => Exit::NoSpace,
            Self::Io { .. } | Self::Cache(_) => Exit::FileSystem,
            Self::Offline { .. } | Self::Unreachable { .. } => Exit::MediumMissing,
            Self::NoMatch { .. }
            | Self::Entry { .. }
            | Self::NotPossible { .. }
            | Self::MissingLibraries { .. }
            | Self::Lock(_) => Exit::Usage,
            _ => Exit::Unexpected,
        }
    }

    /// One command or act that helps.
    pub fn hint(&self) -> Option<String> {
        let hint = match self.root() {
            Self::ClientMissing { hint, .. } => hint,
            Self::Offline { .. } => {
                "run `kojibox-packer fetch STACK.toml` on a connected machine, or leave out `--offline`"
            }
            Self::Unreachable { .. } => {
                "check the address and the network; running the same command again resumes the download"
            }
            Self::Checksum { .. } => {
                "if the upstream changed on purpose, pin the new bytes with `kojibox-packer lock STACK.toml`"
            }
            Self::Signature { .. } => {
                "do not use the file; if the upstream changed its key, write the new one, which you have from a place that you trust"
            }
            Self::Lock(_) => "run `kojibox-packer lock STACK.toml`",
            Self::Entry { .. } => "leave it out with `exclude`, or give it another name with `rename`",
            Self::MissingLibraries { .. } => {
                "add the package that has it with `with`, or take away who needs it with `!` in `roots`"
            }
            Self::NoMatch { .. } => {
                "patterns are compared with the paths that are left by the step before; see the order in docs/stack.md"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<SourceError> for Report {
    fn from(error: SourceError) -> Self {
        if interrupt::asked() {
            return interrupt::report();
        }
        let (exit, hint) = (error.exit(), error.hint());
        let report = Self::new(exit, error);
        match hint {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

/// One line for each library that is missing, the first few of them.
fn missing(libraries: &[(String, String)]) -> String {
    const SHOWN: usize = 8;
    let line = |(library, who): &(String, String)| {
        format!("`{library}`, which `{who}` needs, is in no package of the closure")
    };
    let mut lines: Vec<_> = libraries.iter().take(SHOWN).map(line).collect();
    if libraries.len() > SHOWN {
        lines.push(format!("and {} more", libraries.len() - SHOWN));
    }
    lines.join("\n")
}

/// An `io::Error` on its way to a [`SourceError::Io`].
pub(crate) fn failed(verb: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> SourceError {
    let path = path.to_owned();
    move |source| SourceError::Io { verb, path, source }
}
