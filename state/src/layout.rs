//! Owns the names inside an install root: where everything is, relative to the root.
//!
//! Source: state/TRANSACTIONS.md, "The install root".

use std::path::{Path, PathBuf};

use kojibox_signing::Digest;

use crate::path::RootPath;

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

    fn at(&self, place: &RootPath) -> PathBuf {
        place.below(&self.root)
    }

    /// `components/`: immutable trees.
    pub fn components(&self) -> PathBuf {
        self.at(&place::components())
    }

    /// Directory name of a component tree: `<id>-<version>-<16 hex of tree_sha256>`.
    pub fn component_dir_name(id: &str, version: &str, tree: &Digest) -> String {
        format!("{id}-{version}-{}", tree.short())
    }

    /// `generations/<n>/record.json`.
    pub fn generation_record(&self, id: u64) -> PathBuf {
        self.at(&place::generation_record(id))
    }

    /// `generations/<n>/pin.json`: there while a person keeps it.
    pub fn generation_pin(&self, id: u64) -> PathBuf {
        self.at(&place::generation_pin(id))
    }

    /// `generations/<n>/bad.json`: written once when its gate failed.
    pub fn generation_bad_mark(&self, id: u64) -> PathBuf {
        self.at(&place::generation_bad_mark(id))
    }

    /// `records/packs/<digest>/`: `manifest.kbx.json` and `signatures/`.
    pub fn pack_record(&self, manifest: &Digest) -> PathBuf {
        self.at(&place::pack_record(manifest))
    }

    /// `records/components/<dir>.idx.zst`.
    pub fn component_index(&self, dir: &str) -> PathBuf {
        self.at(&place::component_index(dir))
    }

    /// `state/`.
    pub fn state(&self) -> PathBuf {
        self.at(&place::state())
    }

    /// `state/current.json`: the pointer.
    pub fn pointer(&self) -> PathBuf {
        self.at(&place::pointer())
    }

    /// `state/install.json`: the install id, made once.
    pub fn install(&self) -> PathBuf {
        self.at(&place::install())
    }

    /// `state/journal`.
    pub fn journal(&self) -> PathBuf {
        self.at(&place::journal())
    }

    /// `state/lock`.
    pub fn lock(&self) -> PathBuf {
        self.at(&place::lock())
    }

    /// `state/trust/`: pinned roots by publisher, and `floors.json`.
    pub fn trust(&self) -> PathBuf {
        self.at(&place::trust())
    }

    /// `state/receipts/`.
    pub fn receipts(&self) -> PathBuf {
        self.at(&place::receipts())
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

/// The same names relative to the root, for what goes through [`crate::store::Store`].
pub mod place {
    use kojibox_signing::Digest;

    use crate::path::RootPath;

    macro_rules! fixed {
        ($($(#[$doc:meta])+ $name:ident = $path:literal),+ $(,)?) => {
            $($(#[$doc])+ pub fn $name() -> RootPath { RootPath::own($path) })+
        };
    }

    fixed! {
        /// Immutable trees.
        components = "components",
        /// Generations by number.
        generations = "generations",
        /// Manifests and signatures by digest.
        pack_records = "records/packs",
        /// Indexes by component and tree.
        component_records = "records/components",
        /// What came before the final names.
        staging = "staging",
        /// Pointer, journal, lock, trust, receipts.
        state = "state",
        /// The pointer.
        pointer = "state/current.json",
        /// The install id.
        install = "state/install.json",
        /// The journal.
        journal = "state/journal",
        /// The lock.
        lock = "state/lock",
        /// Who holds the lock.
        holder = "state/holder.json",
        /// Pinned roots and floors.
        trust = "state/trust",
        /// Sequence floors and newest signed time.
        floors = "state/trust/floors.json",
        /// Receipts.
        receipts = "state/receipts",
    }

    /// `components/<dir>`, where `dir` is [`super::Layout::component_dir_name`] or an entry of that directory.
    pub fn component(dir: &str) -> RootPath {
        RootPath::own(format!("components/{dir}"))
    }

    /// `generations/<n>`.
    pub fn generation(id: u64) -> RootPath {
        RootPath::own(format!("generations/{id}"))
    }

    /// `generations/<n>/record.json`.
    pub fn generation_record(id: u64) -> RootPath {
        RootPath::own(format!("generations/{id}/record.json"))
    }

    /// `generations/<n>/bad.json`.
    pub fn generation_bad_mark(id: u64) -> RootPath {
        RootPath::own(format!("generations/{id}/bad.json"))
    }

    /// `generations/<n>/pin.json`.
    pub fn generation_pin(id: u64) -> RootPath {
        RootPath::own(format!("generations/{id}/pin.json"))
    }

    /// `backups/<txid>`.
    pub fn backup(txid: &str) -> RootPath {
        RootPath::own(format!("backups/{txid}"))
    }

    /// `state/receipts.gone`: the receipts of a root that is being dissolved.
    pub fn receipts_gone() -> RootPath {
        RootPath::own("state/receipts.gone")
    }

    /// `backups/journal`, `backups/journal.1` and so on: where journals go that are set aside.
    pub fn journals_aside() -> impl Iterator<Item = RootPath> {
        let more = (1..).map(|n: u32| RootPath::own(format!("backups/journal.{n}")));
        std::iter::once(RootPath::own("backups/journal")).chain(more)
    }

    /// `records/packs/<digest>`.
    pub fn pack_record(manifest: &Digest) -> RootPath {
        RootPath::own(format!("records/packs/{manifest}"))
    }

    /// `records/packs/<digest>/manifest.kbx.json`.
    pub fn manifest(manifest: &Digest) -> RootPath {
        RootPath::own(format!("records/packs/{manifest}/manifest.kbx.json"))
    }

    /// File name of the recorded index of the tree `components/<dir>`: one of its own for each tree, as versions may share
    /// their files, but not what a transaction takes back.
    pub fn index_name(dir: &str) -> String {
        format!("{dir}.idx.zst")
    }

    /// `records/components/<dir>.idx.zst`.
    pub fn component_index(dir: &str) -> RootPath {
        RootPath::own(format!("records/components/{}", index_name(dir)))
    }

    /// `staging/<txid>`.
    pub fn staged(txid: &str) -> RootPath {
        RootPath::own(format!("staging/{txid}"))
    }

    /// `state/receipts/<txid>.json`.
    pub fn receipt(txid: &str) -> RootPath {
        RootPath::own(format!("state/receipts/{txid}.json"))
    }

    /// `state/trust/<root16>`.
    pub fn publisher(root16: &str) -> RootPath {
        RootPath::own(format!("state/trust/{root16}"))
    }

    /// `state/trust/<root16>/<version>.root.json`.
    pub fn root_document(root16: &str, version: u64) -> RootPath {
        RootPath::own(format!("state/trust/{root16}/{version}.root.json"))
    }

    /// `kojibox` or `kojibox.exe`: the front door.
    pub fn front_door() -> RootPath {
        RootPath::own(format!("kojibox{}", std::env::consts::EXE_SUFFIX))
    }
}
