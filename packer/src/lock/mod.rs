//! Owns `STACK.lock`: what a build is pinned to. Shape: TOML beside the definition, entries sorted, the same bytes for the
//! same content.
//!
//! Each entry holds, for one component and target, the inputs with their digests and, once built, the digest of the tree.
//! Nothing in it names a machine, and a registry only by the kind of its client.

mod error;

use std::{
    fmt::Write as _,
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use kojibox_packs::Target;
use kojibox_signing::{Digest, Hasher};
use serde::{Deserialize, Serialize};

pub use error::LockError;

use crate::definition::{Origin, ResolvedComponent, SourceSpec};

/// Version of the shape.
const VERSION: u32 = 1;

/// Longest lock in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// What a build is pinned to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// When the lock was made, RFC 3339 in UTC, whole seconds.
    pub issued: String,
    #[serde(default, rename = "component", skip_serializing_if = "Vec::is_empty")]
    entries: Vec<LockEntry>,
}

/// What one component is pinned to for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockEntry {
    /// Component id.
    #[serde(rename = "id")]
    pub component: String,
    /// `<os>-<arch>` or `any`.
    pub target: String,
    /// [`crate::definition::Origin::locator`] of what was locked.
    pub source: String,
    /// Digest of the whole source table; another one means that the tree may differ.
    pub definition: Digest,
    /// Digest of the tree that a build made of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree_sha256: Option<Digest>,
    /// What is fetched, sorted by name; empty for a `path`.
    #[serde(default, rename = "input", skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<LockedInput>,
}

/// One file that is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedInput {
    /// File name; for a package of a tree its folder, e.g. `node_modules/express`.
    pub name: String,
    /// Where it comes from, e.g. `npm:express@5.1.0`.
    pub locator: String,
    /// Upstream version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Digest of the bytes.
    pub sha256: Digest,
    /// Bytes.
    pub size: u64,
    /// Digest that the registry gives, e.g. `sha512-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<String>,
    /// The upstream's signature that was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<LockedSignature>,
    /// What made it, for a program that was built here, e.g. `rustc 1.95.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built_by: Option<String>,
}

/// An upstream's signature over one input; it is checked again each time the input is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSignature {
    /// Who must have signed, as [`crate::upstream::SignedBy`] is written.
    pub by: String,
    /// The detached signature.
    pub text: String,
}

/// How an entry stands to the definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The source table is the locked one.
    Fresh,
    /// The inputs are the locked ones, the steps are not: the tree may differ.
    StepsChanged,
    /// Other inputs are meant.
    Stale,
}

impl Lock {
    /// An empty lock made at `issued`.
    pub fn new(issued: &str) -> Self {
        Self {
            version: VERSION,
            issued: issued.to_owned(),
            entries: Vec::new(),
        }
    }

    /// Where the lock of the definition `stack` lies: the same name with `.lock`.
    pub fn path_for(stack: &Path) -> PathBuf {
        stack.with_extension("lock")
    }

