//! Owns [`Aside`]: what is in the way and may be a person's, moved to `backups/<txid>`, never deleted.

use std::collections::BTreeSet;

use kojibox_state::{
    RootPath,
    layout::place,
    store::{compose, unless_absent},
};

use super::{error::Cause, tx::Tx, undo::sync_names};

/// What was moved to `backups/<txid>`.
#[derive(Default)]
pub(super) struct Aside {
    /// Where it was, as paths in the root.
    moved: Vec<String>,
    /// Directories whose names are certain to be there.
    durable: BTreeSet<RootPath>,
}

impl Aside {
    /// Moves what is at `path` to the same place below `backups/<txid>`; to one beside it, if an attempt that was stopped
    /// has moved something there and it is here again.
    ///
    /// Crash: it is at one of the two places, because the directory that takes it is durable before.
    pub(super) fn take(&mut self, tx: &Tx<'_>, path: &RootPath) -> Result<(), Cause> {
        let mut to = place::backup(tx.begin.txid()).join(path.as_str())?;
        for n in 1.. {
            if !tx.root.dir().exists(&to)? {
                break;
            }
            to = place::backup(tx.begin.txid()).join(&format!("{path}.{n}"))?;
        }
        let mut above = to.parent();
        if let Some(parent) = &above {
            compose::create_dirs(tx.store, parent)?;
        }
        while let Some(dir) = above {
            above = dir.parent();
            if !self.durable.contains(&dir) {
                tx.store.sync_dir(&dir)?;
                self.durable.insert(dir);
            }
        }
        tx.store.rename(path, &to)?;
        self.moved.push(path.to_string());
        Ok(())
    }

    /// Makes the moves durable (with either of their directories) and gives what was moved, as paths in the root.
    pub(super) fn settle(self, tx: &Tx<'_>) -> Result<Vec<String>, Cause> {
        let top = place::backup(tx.begin.txid());
        unless_absent(tx.store.sync_tree(&top))?;
        if tx.root.dir().exists(&top)? {
            sync_names(tx, &top.parent().unwrap_or(RootPath::ROOT))?;
        }
        Ok(self.moved)
    }
}
