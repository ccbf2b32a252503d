//! Owns the manifest: the small signed JSON document that says everything about a pack (`*.kbx.json`).
//!
//! The types are the wire format: field order is key order, and what is empty is absent. Bytes are verified before
//! they are parsed; [`crate::manifest::Manifest::to_canonical_json`] gives the one form that is ever signed.
//!
//! Source: packs/FORMAT.md, "Manifest".

mod check;
mod component;
mod humane;
mod parse;
mod sequence;
mod service;

use std::collections::BTreeMap;

use kojibox_signing::Digest;
use serde::{Deserialize, Serialize};

pub use component::{BlobRef, Component, DataFile, IndexRef, Runtime, Upstream};
pub use humane::Span;
pub use parse::{MINOR, ManifestError, schema};
pub use sequence::sequence_of;
pub use service::{
    Check, Condition, Format, Init, Migration, Port, Probe, Question, QuestionKind, Restart, RestartPolicy, Secret,
    Service, ServiceKind, Stop, StopStep, Template,
};

/// Reserved id of the component with a pack's templates and documents.
pub const PACK_FILES: &str = "_pack";

/// File name of the manifest of a full pack.
pub fn file_name(pack: &str, version: &str, target: crate::Target) -> String {
    crate::names::manifest(&crate::names::stem(pack, version, target))
}

/// Text in several languages, by language tag (`en`, `id`); `en` is the fallback.
pub type Text = BTreeMap<String, String>;

/// The manifest of one pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// `kojibox.pack/1.N`; first key, so that a manifest can never be taken for another signed document.
    pub schema: String,
    /// Lowest minor version of a reader that may ignore keys it does not know.
    pub readable_since: u32,
    /// Pack id, `[a-z0-9-]`, at most 40 bytes.
    pub pack: String,
    /// Name for people.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub title: Text,
    /// Semantic version, lower-case, at most 40 bytes.
    pub version: String,
    /// Number that only grows from release to release, the same for all targets.
    pub sequence: u64,
    /// No release below this sequence may replace an installed one, whatever was allowed.
    #[serde(default)]
    pub min_sequence: u64,
    /// Named line of releases.
    pub channel: String,
    /// Full pack or delta.
    pub kind: Kind,
    /// `<os>-<arch>` or `any`.
    pub target: String,
    /// Lowest installer version that understands this pack.
    pub min_installer: String,
    /// When the lock was made, RFC 3339 in UTC, whole seconds.
    pub issued: String,
    /// After this time the pack is stale, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Seconds since 1970; dates manifest and SBOM only.
    pub source_date_epoch: u64,
    /// What made the blobs.
    pub compressor: Compressor,
    /// What can be selected and installed, sorted by id.
    pub components: Vec<Component>,
    /// What can be run, in the order of the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Service>,
    /// Files rendered at each start; their sources are in the component `_pack`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<Template>,
    /// Secrets generated per install.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Secret>,
    /// What the wizard asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Question>,
    /// How data moves from one format to the next.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub migrations: Vec<Migration>,
    /// Bytes needed on the target volume.
    pub space: Space,
    /// What a delta builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Delta plans by component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Vec<DeltaRef>>,
    /// `SHA256SUMS` for plain tools.
    pub sums: DataFile,
    /// `CycloneDX` SBOM.
    pub sbom: DataFile,
    /// Unsigned in-toto statement.
    pub provenance: DataFile,
    /// SHA-256 of manifests that must no longer be installed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revokes: Vec<Digest>,
}

/// Full pack or delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Holds every byte.
    Full,
    /// Holds what is new against a named base.
    Delta,
}

/// What made the blobs of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compressor {
    /// Always `zstd`.
    pub name: String,
    /// Version of libzstd, e.g. `1.5.7`.
    pub version: String,
    /// Compression level.
    pub level: i32,
    /// Largest window used, as a power of two.
    pub window_log: u32,
}

/// Bytes needed on the target volume, before cluster rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes written while staging.
    pub staging: u64,
    /// Bytes kept when all components are installed.
    pub installed: u64,
    /// Highest sum at any moment, the previous generation not counted.
    pub peak: u64,
}

/// The full pack a delta builds on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// Pack id.
    pub pack: String,
    /// Version of the base.
    pub version: String,
    /// SHA-256 of the base's manifest.
    pub manifest_sha256: Digest,
}

/// The plan that rebuilds one component from its base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeltaRef {
    /// Component id.
    pub component: String,
    /// `tree_sha256` of the base component.
    pub base_tree_sha256: Digest,
    /// The hashed plan (`.dlt.zst`).
    pub plan: DataFile,
}
