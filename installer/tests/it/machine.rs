//! An install root, a stick, and verbs that use them.

use std::{fs, path::PathBuf, sync::Arc};

use kojibox_installer::{
    plan::{InstallPlan, PlannedPack},
    transaction::{Installed, PruneOptions, Pruned, RollbackOptions, RolledBack, TxError, install, prune, rollback},
};
use kojibox_state::{
    CrashPoint, InstallRoot, LockedRoot,
    layout::place,
    store::{Fault, FaultPlan, FaultStore, Faults},
};
use tempfile::TempDir;

use crate::{
    reference::give_data,
    rig::{CREATED, FakeGate, NO_WAIT, Stick, World, app, fast_dir, holder, launcher, plan, web},
};

/// A machine to try transactions on.
pub(crate) struct Machine {
    _dir: TempDir,
    pub(crate) root: PathBuf,
    pub(crate) stick: Stick,
    pub(crate) world: World,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self::with(FakeGate::default())
    }

    pub(crate) fn with(gate: FakeGate) -> Self {
        let dir = fast_dir();
        Self {
            root: dir.path().join("my root"),
            _dir: dir,
            stick: Stick::new(),
            world: World::with(gate),
        }
    }

    /// A machine on which these releases were installed one after the other.
    pub(crate) fn having(releases: &[u8]) -> Self {
        let machine = Self::new();
        for n in releases {
            machine.install(&machine.release(*n)).unwrap();
        }
        give_data(&machine.root);
        machine
    }

    pub(crate) fn release(&self, n: u8) -> PlannedPack {
        self.stick.pack(n, &[app(n), web(), launcher(n)])
    }

    pub(crate) fn locked(&self) -> LockedRoot {
        LockedRoot::open_or_create(&self.root, CREATED, &holder(), NO_WAIT).unwrap()
    }

    pub(crate) fn open(&self) -> InstallRoot {
        InstallRoot::open(&self.root).unwrap()
    }

    pub(crate) fn install(&self, pack: &PlannedPack) -> Result<Installed, TxError> {
        self.carry_out(&plan(pack))
    }

    pub(crate) fn carry_out(&self, plan: &InstallPlan) -> Result<Installed, TxError> {
        install(&mut self.locked(), plan, &self.world.env())
    }

    pub(crate) fn rollback(&self, to: Option<u64>, agreed: bool) -> Result<RolledBack, TxError> {
        let options = RollbackOptions {
            command: "rollback".to_owned(),
            to,
            restore_data: agreed,
            unsafe_revoked: agreed,
        };
        rollback(&mut self.locked(), &options, &self.world.env())
    }

    pub(crate) fn prune(&self, keep: usize) -> Pruned {
        let command = "prune".to_owned();
        prune(&mut self.locked(), &PruneOptions { command, keep }, &self.world.env()).unwrap()
    }

    /// The root, locked, with a store that is killed at its mutation `at`.
    pub(crate) fn killed_at(&self, at: u64) -> (LockedRoot, Arc<Faults>) {
        let kill = FaultPlan {
            at,
            fault: Fault::Kill,
            lasting: false,
        };
        let store = FaultStore::open(&self.root, Some(kill), false).unwrap();
        let faults = store.faults();
        let locked = LockedRoot::open_with(self.open(), Box::new(store), &holder(), NO_WAIT).unwrap();
        (locked, faults)
    }

    /// Runs `plan` with a store that `tune` prepares, and recovers if it was stopped.
    pub(crate) fn stopped(&self, plan: &InstallPlan, fault: Option<FaultPlan>, point: Option<CrashPoint>) -> u64 {
        drop(self.locked());
        let store = FaultStore::open(&self.root, fault, false).unwrap();
        let faults = store.faults();
        if let Some(point) = point {
            faults.stop_at(point);
        }
        let mut locked = LockedRoot::open_with(self.open(), Box::new(store), &holder(), NO_WAIT).unwrap();
        let ended = install(&mut locked, plan, &self.world.env());
        assert!(faults.is_dead() == ended.is_err(), "{ended:?}");
        faults.count()
    }

    /// The installed path of a file of the active generation.
    pub(crate) fn installed(&self, component: &str, file: &str) -> PathBuf {
        let record = self.open().current().unwrap().unwrap();
        let component = record.components.iter().find(|c| c.id == component).unwrap();
        place::component(&component.dir).join(file).unwrap().below(&self.root)
    }
}

/// Replaces the bytes of an installed file, as a person with the right to do so would.
pub(crate) fn overwrite(path: &PathBuf, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}
