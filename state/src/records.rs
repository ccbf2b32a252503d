//! Owns the documents of an install root: pointer, generation record, install id.
//!
//! Each is canonical JSON of at most 1 MiB with a `schema` key first; a newer major is refused, never rewritten.

use std::collections::{BTreeMap, BTreeSet};

use kojibox_signing::Digest;
use serde::{Deserialize, Serialize};

/// Reserved id of the launcher's component.
pub const LAUNCHER: &str = "kojibox-launcher";
/// Reserved id of the component with a pack's templates and documents.
pub const PACK_FILES: &str = "_pack";

/// `state/current.json`: which generation is active. Replacing this file is the commit point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// `kojibox.pointer/1`.
    pub schema: String,
    /// Active generation.
    pub current: u64,
    /// The one to return to.
    pub previous: Option<u64>,
    /// The gate of `current` has passed (or it has no services).
    pub confirmed: bool,
    /// Transaction that wrote it.
    pub txid: String,
}

/// `state/install.json`: names this install root wherever it is moved to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// `kojibox.install/1`.
    pub schema: String,
    /// 16 random hex digits.
    pub id: String,
    /// RFC 3339, UTC.
    pub created: String,
}

/// `generations/<n>/record.json`: what a generation consists of; immutable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    /// `kojibox.generation/1`.
    pub schema: String,
    /// Number, counted up from 1, never used twice between two uninstalls.
    pub id: u64,
    /// RFC 3339, UTC.
    pub created: String,
    /// Transaction that made it.
    pub txid: String,
    /// Packs, sorted by name.
    pub packs: Vec<PackRecord>,
    /// The pack of which only the launcher was taken; `None` if the launcher is of one of `packs`. Its manifest is kept, so that
    /// the launcher can be repaired and vouched for; nothing else of it is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launcher_pack: Option<PackRecord>,
    /// Component trees, sorted by id.
    pub components: Vec<ComponentRecord>,
    /// Answers to the packs' questions.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
    /// Ports asked for by the person, `service.name` to number; the launcher's own memory is `state/ports.json`.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// Language chosen in the wizard.
    #[serde(default)]
    pub language: Option<String>,
    /// Services are started after activation.
    pub start: bool,
}

impl GenerationRecord {
    /// Every pack whose manifest it stands on: the installed ones, and the one of which only the launcher was taken.
    pub fn manifests(&self) -> impl Iterator<Item = &PackRecord> {
        self.packs.iter().chain(&self.launcher_pack)
    }

    /// The launcher, and the pack whose manifest tells of it.
    pub fn launcher(&self) -> Option<(&ComponentRecord, Option<&PackRecord>)> {
        let component = self.components.iter().find(|c| c.id == LAUNCHER)?;
        let installed = self.packs.iter().find(|p| p.name == component.pack);
        Some((component, self.launcher_pack.as_ref().or(installed)))
    }
}

/// One pack of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackRecord {
    /// Pack id.
    pub name: String,
    /// Version.
    pub version: String,
    /// Target of the pack.
    pub target: String,
    /// Sequence number.
    pub sequence: u64,
    /// SHA-256 of the manifest bytes; names `records/packs/<digest>/`.
    pub digest: Digest,
    /// Publisher: first 16 hex digits of the SHA-256 of `1.root.json`.
    pub root16: String,
}

/// One component tree of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentRecord {
    /// Component id.
    pub id: String,
    /// Pack it came with.
    pub pack: String,
    /// Version.
    pub version: String,
    /// Identity of the tree.
    pub tree_sha256: Digest,
    /// Directory name below `components/`.
    pub dir: String,
    /// Digest of `records/components/<dir>.idx.zst`.
    pub index_sha256: Digest,
    /// Data format, if its services keep data.
    #[serde(default)]
    pub data_format: Option<String>,
}

/// `state/trust/floors.json`: what this root has seen and never goes below; only grows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floors {
    /// `kojibox.floors/1`.
    pub schema: String,
    /// Newest signed time ever seen, RFC 3339, UTC; a lower bound of the present that no clock moves.
    pub not_before: String,
    /// By `<root16>/<pack>`.
    pub packs: BTreeMap<String, PackFloor>,
    /// Manifests that their publisher withdrew.
    #[serde(default)]
    pub revoked: BTreeSet<Digest>,
}

/// How far one pack has come in this root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackFloor {
    /// Highest sequence ever active.
    pub sequence: u64,
    /// No release below this may ever be installed.
    pub min_sequence: u64,
    /// Manifests seen at `sequence`, by target (`<target>-from-<base>` for a delta): one each.
    pub digests: BTreeMap<String, Digest>,
}
