//! Owns the command line: the commands, what all of them take, and the way from arguments to an exit code.

use std::{
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::{Parser, Subcommand};
use kojibox_console::{Exit, Outcome, OutputArgs, Report, Ui, cancelled, finish};
use serde::Serialize;

use crate::{
    commands::{
        doctor, history, install, pin, prune, recover, repair, rollback, status, trust, uninstall, update, verify,
        wizard,
    },
    flow::Session,
    interrupt,
    patient::{Unanswered, Watch},
    world::World,
};

/// Install, update and roll back packs from a stick, without network and without root
///
/// Without a command, a wizard leads through the installation.
#[derive(Debug, Parser)]
#[command(name = "kojibox-installer", disable_version_flag = true, infer_long_args = false)]
pub struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    /// Print one JSON document on stdout
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Print the version; with `--json` also the hash of this program without appended trust
    #[arg(short = 'V', long)]
    version: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Wizard(wizard::Args),
    Install(install::Args),
    Update(update::Args),
    Rollback(rollback::Args),
    Status(status::Args),
    History(history::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Recover(recover::Args),
    Prune(prune::Args),
    Pin(pin::Args),
    /// Let a generation go that was kept with `pin`: the next prune may remove it
    Unpin(pin::Args),
    Uninstall(uninstall::Args),
    Trust(trust::Args),
    Doctor(doctor::Args),
}

#[derive(Serialize)]
struct Program {
    name: &'static str,
    version: &'static str,
    sha256_without_trust: String,
}

impl Cli {
    /// Does what was asked for.
    pub fn run(self) -> ExitCode {
        let ui = Arc::new(Ui::new(&self.output, self.json));
        let cancel = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ui);
        let watch = Arc::new(Watch::new(Arc::clone(&cancel), move |text| told.note(text)));
        finish(&ui, |ui| {
            let world = World::look().map_err(|e| Report::new(Exit::Unexpected, e))?;
            interrupt::watch(&cancel).map_err(|e| Report::new(Exit::Unexpected, e))?;
            let session = Session {
                ui,
                world: &world,
                cancel: &cancel,
                watch: &watch,
            };
            let done = if self.version {
                version(&session)
            } else {
                dispatch(&session, self.command)
            };
            session.is_about_nothing();
            done.map_err(unless_cancelled)
        })
    }
}

/// A medium that was waited for until Ctrl-C has failed nobody: the command was cancelled.
fn unless_cancelled(report: Report) -> Report {
    if Unanswered::is_cause_of(report.error()) {
        return cancelled(report);
    }
    report
}

fn dispatch(session: &Session<'_>, command: Option<Command>) -> Outcome {
    match command {
        None => wizard::run(session, wizard::Args::default()),
        Some(Command::Wizard(args)) => wizard::run(session, args),
        Some(Command::Install(args)) => install::run(session, args),
        Some(Command::Update(args)) => update::run(session, args),
        Some(Command::Rollback(args)) => rollback::run(session, &args),
        Some(Command::Status(args)) => status::run(session, &args),
        Some(Command::History(args)) => history::run(session, &args),
        Some(Command::Verify(args)) => verify::run(session, &args),
        Some(Command::Repair(args)) => repair::run(session, &args),
        Some(Command::Recover(args)) => recover::run(session, &args),
        Some(Command::Prune(args)) => prune::run(session, &args),
        Some(Command::Pin(args)) => pin::run(session, &args, true),
        Some(Command::Unpin(args)) => pin::run(session, &args, false),
        Some(Command::Uninstall(args)) => uninstall::run(session, &args),
        Some(Command::Trust(args)) => trust::run(session, &args),
        Some(Command::Doctor(args)) => doctor::run(session, args),
    }
}

fn version(session: &Session<'_>) -> Outcome {
    let (name, version) = ("kojibox-installer", env!("CARGO_PKG_VERSION"));
    if session.ui.is_json() {
        let digest = session.world.program_digest();
        let sha256_without_trust = digest.map_err(|e| Report::new(Exit::FileSystem, e))?.to_string();
        session.ui.json(&Program {
            name,
            version,
            sha256_without_trust,
        });
    } else {
        session.ui.answer(&format!("{name} {version}"));
    }
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
