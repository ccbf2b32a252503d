//! Owns the command line of `kojibox-packer`: which commands there are and how they are reached.
//!
//! Source: the command line contract, `docs/cli.md`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kojibox_console::{Exit, Outcome, OutputArgs, Report, Ui};

use crate::{commands, interrupt};

/// Build signed packs of real services and lay them out on a stick
#[derive(Debug, Parser)]
#[command(name = "kojibox-packer", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    output: OutputArgs,
    /// Print one JSON document on stdout
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// One command; each is a file in `commands/`, plugged in here. `--json` is global: see [`Ui::is_json`].
#[derive(Debug, Subcommand)]
enum Command {
    Init(commands::init::Args),
    Check(commands::check::Args),
    Lock(commands::lock::Args),
    Fetch(commands::fetch::Args),
    Build(commands::build::Args),
    Inspect(commands::inspect::Args),
    Diff(commands::diff::Args),
    Verify(commands::verify::Args),
    Stick(commands::stick::Args),
    Export(commands::export::Args),
    Trust(commands::trust::Args),
    Key(commands::key::Args),
    Sign(commands::sign::Args),
    ExportMinisig(commands::export_minisig::Args),
}

impl Command {
    fn run(self, ui: &Ui) -> Outcome {
        match self {
            Self::Init(args) => args.run(ui),
            Self::Check(args) => args.run(ui),
            Self::Lock(args) => args.run(ui),
            Self::Fetch(args) => args.run(ui),
            Self::Build(args) => args.run(ui),
            Self::Inspect(args) => args.run(ui),
            Self::Diff(args) => args.run(ui),
            Self::Verify(args) => args.run(ui),
            Self::Stick(args) => args.run(ui),
            Self::Export(args) => args.run(ui),
            Self::Trust(args) => args.run(ui),
            Self::Key(args) => args.run(ui),
            Self::Sign(args) => args.run(ui),
            Self::ExportMinisig(args) => args.run(ui),
        }
    }
}

/// Reads the command line, runs the command and gives the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(&cli.output, cli.json);
    kojibox_console::finish(&ui, |ui| {
        interrupt::listen().map_err(|e| Report::new(Exit::Unexpected, e))?;
        match cli.command.run(ui) {
            // Whatever failed because of it, Ctrl-C is the reason. Who knows that says what the state is.
            Err(report) if interrupt::asked() && report.exit() != Exit::Cancelled => Err(interrupt::report()),
            outcome => outcome,
        }
    })
}
