//! Owns the step between "whole in staging" and "has its final name": durable first, then renames, then the directories.

use kojibox_signing::Digest;

use super::{Aside, Steps};
use crate::{
    crash::CrashPoint,
    doc::Versioned as _,
    error::StateError,
    layout::place,
    path::RootPath,
    records::GenerationRecord,
    store::{FileMode, compose},
};

/// A manifest and its signatures as they will lie in `records/packs/<digest>/`.
#[derive(Clone, Copy, Debug)]
pub struct NewPack<'a> {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Its bytes.
    pub manifest: &'a [u8],
    /// Detached signatures by file name.
    pub signatures: &'a [(String, Vec<u8>)],
}

impl Steps<'_> {
    /// Moves what lies at a final name and belongs to no generation out of the way: trees may hold what a person has changed,
    /// so they go to `backups/<txid>`; records are ours, or of a damaged past. Gives what a person should know.
    ///
    /// Before anything is staged, and durable: what an undo finds at a final name later was put there by this transaction.
    pub fn clear_places(&self) -> Result<Vec<String>, StateError> {
        let fresh = &self.begin.fresh;
        let (mut notes, mut aside) = (Vec::new(), Aside::default());
        for dir in &fresh.components {
            let path = place::component(dir);
            if self.root.dir().exists(&path)? {
                aside.take(self, &path)?;
            }
        }
        let backup = place::backup(self.begin.txid());
        for path in aside.settle(self)? {
            notes.push(format!(
                "`{path}` belonged to no generation and was moved to `{backup}`"
            ));
        }
        let packs = fresh.packs.iter().map(|digest| Ok(place::pack_record(digest)));
        let indexes = fresh.indexes.iter().map(|name| place::component_records().join(name));
        for (n, path) in packs.chain(indexes).enumerate() {
            let path = path?;
            if self.root.dir().exists(&path)? {
                let dead = self.staged("dead")?;
                compose::create_dirs(self.store, &dead)?;
                self.store.rename(&path, &dead.join(&n.to_string())?)?;
                notes.push(format!("the record `{path}` belonged to no generation and was removed"));
            }
        }
        self.sync_names(&place::components())?;
        Ok(notes)
    }

    /// Writes manifest and signatures into staging.
    pub fn stage_pack(&self, pack: &NewPack<'_>) -> Result<(), StateError> {
        let dir = self.staged("packs")?.join(&pack.digest.to_string())?;
        let signatures = dir.join("signatures")?;
        compose::create_dirs(self.store, &signatures)?;
        self.write(&dir.join("manifest.kbx.json")?, pack.manifest)?;
        for (name, bytes) in pack.signatures {
            self.write(&signatures.join(name)?, bytes)?;
        }
        Ok(())
    }

    /// Writes a compressed index into staging.
    pub fn stage_index(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let dir = self.staged("indexes")?;
        compose::create_dirs(self.store, &dir)?;
        self.write(&dir.join(name)?, bytes)
    }

    /// Writes the record of the new generation into staging; the last thing that gets there.
    pub fn stage_generation(&self, record: &GenerationRecord) -> Result<(), StateError> {
        let dir = self.staged("generation")?;
        compose::create_dirs(self.store, &dir)?;
        self.write(&dir.join("record.json")?, &record.to_bytes())
    }

    /// Writes a file that is never changed again.
    pub fn write(&self, path: &RootPath, bytes: &[u8]) -> Result<(), StateError> {
        let mut file = self.store.create_file(path)?;
        file.write(bytes)?;
        Ok(file.finish(FileMode::ReadOnly)?)
    }

    /// Makes the staging directory durable, before anything of it gets a final name.
    pub fn make_durable(&self) -> Result<(), StateError> {
        // An undo asks staging what was published, so staging must be certain to be there.
        self.store.sync_dir(&place::staging())?;
        self.store.sync_tree(&self.staging())?;
        Ok(self.store.reach(CrashPoint::Durable)?)
    }

    /// Gives everything in staging its final name; STAGED goes into the journal after it. `moved` is told of every tree.
    ///
    /// Crash: before STAGED, recovery takes everything back ([`Steps::undo`]). A generation gets its name only after the
    /// names of all it consists of are durable.
    pub fn publish(&self, moved: &mut dyn FnMut()) -> Result<(), StateError> {
        let fresh = &self.begin.fresh;
        self.make_places()?;
        for dir in &fresh.components {
            self.store
                .rename(&self.staged("trees")?.join(dir)?, &place::component(dir))?;
            self.store.reach(CrashPoint::Publishing)?;
            moved();
        }
        for digest in &fresh.packs {
            let from = self.staged("packs")?.join(&digest.to_string())?;
            self.store.rename(&from, &place::pack_record(digest))?;
        }
        for name in &fresh.indexes {
            let to = place::component_records().join(name)?;
            self.store.rename(&self.staged("indexes")?.join(name)?, &to)?;
        }
        for dir in [place::components(), place::pack_records(), place::component_records()] {
            self.store.sync_dir(&dir)?;
        }
        for id in &fresh.generations {
            self.store
                .rename(&self.staged("generation")?, &place::generation(*id))?;
        }
        self.store.sync_dir(&place::generations())?;
        Ok(self.store.reach(CrashPoint::Published)?)
    }

    /// The directories that hold everything, made by the first transaction.
    fn make_places(&self) -> Result<(), StateError> {
        for dir in [
            place::components(),
            place::pack_records(),
            place::component_records(),
            place::generations(),
        ] {
            compose::create_dirs(self.store, &dir)?;
        }
        // Also where they are there already: an attempt that was stopped may have made them a moment ago.
        self.store
            .sync_dir(&place::pack_records().parent().unwrap_or(RootPath::ROOT))?;
        Ok(self.store.sync_dir(&RootPath::ROOT)?)
    }
}
