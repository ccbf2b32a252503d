//! Owns [`Op`]: the commands that are disturbed, what is there before each, and what may be active after it.

use std::fmt;

/// A command that changes an install root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    /// The first install.
    Install,
    /// To release 2.
    Update,
    /// To release 3, whose launcher says that it is not ready.
    UpdateBroken,
    /// From release 2 to 1.
    Rollback,
    /// Of release 1.
    Prune,
    /// Of release 1, of which some is damaged.
    Repair,
    /// Of release 1; data stays.
    Uninstall,
    /// The same, and data goes too.
    Purge,
    /// Of the launcher of release 1, by itself, to that of release 4.
    SelfUpdate,
    /// Of an update that was stopped while trees got their names.
    RecoverUndo,
    /// Of an update that was stopped after its commit.
    RecoverCommit,
    /// Of a self-update that was stopped while its tree and its records got their names.
    RecoverSelfUndo,
    /// Of a self-update that was stopped after its commit.
    RecoverSelfCommit,
    /// Of a release that was not ready, stopped after the return was decided.
    RecoverReturn,
    /// Of a prune that was stopped.
    RecoverPrune,
    /// Of a repair that was stopped while sound files took their places.
    RecoverRepair,
    /// Of an uninstall that was stopped.
    RecoverUninstall,
    /// Of one that was stopped while data went.
    RecoverPurge,
}

/// What is active: a release, or nothing; [`SELF_UPDATED`].
pub(crate) type Active = Option<u8>;

/// Release 1 with the launcher of release 4.
pub(crate) const SELF_UPDATED: u8 = 14;

impl Op {
    /// Every one.
    pub(crate) const ALL: [Self; 18] = [
        Self::Install,
        Self::Update,
        Self::UpdateBroken,
        Self::Rollback,
        Self::Prune,
        Self::Repair,
        Self::Uninstall,
        Self::Purge,
        Self::SelfUpdate,
        Self::RecoverUndo,
        Self::RecoverCommit,
        Self::RecoverSelfUndo,
        Self::RecoverSelfCommit,
        Self::RecoverReturn,
        Self::RecoverPrune,
        Self::RecoverRepair,
        Self::RecoverUninstall,
        Self::RecoverPurge,
    ];

    /// Releases that were installed before it.
    pub(crate) fn history(self) -> &'static [u8] {
        match self {
            Self::Install => &[],
            Self::Rollback | Self::Prune => &[1, 2],
            _ => &[1],
        }
    }

    /// For a recovery: the command that was stopped, and the call that it did not come to, by its name, a part of its
    /// arguments, and which of those it is.
    pub(crate) fn stopped(self) -> Option<(Self, &'static str, &'static str, usize)> {
        match self {
            Self::RecoverUndo => Some((Self::Update, "renameat2", "records/packs", 1)),
            Self::RecoverCommit => Some((Self::Update, "unlinkat", "current.json.new", 2)),
            Self::RecoverSelfUndo => Some((Self::SelfUpdate, "renameat2", "records/packs", 1)),
            Self::RecoverSelfCommit => Some((Self::SelfUpdate, "unlinkat", "current.json.new", 2)),
            Self::RecoverReturn => Some((Self::UpdateBroken, "unlinkat", "bad.json.new", 1)),
            Self::RecoverPrune => Some((Self::Prune, "renameat2", "tree-1.0.0", 1)),
            Self::RecoverRepair => Some((Self::Repair, "renameat", "big.bin", 1)),
            Self::RecoverUninstall => Some((Self::Uninstall, "unlinkat", "big.bin", 1)),
            Self::RecoverPurge => Some((Self::Purge, "unlinkat", "table", 1)),
            _ => None,
        }
    }

    /// The words of the command line, between the program and `--root`; `{n}` is the depot of release n.
    pub(crate) fn words(self) -> &'static [&'static str] {
        match self {
            Self::Install => &["install", "--yes", "--trust", "{trust}", "--source", "{1}"],
            Self::Update => &["update", "--yes", "--source", "{2}"],
            Self::UpdateBroken => &["update", "--yes", "--source", "{3}"],
            Self::Rollback => &["rollback", "--yes", "--to", "1"],
            Self::Prune => &["prune", "--yes", "--keep", "1"],
            Self::Repair => &["repair", "--yes", "--remove-extra", "--source", "{1}"],
            Self::Uninstall => &["uninstall", "--yes"],
            Self::Purge => &["uninstall", "--yes", "--purge-data"],
            // What a disturbance let it take for a launcher that does not work is tried again.
            Self::SelfUpdate => &["self-update", "--retry-refused", "--source", "{4}"],
            _ => &["recover"],
        }
    }

    /// The program whose command it is.
    pub(crate) fn program(self) -> &'static str {
        if self == Self::SelfUpdate {
            "kojibox"
        } else {
            "kojibox-installer"
        }
    }

    /// What is active before it, and after it ran through.
    pub(crate) fn ends(self) -> (Active, Active) {
        match self {
            Self::Install => (None, Some(1)),
            Self::Update => (Some(1), Some(2)),
            Self::UpdateBroken | Self::RecoverUndo | Self::RecoverSelfUndo | Self::Repair | Self::RecoverRepair => {
                (Some(1), Some(1))
            }
            Self::SelfUpdate => (Some(1), Some(SELF_UPDATED)),
            Self::RecoverSelfCommit => (Some(SELF_UPDATED), Some(SELF_UPDATED)),
            Self::Rollback => (Some(2), Some(1)),
            Self::Prune | Self::RecoverPrune | Self::RecoverCommit => (Some(2), Some(2)),
            Self::Uninstall | Self::Purge => (Some(1), None),
            Self::RecoverReturn => (Some(3), Some(1)),
            Self::RecoverUninstall | Self::RecoverPurge => (None, None),
        }
    }

    /// What may be active after a stop anywhere and a recovery.
    pub(crate) fn may_be_active(self) -> Vec<Active> {
        let (before, after) = self.ends();
        match self {
            Self::UpdateBroken => vec![before, Some(3)],
            Self::RecoverReturn => vec![after],
            // A recovery decides by what is durable; a power cut may take the commit with it.
            _ => vec![before, after],
        }
    }

    /// Whether the trees are damaged before it.
    pub(crate) fn mends(self) -> bool {
        matches!(self, Self::Repair | Self::RecoverRepair)
    }

    /// Whether the services' data is meant to go.
    pub(crate) fn purges(self) -> bool {
        matches!(self, Self::Purge | Self::RecoverPurge)
    }

    /// The exit code of a run that nobody disturbs.
    pub(crate) fn code(self) -> i32 {
        if self == Self::UpdateBroken { 40 } else { 0 }
    }

    /// The exit codes of a run after a recovery: it may find that there is nothing left to do.
    pub(crate) fn codes_again(self) -> &'static [i32] {
        match self {
            Self::UpdateBroken => &[40, 50],
            _ => &[0, 50],
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
