//! Owns [`Aside`]: what is in the way and may be a person's, moved to `backups/<txid>`, never deleted.

use std::collections::BTreeSet;

use super::Steps;
use crate::{
    error::StateError,
    layout::place,
    path::RootPath,
    store::{compose, unless_absent},
};

/// What was moved to `backups/<txid>`.
#[derive(Debug, Default)]
pub struct Aside {
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
    pub fn take(&mut self, steps: &Steps<'_>, path: &RootPath) -> Result<(), StateError> {
        let mut to = place::backup(steps.begin.txid()).join(path.as_str())?;
        for n in 1.. {
            if !steps.root.dir().exists(&to)? {
                break;
            }
            to = place::backup(steps.begin.txid()).join(&format!("{path}.{n}"))?;
        }
        let mut above = to.parent();
        if let Some(parent) = &above {
            compose::create_dirs(steps.store, parent)?;
        }
        while let Some(dir) = above {
            above = dir.parent();
            if !self.durable.contains(&dir) {
                steps.store.sync_dir(&dir)?;
                self.durable.insert(dir);
            }
        }
        steps.store.rename(path, &to)?;
        self.moved.push(path.to_string());
        Ok(())
    }

    /// Makes the moves durable (with either of their directories) and gives what was moved, as paths in the root.
    pub fn settle(self, steps: &Steps<'_>) -> Result<Vec<String>, StateError> {
        let top = place::backup(steps.begin.txid());
        unless_absent(steps.store.sync_tree(&top))?;
        if steps.root.dir().exists(&top)? {
            steps.sync_names(&top.parent().unwrap_or(RootPath::ROOT))?;
        }
        Ok(self.moved)
    }
}
