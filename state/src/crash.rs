//! Owns the names of the crash points: the moments of a transaction at which a test may stop the process.
//!
//! Source: state/TRANSACTIONS.md, one row per point.

use std::{fmt, str::FromStr};

macro_rules! crash_points {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal),+ $(,)?) => {
        /// A moment of a transaction, by name. Everything between two points is covered by counting mutations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum CrashPoint { $($(#[$doc])+ $variant),+ }

        impl CrashPoint {
            /// Every point, in the order of a transaction.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name, as tables and command lines write it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

crash_points! {
    /// The install root has its id; nothing else is in it.
    RootMade = "root-made",
    /// BEGIN is in the journal; nothing is staged.
    Begun = "begun",
    /// A component tree is whole in staging, not yet durable.
    TreeStaged = "tree-staged",
    /// All trees and records are in staging and durable; none has its final name.
    Durable = "durable",
    /// Some trees and records have their final names, others not.
    Publishing = "publishing",
    /// Everything has its final name and the directories are synced; the journal does not say so yet.
    Published = "published",
    /// STAGED is in the journal.
    Staged = "staged",
    /// The services are stopped, and STOPPED is in the journal.
    Stopped = "stopped",
    /// The pointer is replaced: the commit.
    Committed = "committed",
    /// The gate failed and RETURN is in the journal; the pointer still names the new generation.
    ReturnDecided = "return-decided",
    /// The pointer names the old generation again; services are not started yet.
    Returned = "returned",
    /// The gate passed and the pointer says `confirmed`; the journal does not say DONE yet.
    Confirmed = "confirmed",
    /// DONE, with the receipt, is in the journal; the receipt has no file yet.
    Done = "done",
    /// The receipt has its file; the front door may be old; the journal is not empty yet.
    Receipted = "receipted",
    /// Prune or uninstall: what is dead has left its place and lies in staging.
    Doomed = "doomed",
    /// Repair: everything that was staged is in its place, and what was in the way lies in `backups/`.
    Repaired = "repaired",
    /// Repair: the pointer is what the receipts say.
    Pointed = "pointed",
    /// A journal that is damaged lies in `backups/`.
    JournalAside = "journal-aside",
    /// A generation was pinned or let go.
    Pinned = "pinned",
}

impl fmt::Display for CrashPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text names no crash point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a crash point; see state/TRANSACTIONS.md")]
pub struct CrashPointError(String);

impl FromStr for CrashPoint {
    type Err = CrashPointError;

    fn from_str(s: &str) -> Result<Self, CrashPointError> {
        let found = Self::ALL.iter().find(|p| p.name() == s);
        found.copied().ok_or_else(|| CrashPointError(s.to_owned()))
    }
}