    /// Reads the lock `path`. None: there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, LockError> {
        let io = |source| LockError::Io {
            verb: "read",
            path: path.to_owned(),
            source,
        };
        match fs::metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io(e)),
            Ok(meta) if meta.len() > MAX_BYTES => {
                return Err(io(io::Error::other(format!("more than {MAX_BYTES} bytes"))));
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(path).map_err(io)?;
        Self::parse(path, &text).map(Some)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, LockError> {
        #[derive(Deserialize)]
        struct Head {
            version: u32,
        }
        let shape = |source| LockError::Shape {
            path: path.to_owned(),
            source: Box::new(source),
        };
        let head: Head = toml::from_str(text).map_err(shape)?;
        if head.version != VERSION {
            return Err(LockError::Version {
                path: path.to_owned(),
                found: head.version,
            });
        }
        let mut lock: Self = toml::from_str(text).map_err(shape)?;
        lock.sort();
        Ok(lock)
    }

    /// Writes the lock to `path`, by rename.
    pub fn save(&self, path: &Path) -> Result<(), LockError> {
        let io = |source| LockError::Io {
            verb: "write",
            path: path.to_owned(),
            source,
        };
        let new = path.with_extension("lock.new");
        let written = fs::File::create(&new).and_then(|mut file| {
            file.write_all(self.to_text().as_bytes())?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&new, path)).map_err(io)
    }

    /// The text of the lock; a function of its content.
    pub fn to_text(&self) -> String {
        let mut sorted = self.clone();
        sorted.sort();
        let body = toml::to_string(&sorted).expect("a lock has string keys and values that TOML knows");
        format!(
            "# Written by `kojibox-packer lock`. Keep it beside the definition; with it, a build gives the same bytes.\n{body}"
        )
    }

    fn sort(&mut self) {
        self.entries
            .sort_by(|a, b| (&a.component, &a.target).cmp(&(&b.component, &b.target)));
        for entry in &mut self.entries {
            entry.inputs.sort_by(|a, b| a.name.cmp(&b.name));
        }
    }

    /// All entries, sorted.
    pub fn entries(&self) -> &[LockEntry] {
        &self.entries
    }

    /// The entry of `component` for `target`.
    pub fn get(&self, component: &str, target: &Target) -> Option<&LockEntry> {
        let target = target.to_string();
        self.entries
            .iter()
            .find(|e| e.component == component && e.target == target)
    }

    /// Adds or replaces an entry.
    pub fn put(&mut self, entry: LockEntry) {
        self.entries
            .retain(|e| (&e.component, &e.target) != (&entry.component, &entry.target));
        self.entries.push(entry);
        self.sort();
    }

    /// Records what a build made of an entry.
    pub fn set_tree(&mut self, component: &str, target: &Target, tree: Digest) {
        let target = target.to_string();
        let entry = self
            .entries
            .iter_mut()
            .find(|e| e.component == component && e.target == target);
        if let Some(entry) = entry {
            entry.tree_sha256 = Some(tree);
        }
    }

    /// Drops every entry for which `keep` says no.
    pub fn retain(&mut self, keep: impl FnMut(&LockEntry) -> bool) {
        self.entries.retain(keep);
    }

    /// The entry of `component`, if it is the one that the definition means now: what `--locked` demands.
    pub fn require(&self, component: &ResolvedComponent, target: &Target) -> Result<&LockEntry, LockError> {
        let entry = self.get(&component.id, target).ok_or_else(|| LockError::Missing {
            component: component.id.clone(),
            target: target.to_string(),
        })?;
        match entry.standing(&component.source) {
            Standing::Fresh => Ok(entry),
            Standing::StepsChanged => Err(LockError::StepsChanged {
                component: component.id.clone(),
            }),
            Standing::Stale => Err(LockError::Stale {
                component: component.id.clone(),
                locked: entry.source.clone(),
                written: component.source.origin.locator(),
            }),
        }
    }
}

impl LockEntry {
    /// How the entry stands to the source that the definition has now.
    pub fn standing(&self, source: &SourceSpec) -> Standing {
        let pinned = source.origin.pinned_sha256();
        let other_bytes = pinned.is_some_and(|digest| self.inputs.iter().any(|i| i.sha256 != digest));
        let signed_by = source.origin.signed_by().map(ToString::to_string);
        let signed = |i: &LockedInput| i.signature.as_ref().map(|s| &s.by) == signed_by.as_ref();
        let other_signature = !self.inputs.iter().all(signed);
        if self.source != source.origin.locator() || other_bytes || other_signature {
            return Standing::Stale;
        }
        if self.definition == digest_of(source) {
            return Standing::Fresh;
        }
        Standing::StepsChanged
    }

    /// One digest over all inputs, in their order.
    pub fn inputs_sha256(&self) -> Digest {
        let mut hasher = Hasher::new();
        for input in &self.inputs {
            let mut line = String::new();
            writeln!(line, "{} {} {}", input.sha256, input.size, input.name).expect("a String takes every line");
            hasher.update(line.as_bytes());
        }
        hasher.finish()
    }
}

/// Digest of a source table; folders of this machine do not count.
pub fn digest_of(source: &SourceSpec) -> Digest {
    let steps = &source.steps;
    let mut form = serde_json::json!({
        "origin": source.origin.locator(),
        "sha256": source.origin.pinned_sha256(),
        "details": match &source.origin {
            Origin::Pypi { python, .. } => serde_json::json!(python),
            Origin::Deb { closure, .. } => serde_json::json!(closure.as_ref().map(|c| &c.roots)),
            Origin::Url { unpack, .. } => serde_json::json!(unpack),
            _ => serde_json::Value::Null,
        },
        "strip": steps.strip, "include": steps.include, "exclude": steps.exclude, "rename": steps.rename,
        "copy": steps.copy, "exec": steps.exec, "text": steps.text, "shebang": steps.shebang,
    });
    // Absent where it is not written, so that locks made before there was such a step stay good.
    if !steps.rpath.is_empty() {
        form["rpath"] = serde_json::json!(steps.rpath);
    }
    Digest::of(form.to_string().as_bytes())
}
