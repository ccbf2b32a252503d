//! Owns the command line: names, flags and their help.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use kojibox_console::OutputArgs;

/// Starts, watches and stops the services of an installed tree
#[derive(Debug, Parser)]
#[command(version = crate::version::version(), disable_help_subcommand = true)]
pub struct Args {
    /// The installed tree; default: `KOJIBOX_ROOT`, then where this program is
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Answer with one JSON document on stdout (one object per line for streams)
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start services and wait until they are ready; exit 40 if one is not
    Up {
        /// Services; default: all but those that their pack says are started by name only
        services: Vec<String>,
    },
    /// Stop services and wait until nothing of them is left; without names, everything
    Down {
        /// Services; default: all, and the launcher itself
        services: Vec<String>,
    },
    /// Stop services and start them anew
    Restart {
        /// Services
        #[arg(required = true)]
        services: Vec<String>,
    },
    /// Show what runs, what waits and why
    Status {
        /// Go on showing every change
        #[arg(long)]
        watch: bool,
    },
    /// Show what services wrote
    Logs(Logs),
    /// Run a command with the programs of the install first in `PATH`
    Exec {
        /// The command and its arguments, after `--`
        #[arg(
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true,
            value_name = "CMD"
        )]
        command: Vec<String>,
    },
    /// Print what `exec` adds to the environment, to be read by a shell
    Env {
        /// Shell the lines are for
        #[arg(long, value_enum, default_value_t = Shell::Sh)]
        shell: Shell,
    },
    /// Show the ports of the services
    Ports,
    /// List or show the generated passwords
    Secrets {
        #[command(subcommand)]
        command: Secrets,
    },
    /// Look for what could keep services from running; exit 40 if something does
    Doctor,
    /// Install the newest launcher of a source; services go on running. Exit 50 if there is none
    SelfUpdate(SelfUpdate),
    /// Check that this program works where it is
    SelfCheck,
    /// Serve an installed tree (started by the other commands)
    #[command(hide = true)]
    Daemon,
    /// Run one service (started by the daemon)
    #[command(hide = true)]
    Shim,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// List their names
    List,
    /// Print one value
    Show {
        /// Its name
        name: String,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct SelfUpdate {
    /// A depot directory (a stick) or a `.kpack` file
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) source: PathBuf,
    /// Only look; exit 10 if there is a newer one
    #[arg(long)]
    pub(crate) check: bool,
    /// Try a launcher again that did not work here before
    #[arg(long)]
    pub(crate) retry_refused: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Services; default: all
    pub(crate) services: Vec<String>,
    /// Go on showing what is written
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only what is younger, such as `10m` or `1h`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<kojibox_packs::manifest::Span>,
    /// Only lines that match this regular expression
    #[arg(long, value_name = "RE")]
    pub(crate) grep: Option<regex_lite::Regex>,
    /// Only lines of at least this level, as JSON lines say it or as it is guessed: `debug`, `info`, `warn` or `error`
    #[arg(long, value_name = "L")]
    pub(crate) level: Option<kojibox_supervisor::level::Level>,
    /// Write the records to this file, one JSON object per line
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
    pub(crate) export: Option<PathBuf>,
}

/// Shells whose words we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Shell {
    Sh,
    Fish,
    Powershell,
}
