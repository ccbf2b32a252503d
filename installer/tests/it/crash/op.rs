//! The transactions that the matrix walks: what is there before each, what may be there after a stop, what is there at its end.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{Arc, OnceLock},
};

use kojibox_installer::{
    plan::PlannedPack,
    transaction::{
        Cause, PruneOptions, RepairOptions, RollbackOptions, TxError, UninstallOptions, install, prune, repair,
        rollback, uninstall, verify,
    },
};
use kojibox_packs::source::BlobSource;
use kojibox_state::{InstallRoot, LockedRoot, layout::place, records::LAUNCHER};
use tempfile::TempDir;

use crate::{
    reference::{active_release, check_at_rest, check_finished, check_generations, check_whole, give_data},
    rig::{CREATED, FakeGate, NO_WAIT, Stick, Tree, World, app, fast_dir, holder, launcher, plan, same, snapshot, web},
};

/// Packs of releases 1 to 3, another pack, and how many workers read them.
pub(super) struct Kit {
    _stick: Stick,
    packs: Vec<PlannedPack>,
    second: PlannedPack,
    threads: usize,
}

impl Kit {
    /// Builds the packs of releases 1 to 3 on `stick`.
    pub(super) fn new(stick: Stick, trees: impl Fn(u8) -> Vec<Tree>, threads: usize) -> Self {
        let packs = (1..=3).map(|n| stick.pack(n, &trees(n))).collect();
        let second = stick.pack_called("second", 1, &[same(3)]);
        Self {
            _stick: stick,
            packs,
            second,
            threads,
        }
    }

    /// The same packs, read in another way.
    pub(super) fn reading(mut self, source: impl Fn(Arc<dyn BlobSource>) -> Arc<dyn BlobSource>) -> Self {
        for pack in self.packs.iter_mut().chain([&mut self.second]) {
            pack.source = pack.source.take().map(&source);
        }
        self
    }
}

/// Small packs for one worker, built once.
pub(super) fn kit() -> &'static Kit {
    static KIT: OnceLock<Kit> = OnceLock::new();
    KIT.get_or_init(|| Kit::new(Stick::new(), |n| vec![app(n), same(n), web(), launcher(n)], 1))
}

/// A transaction of the matrix. A new one is a variant here, a line in each method, and a line of `matrix!`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Install,
    InstallBroken,
    Update,
    UpdateBroken,
    UpdateAndInstall,
    Rollback,
    Prune,
    Uninstall,
    Purge,
    Repair,
}

