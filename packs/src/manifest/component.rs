//! Owns the manifest's description of one component: where its bytes are, what they are, what they need.

use kojibox_signing::Digest;
use serde::{Deserialize, Serialize};

use super::Text;

/// One unit that can be selected and installed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// Component id; `_pack` is reserved for templates and documents, `kojibox-launcher` for the launcher.
    pub id: String,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Text::is_empty")]
    pub title: Text,
    /// Semantic version, lower-case.
    pub version: String,
    /// SPDX expression.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub license: String,
    /// `any` if the bytes are the same for every target, else the pack's target.
    pub target: String,
    /// Where the bytes came from.
    pub upstream: Upstream,
    /// The compressed bytes.
    pub blob: BlobRef,
    /// Frames and files of the blob.
    pub index: IndexRef,
    /// Identity of the content, independent of compression.
    pub tree_sha256: Digest,
    /// Sum of the sizes of these files in bytes.
    pub installed_size: u64,
    /// Number of entries of type file, those stored once and named again included.
    pub n_files: u64,
    /// Bytes of the longest path.
    pub max_path_len: u32,
    /// How it finds its C library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// Abilities of the target file system: `exec`, `symlink`, `case-sensitive`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Components that must be installed too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<String>,
    /// Components that must not be installed together with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
    /// Preselected in the wizard and by unattended installs without a list.
    pub default: bool,
    /// Names the data directory of its services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_format: Option<String>,
}

/// Where the bytes of a component came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// `path`, `npm:name@version`, `pypi:name==version`, `deb:name=version`, `crate:name@version` or a URL.
    pub source: String,
    /// Digest over the inputs, as locked.
    pub sha256: Digest,
    /// The upstream's signature that was checked, if any: `minisign:KEYID` or `ssh:SHA256:FINGERPRINT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// The compressed bytes of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRef {
    /// File name below `blobs/`, without a part suffix.
    pub name: String,
    /// Bytes of all parts together.
    pub size: u64,
    /// Digest of all parts together.
    pub sha256: Digest,
}

/// The hashed index of a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexRef {
    /// File name below `blobs/`.
    pub name: String,
    /// Compressed bytes.
    pub size: u64,
    /// Decoded bytes.
    pub raw_size: u64,
    /// Largest raw frame in bytes.
    pub frame_max: u64,
    /// Digest of the compressed bytes.
    pub sha256: Digest,
}

/// A file beside the manifest that the manifest hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// File name below `packs/` (plans: below `blobs/`).
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Digest of the bytes.
    pub sha256: Digest,
}

/// How a component finds its C library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// Needs nothing of the host.
    Static,
    /// Needs the host's glibc, at least this version (`2.28`).
    MinGlibc(String),
    /// Carries its own loader and C library.
    OwnLoader,
}
