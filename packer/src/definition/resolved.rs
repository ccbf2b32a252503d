//! Owns what a definition says for one target: the facts, components with their sources, and what the launcher is told.

use std::path::PathBuf;

use kojibox_packs::{
    Target,
    manifest::{Migration, Question, Secret, Service, Template, Text},
};
use kojibox_signing::Digest;

use crate::upstream::SignedBy;

/// What `[pack]` says; the same for every target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackFacts {
    /// Pack id.
    pub name: String,
    /// Name for people.
    pub title: Text,
    /// Semantic version, lower-case.
    pub version: String,
    /// Number that only grows; absent: made from the version.
    pub sequence: Option<u64>,
    /// No release below this sequence may replace an installed one.
    pub min_sequence: u64,
    /// Named line of releases.
    pub channel: String,
    /// What is built without `--target`, in the order of the file.
    pub targets: Vec<Target>,
    /// Seconds since 1970 for manifest and SBOM; absent: the lock's `issued`.
    pub source_date_epoch: Option<u64>,
    /// After this time the pack is stale, RFC 3339 in UTC.
    pub expires: Option<String>,
    /// SHA-256 of manifests that must no longer be installed.
    pub revokes: Vec<Digest>,
}

/// A definition for one target.
#[derive(Clone, Debug)]
pub struct ResolvedPack {
    /// What `[pack]` says.
    pub pack: PackFacts,
    /// The target.
    pub target: Target,
    /// Components of this target, sorted by id.
    pub components: Vec<ResolvedComponent>,
    /// Services of these components, in the order of the definition.
    pub services: Vec<Service>,
    /// Templates of these services; `source` is the path in the component `_pack`.
    pub templates: Vec<Template>,
    /// Files of the component `_pack`, sorted by path.
    pub pack_files: Vec<PackFile>,
    /// Secrets generated per install.
    pub secrets: Vec<Secret>,
    /// What the wizard asks.
    pub questions: Vec<Question>,
    /// Migrations of these services.
    pub migrations: Vec<Migration>,
}

/// A file of the implicit component `_pack`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackFile {
    /// Path in the component.
    pub path: String,
    /// The file on this machine.
    pub from: PathBuf,
}

/// One component for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedComponent {
    /// Component id.
    pub id: String,
    /// Name for people.
    pub title: Text,
    /// Semantic version, lower-case.
    pub version: String,
    /// SPDX expression, or empty.
    pub license: String,
    /// Preselected.
    pub default: bool,
    /// Components that must be installed too.
    pub requires: Vec<String>,
    /// Components that must not be installed together with it.
    pub conflicts: Vec<String>,
    /// Names the data directory of its services.
    pub data_format: Option<String>,
    /// How it finds its C library, as the builder claims; the build computes and compares.
    pub runtime: Option<RuntimeKind>,
    /// Where its bytes come from.
    pub source: SourceSpec,
}

/// How a component finds its C library, as written in a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// `static`: needs nothing of the host.
    Static,
    /// `host-glibc`: needs the host's glibc; the version is computed.
    HostGlibc,
    /// `own-loader`: carries its own loader and C library.
    OwnLoader,
}

/// Where the bytes of a component come from, and what is done to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSpec {
    /// Where from.
    pub origin: Origin,
    /// Declarative steps, in the order of the fields.
    pub steps: Steps,
    /// The definition says the same for every target.
    pub for_all_targets: bool,
}

/// Where the bytes of a component come from; versions are exact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A folder or file of the builder.
    Path {
        /// Absolute or relative to the working directory.
        from: PathBuf,
        /// As written.
        written: String,
    },
    /// An archive or a plain file by `http:`, `https:` or `file:`.
    Url {
        /// Tried in this order.
        urls: Vec<String>,
        /// What the bytes must be.
        sha256: Option<Digest>,
        /// An archive is unpacked; otherwise it stays one file.
        unpack: bool,
        /// The upstream must have signed the bytes.
        signature: Option<Signature>,
    },
    /// A package of the npm registry.
    Npm {
        /// Package name with its scope.
        name: String,
        /// Exact version.
        version: String,
        /// With its dependencies, as `node_modules/`; None: the package alone. Further packages by name and version.
        tree: Option<Vec<(String, String)>>,
    },
    /// A wheel of the Python index.
    Pypi {
        /// Project name.
        name: String,
        /// Exact version.
        version: String,
        /// Platform tags that are taken, most portable first.
        platforms: Vec<String>,
        /// Python version for wheels that need one, e.g. `3.11`.
        python: Option<String>,
    },
    /// A Debian package.
    Deb {
        /// Package name.
        name: String,
        /// Exact version; absent: the one that the lock found.
        version: Option<String>,
        /// Debian's name of the architecture.
        architecture: String,
        /// With everything that it depends on, bundled; None: the package alone.
        closure: Option<Closure>,
    },
    /// Programs of a crate, built for this machine.
    Crate {
        /// Crate name.
        name: String,
        /// Exact version.
        version: String,
        /// Features, sorted.
        features: Vec<String>,
        /// With the crate's default features.
        default_features: bool,
    },
}

