//! Owns the seam between deciding and doing: what [`crate::transaction`] is asked to make true, and what it may ask back.
//!
//! Everything here is decided before anything is written: packs are verified, choices are made, preflight has passed.
//! The transaction adds no policy. It stages, publishes, activates, asks the [`Gate`], and records what it was given.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use kojibox_packs::{manifest::Manifest, source::BlobSource};
use kojibox_signing::{KeyId, Verified};
use kojibox_state::records::{ComponentRecord, Floors, PackRecord};
use serde::{Deserialize, Serialize};

/// The next generation, whole: what is not named here will not be in it.
#[derive(Clone, Debug)]
pub struct InstallPlan {
    /// The command line as a person typed it, without secrets; for the lock, the journal and the receipt.
    pub command: String,
    /// Every pack of the next generation, kept ones too, sorted by name.
    pub packs: Vec<PlannedPack>,
    /// The active launcher, if it stays; `None`: one of the packs brings it.
    pub launcher: Option<KeptLauncher>,
    /// Answers to the packs' questions.
    pub answers: BTreeMap<String, String>,
    /// Ports asked for by the person: `service.name` to number.
    pub ports: BTreeMap<String, u16>,
    /// Language for people, `en` or `id`.
    pub language: Option<String>,
    /// Services are started after activation, and the gate decides. `false`: confirmed at commit.
    pub start: bool,
    /// What the install root remembers about trust from now on.
    pub trust: TrustUpdate,
    /// Every verdict that led to this plan, in order; goes into the receipt as it is.
    pub verdicts: Vec<Verdict>,
}

/// The launcher of the active generation, as its record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptLauncher {
    /// Its tree.
    pub component: ComponentRecord,
    /// The pack whose manifest tells of it.
    pub pack: Option<PackRecord>,
}

/// One pack of the next generation.
#[derive(Clone)]
pub struct PlannedPack {
    /// The manifest, verified under a pinned root (or taken by digest from this root's own records when kept).
    pub manifest: Arc<Verified<Manifest>>,
    /// Detached signatures, approvals too, by file name; stored beside the manifest. Empty for a kept pack.
    pub signatures: Vec<(String, Vec<u8>)>,
    /// Publisher: first 16 hex digits of the SHA-256 of `1.root.json`.
    pub root16: String,
    /// Version of that publisher's root at the time of the verdict.
    pub root_version: u64,
    /// Keys whose approval signatures counted.
    pub approved_by: Vec<KeyId>,
    /// Ids of the chosen components, with what they require; `_pack` and `kojibox-launcher` are named like any other.
    pub components: BTreeSet<String>,
    /// Where the bytes are. `None`: kept from the current generation, whose trees and records serve.
    pub source: Option<Arc<dyn BlobSource>>,
}

impl fmt::Debug for PlannedPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manifest = &**self.manifest;
        f.debug_struct("PlannedPack")
            .field("pack", &manifest.pack)
            .field("version", &manifest.version)
            .field("components", &self.components)
            .field("source", &self.source.as_ref().map(|s| s.describe()))
            .finish_non_exhaustive()
    }
}

/// What the install root remembers about trust.
///
/// `roots` are written before anything is staged and stay when the install fails, because a revocation that was seen
/// once counts. `floors` are written after the commit, because a release that was never active sets none.
#[derive(Clone, Debug)]
pub struct TrustUpdate {
    /// Root documents to add below `state/trust/`; those already there are not repeated.
    pub roots: Vec<PlannedRoot>,
    /// The whole next `state/trust/floors.json`.
    pub floors: Floors,
}

/// Verified root documents of one publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedRoot {
    /// Publisher.
    pub root16: String,
    /// Version and bytes, ascending: `state/trust/<root16>/<version>.root.json`.
    pub documents: Vec<(u64, Vec<u8>)>,
}

/// One decision and its reason, as an auditor reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What was decided, e.g. `pack signature`, `sequence`, `space`.
    pub check: String,
    /// How it came out.
    pub outcome: VerdictOutcome,
    /// Why, one sentence without a period.
    pub detail: String,
}

/// How a verdict came out; what is refused never reaches a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VerdictOutcome {
    /// As it should be.
    Passed,
    /// Worth knowing, not in the way.
    Warned,
    /// Would have been refused; a flag allowed it.
    Allowed,
}

/// What a transaction needs from the world around it.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The clock.
    pub now: &'a (dyn Fn() -> jiff::Timestamp + Sync),
    /// Stops and starts services.
    pub gate: &'a dyn Gate,
    /// Measures the volume of a directory; asked when a volume is full.
    pub space: &'a (dyn Fn(&Path) -> io::Result<Space> + Sync),
    /// Is told how far it is.
    pub observer: &'a dyn Observer,
    /// Set by Ctrl-C: end at the next safe place, leaving the machine as the journal says.
    pub cancel: &'a AtomicBool,
    /// Workers that hash and decode; at least one.
    pub threads: usize,
}

impl fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// The room on a volume, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// That this user may still write.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

