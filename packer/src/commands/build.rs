//! Owns the command `build`: from a definition to signed packs in a depot.

mod run;
mod sign;
mod told;

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Ui};
use kojibox_packs::Target;

use super::sources::SourceArgs;
use crate::assemble::{Effort, Preset};
pub(crate) use run::{Watch, own_folder};

/// Build packs and place them, signed, in a depot
///
/// The same lock gives the same bytes on any machine and with any number of threads. Without a lock one is made and written
/// beside the definition.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags of one command")]
pub struct Args {
    /// The definition
    #[arg(value_name = "STACK.toml")]
    stack: PathBuf,
    /// Build for this target only; may be repeated [default: all targets of the definition]
    #[arg(long, value_name = "TARGET")]
    target: Vec<Target>,
    /// Sign with this key, which the trust root gives the pack role; may be repeated
    #[arg(long, value_name = "FILE", required_unless_present = "unsigned")]
    key: Vec<PathBuf>,
    /// Sign later, with `sign`; nobody installs the pack before
    #[arg(long, conflicts_with = "key")]
    unsigned: bool,
    /// Trust root of the publisher; goes along with the pack
    #[arg(long, value_name = "ROOT.json")]
    trust: PathBuf,
    /// Depot that takes the packs; made if absent
    #[arg(long, value_name = "DIR")]
    depot: PathBuf,
    /// How hard to compress
    #[arg(long, value_enum, default_value_t, conflicts_with = "level")]
    preset: Preset,
    /// Compress at this level of zstd
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=22))]
    level: Option<i32>,
    /// Build exactly what the lock says; anything else is an error
    #[arg(long)]
    locked: bool,
    /// Build twice and compare every byte
    #[arg(long)]
    check: bool,
    /// Folder with the launchers that packs carry [default: the folder of this program]
    #[arg(long, value_name = "DIR")]
    tools: Option<PathBuf>,
    /// Build packs with services without a launcher
    #[arg(long)]
    without_launcher: bool,
    /// Threads that compress [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    #[command(flatten)]
    sources: SourceArgs,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        run::run(&self, ui)?;
        Ok(Exit::Done)
    }

    fn effort(&self) -> Effort {
        self.level.map_or_else(|| self.preset.into(), Effort::level)
    }

    fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or_else(all, usize::from)
    }
}