impl Op {
    /// Every one.
    pub(super) const ALL: &'static [Self] = &[
        Self::Install,
        Self::InstallBroken,
        Self::Update,
        Self::UpdateBroken,
        Self::UpdateAndInstall,
        Self::Rollback,
        Self::Prune,
        Self::Uninstall,
        Self::Purge,
        Self::Repair,
    ];

    /// Its gate refuses what it installs.
    pub(super) fn is_broken(self) -> bool {
        matches!(self, Self::InstallBroken | Self::UpdateBroken)
    }

    /// Releases that were installed before it.
    fn history(self) -> &'static [u8] {
        match self {
            Self::Install | Self::InstallBroken => &[],
            Self::Update | Self::UpdateBroken | Self::UpdateAndInstall | Self::Uninstall | Self::Purge => &[1],
            Self::Rollback | Self::Repair => &[1, 2],
            Self::Prune => &[1, 2, 3],
        }
    }

    /// What is active before, and what after it ran through.
    pub(super) fn ends(self) -> (Option<u8>, Option<u8>) {
        match self {
            Self::Install => (None, Some(1)),
            Self::InstallBroken => (None, None),
            Self::Update | Self::UpdateAndInstall => (Some(1), Some(2)),
            Self::UpdateBroken => (Some(1), Some(1)),
            Self::Rollback => (Some(2), Some(1)),
            Self::Prune => (Some(3), Some(3)),
            Self::Uninstall | Self::Purge => (Some(1), None),
            Self::Repair => (Some(2), Some(2)),
        }
    }

    /// What may be active after a stop anywhere and a recovery.
    pub(super) fn may_be_active(self) -> BTreeSet<Option<u8>> {
        let (before, after) = self.ends();
        let committed = match self {
            Self::InstallBroken => Some(1),
            Self::UpdateBroken => Some(2),
            _ => after,
        };
        [before, after, committed].into()
    }

    pub(super) fn world(self) -> World {
        match self {
            Self::InstallBroken => World::with(FakeGate::refusing(1)),
            Self::UpdateBroken => World::with(FakeGate::refusing(2)),
            _ => World::new(),
        }
    }

    /// A root just before it.
    pub(super) fn before(self, kit: &Kit) -> TempDir {
        let dir = fast_dir();
        let root = dir.path().join("root");
        let world = World::new();
        let mut locked = LockedRoot::open_or_create(&root, CREATED, &holder(), NO_WAIT).unwrap();
        for n in self.history() {
            let pack = &kit.packs[usize::from(*n) - 1];
            install(&mut locked, &plan(pack), &world.env()).unwrap();
        }
        drop(locked);
        give_data(&root);
        if self == Self::Repair {
            damage(&root);
        }
        if self == Self::Purge {
            // Something of a person, so that the root stays and can be looked at.
            fs::write(root.join("notes.txt"), "mine").unwrap();
            fs::create_dir_all(root.join("run/app")).unwrap();
        }
        dir
    }

    /// Runs it.
    pub(super) fn run(self, kit: &Kit, mut locked: LockedRoot) -> Result<(), TxError> {
        let world = World {
            threads: kit.threads,
            ..self.world()
        };
        let env = world.env();
        let command = "test".to_owned();
        match self {
            Self::Install | Self::InstallBroken => install(&mut locked, &plan(&kit.packs[0]), &env).map(drop),
            Self::Update | Self::UpdateBroken => install(&mut locked, &plan(&kit.packs[1]), &env).map(drop),
            Self::UpdateAndInstall => {
                let mut both = plan(&kit.packs[1]);
                both.packs.push(kit.second.clone());
                install(&mut locked, &both, &env).map(drop)
            }
            Self::Rollback => {
                let options = RollbackOptions {
                    command,
                    to: Some(1),
                    ..RollbackOptions::default()
                };
                rollback(&mut locked, &options, &env).map(drop)
            }
            Self::Prune => prune(&mut locked, &PruneOptions { command, keep: 1 }, &env).map(drop),
            Self::Repair => {
                let options = RepairOptions {
                    command,
                    remove_extra: true,
                    dry_run: false,
                };
                let source = kit.packs[1].source.clone().expect("packs of the matrix have a source");
                let done = repair(&mut locked, &[source], &options, &env)?;
                assert!(done.lacking.is_empty(), "{done:?}");
                Ok(())
            }
            Self::Uninstall | Self::Purge => {
                let purge_data = self == Self::Purge;
                uninstall(locked, &UninstallOptions { command, purge_data }, &env).map(drop)
            }
        }
    }

    /// What must hold after a recovery; before a repair is through, no damage but what there was.
    pub(super) fn check_at_rest(self, root: &Path, at: &str) {
        match self {
            Self::Repair => check_damage(root, at),
            Self::Purge => check_purged(root, at, check_at_rest),
            _ => check_at_rest(root, at),
        }
    }

    /// The same after a refusal, which may have left something dead.
    pub(super) fn check_whole(self, root: &Path, at: &str) {
        match self {
            Self::Repair => check_damage(root, at),
            Self::Purge => check_purged(root, at, check_whole),
            _ => check_whole(root, at),
        }
    }

    /// What must hold at its end, and of a repair too.
    pub(super) fn check_finished(self, root: &Path, release: Option<u8>, at: &str) {
        match self {
            Self::Purge => check_purged(root, at, |root, at| check_finished(root, release, at)),
            _ => check_finished(root, release, at),
        }
    }

    /// The generations alone.
    pub(super) fn check_generations(self, root: &Path, at: &str) {
        if self != Self::Repair {
            check_generations(root, at);
        }
    }

    /// Runs it to its end on a healthy file system; what is done already counts as done. Returns what must be active.
    pub(super) fn complete(self, kit: &Kit, root: &Path, at: &str) -> Option<u8> {
        let was = active_release(root);
        let locked = LockedRoot::open(root, &holder(), NO_WAIT).unwrap();
        let broken = self.is_broken();
        match self.run(kit, locked) {
            Ok(()) => assert!(!broken, "{at}: the gate must refuse"),
            Err(error) => {
                let expected = match error.cause() {
                    Cause::NotReady { .. } => broken,
                    Cause::AlreadyActive(1) => self == Self::Rollback,
                    _ => false,
                };
                assert!(expected, "{at}: {error:?}");
            }
        }
        // A first generation whose gate never came to a verdict stays the one to return to: it may have run since.
        let unproven = self == Self::InstallBroken && was == Some(1);
        if unproven { was } else { self.ends().1 }
    }
}

/// Data may be gone, and only that is another rule than for the others; what is not gone is as it was.
fn check_purged(root: &Path, at: &str, check: impl Fn(&Path, &str)) {
    if !root.join("data/app/default/table").exists() {
        give_data(root);
    }
    check(root, at);
}

/// Damages both generations of a root in every way that a repair knows.
fn damage(root: &Path) {
    let opened = InstallRoot::open(root).unwrap();
    let record = opened.current().unwrap().unwrap();
    let known = |id: &str| id == "app" || id == "same" || id == LAUNCHER;
    let app = record.components.iter().find(|c| c.id == "app").unwrap();
    let other = record.components.iter().find(|c| !known(&c.id)).unwrap();
    let [app, whole] = [app, other].map(|c| place::component(&c.dir).below(root));
    fs::remove_file(app.join("lib/changes.bin")).unwrap();
    fs::write(app.join("lib/changes.bin"), "changed").unwrap();
    fs::remove_file(app.join("only-in-2.txt")).unwrap();
    fs::create_dir(app.join("only-in-2.txt")).unwrap();
    fs::remove_dir(app.join("var")).unwrap();
    fs::write(app.join("extra"), "a person's").unwrap();
    fs::remove_dir_all(whole).unwrap();
    fs::remove_file(opened.layout().component_index(&other.dir)).unwrap();
}

/// A repair has damaged nothing, and has not lost what is a person's.
fn check_damage(root: &Path, at: &str) {
    let opened = InstallRoot::open(root).unwrap();
    assert!(!opened.recovery_needed().unwrap(), "{at}: nothing is left to recover");
    opened.history().unwrap_or_else(|error| panic!("{at}: {error}"));
    let seen = verify(&opened, None, &World::new().env()).unwrap();
    // A tree that was missing as a whole may be there in part.
    let known = ["", "extra", "index.html", "lib/changes.bin", "only-in-2.txt", "var"];
    let new = seen.findings.iter().find(|f| !known.contains(&f.path.as_str()));
    assert_eq!(new, None, "{at}: a repair damages nothing");
    let mut files = snapshot(root).into_values().flatten();
    assert!(
        files.any(|bytes| bytes == b"a person's"),
        "{at}: what is not ours is never lost"
    );
}