/// Stops and starts the services of a generation by running its own launcher.
pub trait Gate {
    /// Runs `<launcher> --root <root> down --json`: no service and no daemon is left when it returns `Ok`, and none with
    /// [`GateError::Unclean`] either.
    fn stop(&self, launcher: &Path, root: &Path) -> Result<(), GateError>;
    /// Runs `<launcher> --root <root> up --json`: every wanted service is running when it returns `Ok`.
    fn start(&self, launcher: &Path, root: &Path) -> Result<(), GateError>;
    /// The same for the generation that stays: no Ctrl-C ends it early, because nothing would run then.
    fn start_again(&self, launcher: &Path, root: &Path) -> Result<(), GateError>;
    /// Runs `<launcher> --root <root> status --json`: the data in use by service, or `None` if that is not told.
    fn data(&self, launcher: &Path, root: &Path) -> Option<BTreeMap<String, DataInUse>>;
}

/// The data of a service as its launcher tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct DataInUse {
    /// Format in use.
    pub format: String,
    /// How it was not left as it should be.
    #[serde(default)]
    pub unclean: Option<String>,
    /// Older formats that can be gone back to.
    #[serde(default)]
    pub older: Vec<OlderData>,
    /// Where it would be put aside, relative to the root.
    pub keep_as: String,
}

/// Data of an older format.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct OlderData {
    /// Its format.
    pub format: String,
    /// When newer data was made from it.
    pub until: String,
}

/// A service that runs no more, and left its data in a state that only its own version can repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclean {
    /// Service id.
    pub service: String,
    /// What happened.
    pub why: String,
}

/// The launcher did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// It could not be started at all.
    #[error("could not run `{}`", launcher.display())]
    Run {
        /// The program.
        launcher: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended with a failure; services did not become ready or did not stop.
    #[error("`kojibox {verb}` ended with {how}{}", told(services))]
    Failed {
        /// `up` or `down`.
        verb: &'static str,
        /// Exit code or signal, for people.
        how: String,
        /// What is not ready and why, one line per service.
        services: Vec<String>,
        /// The last lines it wrote on stderr.
        output: Output,
    },
    /// Nothing runs any more, but some service had to be killed, or had been when it ran last.
    #[error("services did not stop cleanly{}", unclean(services))]
    Unclean {
        /// Never empty.
        services: Vec<Unclean>,
        /// The last lines the launcher wrote on stderr.
        output: Output,
    },
    /// It did not end in time and was killed.
    #[error("`kojibox {verb}` did not end within {} s", deadline.as_secs())]
    Deadline {
        /// `up` or `down`.
        verb: &'static str,
        /// How long it was given.
        deadline: Duration,
        /// The last lines it wrote on stderr.
        output: Output,
    },
    /// A person pressed Ctrl-C while services were starting.
    #[error("`kojibox {verb}` was cancelled")]
    Cancelled {
        /// Always `up`.
        verb: &'static str,
    },
}

impl GateError {
    /// What the launcher wrote before it failed; empty if it never ran.
    pub fn output(&self) -> &str {
        match self {
            Self::Run { .. } | Self::Cancelled { .. } => "",
            Self::Failed { output, .. } | Self::Unclean { output, .. } | Self::Deadline { output, .. } => &output.0,
        }
    }
}

/// What a program wrote, cut to its last lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output(pub String);

fn unclean(services: &[Unclean]) -> String {
    let lines: Vec<String> = services.iter().map(|s| format!("`{}`: {}", s.service, s.why)).collect();
    told(&lines)
}

fn told(services: &[String]) -> String {
    services
        .iter()
        .fold(String::new(), |text, service| text + "\n" + service)
}

/// A stretch of a transaction that a person can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Finishing or undoing what an interrupted transaction left; counts steps.
    Recover,
    /// Reading, verifying, decoding and writing component trees; counts bytes of the medium.
    Stage,
    /// Re-hashing installed trees; counts bytes.
    Verify,
    /// Making what was staged durable; no count.
    Durable,
    /// Moving trees to their place and writing records; counts trees.
    Publish,
    /// Stopping the services of the current generation; no count.
    Stop,
    /// Starting the services and waiting until they are ready; no count.
    Start,
    /// Removing what is dead; counts trees or files.
    Clean,
}

impl Phase {
    /// True if [`Observer::add`] counts bytes.
    pub fn counts_bytes(self) -> bool {
        matches!(self, Self::Stage | Self::Verify)
    }
}

/// Is told how far a transaction is.
pub trait Observer: Sync {
    /// A phase begins (and the one before ends); `total` in the phase's unit, if known.
    fn phase(&self, phase: Phase, total: Option<u64>);
    /// `n` more of the phase's unit are done; called from any thread.
    fn add(&self, n: u64);
    /// Something a person should know, one sentence.
    fn note(&self, text: &str);
    /// The transaction goes on from an interrupted one: bytes of files that were verified again, and bytes of the medium
    /// that are left to read.
    fn resumed(&self, _kept: u64, _to_read: u64) {}
}

/// An observer that looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn phase(&self, _: Phase, _: Option<u64>) {}
    fn add(&self, _: u64) {}
    fn note(&self, _: &str) {}
}