/// A detached signature that a download must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Where it is.
    pub url: String,
    /// Who must have signed.
    pub by: SignedBy,
}

/// What is kept of a Debian package and everything that it depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Programs, plugins and data, as patterns; `!` takes away. The libraries that they need are added.
    pub roots: Vec<String>,
    /// Further packages, `name` or `name=version`.
    pub with: Vec<String>,
}

/// Declarative steps, done in the order of the fields; globs know `*`, `**`, `?`, `[…]`, `{a,b}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Keep what is below this folder, without the folder; may hold `*`.
    pub strip: Option<String>,
    /// Keep only what matches.
    pub include: Vec<String>,
    /// Drop what matches.
    pub exclude: Vec<String>,
    /// Old path (file or folder) to new path.
    pub rename: Vec<(String, String)>,
    /// Path of a file to a second path with the same bytes.
    pub copy: Vec<(String, String)>,
    /// Mark as programs what matches.
    pub exec: Vec<String>,
    /// Add small text files: path to content.
    pub text: Vec<(String, String)>,
    /// Replace the first line `#!…` of what matches by `#!` and this.
    pub shebang: Vec<(String, String)>,
    /// Set where the ELF files that match look for their libraries; of several patterns the last one counts.
    pub rpath: Vec<(String, String)>,
}

impl Origin {
    /// One line that says where the bytes come from; changes when another input is meant.
    pub fn locator(&self) -> String {
        match self {
            Self::Path { written, .. } => format!("path:{written}"),
            Self::Url { urls, .. } => urls.first().cloned().unwrap_or_default(),
            Self::Npm { name, version, tree } => {
                let extra = tree.iter().flatten().map(|(n, v)| format!("+{n}@{v}"));
                let mark = if tree.is_some() { "+tree" } else { "" };
                format!("npm:{name}@{version}{mark}{}", extra.collect::<String>())
            }
            Self::Pypi { name, version, .. } => format!("pypi:{name}=={version}"),
            Self::Deb {
                name,
                version,
                architecture,
                closure,
            } => {
                let version = version.as_ref().map(|v| format!("={v}")).unwrap_or_default();
                let mark = if closure.is_some() { "+closure" } else { "" };
                let with = closure.iter().flat_map(|c| &c.with).map(|name| format!("+{name}"));
                format!("deb:{name}:{architecture}{version}{mark}{}", with.collect::<String>())
            }
            Self::Crate {
                name,
                version,
                features,
                default_features,
            } => {
                let bare = if *default_features { "" } else { "-default" };
                let mut text = format!("crate:{name}@{version}{bare}");
                for feature in features {
                    text.push('+');
                    text.push_str(feature);
                }
                text
            }
        }
    }
}

impl Origin {
    /// What the definition itself says of the bytes.
    pub(crate) fn pinned_sha256(&self) -> Option<Digest> {
        match self {
            Self::Url { sha256, .. } => *sha256,
            _ => None,
        }
    }

    /// Who must have signed the bytes.
    pub(crate) fn signed_by(&self) -> Option<&SignedBy> {
        match self {
            Self::Url { signature, .. } => signature.as_ref().map(|s| &s.by),
            _ => None,
        }
    }

    /// True if the same words mean other bytes on another target.
    pub(crate) fn depends_on_target(&self) -> bool {
        matches!(self, Self::Pypi { .. } | Self::Deb { .. } | Self::Crate { .. })
    }

    /// The source as manifests name it; `locked` are the exact locators of the inputs.
    pub(crate) fn upstream<'l>(&self, mut locked: impl Iterator<Item = &'l str>) -> String {
        match self {
            // A folder of the builder is nobody else's business.
            Self::Path { .. } => "path".to_owned(),
            Self::Deb { name, .. } => {
                let of = format!("deb:{name}=");
                let exact = locked.find(|locator| locator.starts_with(&of));
                exact.map_or_else(|| self.locator(), str::to_owned)
            }
            Self::Npm { name, version, .. } => format!("npm:{name}@{version}"),
            _ => self.locator(),
        }
    }
}
