//! Owns the names inside an install root: where everything is, relative to the root.
//!
//! Source: state/TRANSACTIONS.md, "The install root".

use std::path::{Path, PathBuf};

use kojibox_signing::Digest;

/// Directories and files of one install root; joins names, touches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Describes the install root at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `components/`: immutable trees.
    pub fn components(&self) -> PathBuf {
        self.root.join("components")
    }

    /// Directory name of a component tree: `<id>-<version>-<16 hex of tree_sha256>`.
    pub fn component_dir_name(id: &str, version: &str, tree: &Digest) -> String {
        format!("{id}-{version}-{}", tree.short())
    }

    /// `generations/<n>/record.json`.
    pub fn generation_record(&self, id: u64) -> PathBuf {
        self.root.join("generations").join(id.to_string()).join("record.json")
    }

    /// `generations/<n>/bad.json`: written once when its gate failed.
    pub fn generation_bad_mark(&self, id: u64) -> PathBuf {
        self.root.join("generations").join(id.to_string()).join("bad.json")
    }

    /// `records/packs/<digest>/`: `manifest.kbx.json` and `signatures/`.
    pub fn pack_record(&self, manifest: &Digest) -> PathBuf {
        self.root.join("records").join("packs").join(manifest.to_string())
    }

    /// `records/components/<id>-<16 hex>.idx.zst`.
    pub fn component_index(&self, id: &str, tree: &Digest) -> PathBuf {
        self.root
            .join("records")
            .join("components")
            .join(format!("{id}-{}.idx.zst", tree.short()))
    }

    /// `state/`.
    pub fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    /// `state/current.json`: the pointer.
    pub fn pointer(&self) -> PathBuf {
        self.state().join("current.json")
    }

    /// `state/install.json`: the install id, made once.
    pub fn install(&self) -> PathBuf {
        self.state().join("install.json")
    }

    /// `state/journal`.
    pub fn journal(&self) -> PathBuf {
        self.state().join("journal")
    }

    /// `state/lock`.
    pub fn lock(&self) -> PathBuf {
        self.state().join("lock")
    }

    /// `state/trust/`: pinned roots by publisher, and `floors.json`.
    pub fn trust(&self) -> PathBuf {
        self.state().join("trust")
    }

    /// `state/receipts/`.
    pub fn receipts(&self) -> PathBuf {
        self.state().join("receipts")
    }

    /// `staging/<txid>/`: private to one transaction.
    pub fn staging(&self, txid: &str) -> PathBuf {
        self.root.join("staging").join(txid)
    }

    /// `config/`: a person's files; the launcher's.
    pub fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    /// `data/<service>/`: holds one directory per data format; the launcher's.
    pub fn service_data(&self, service: &str) -> PathBuf {
        self.root.join("data").join(service)
    }

    /// `logs/<service>/`; the launcher's.
    pub fn service_logs(&self, service: &str) -> PathBuf {
        self.root.join("logs").join(service)
    }

    /// `run/`: rebuilt at each start; the launcher's.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// `temp/`; the launcher's.
    pub fn temp(&self) -> PathBuf {
        self.root.join("temp")
    }

    /// `secrets/`; the launcher's, mode 0700.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// `backups/<txid>/`.
    pub fn backups(&self, txid: &str) -> PathBuf {
        self.root.join("backups").join(txid)
    }
}
