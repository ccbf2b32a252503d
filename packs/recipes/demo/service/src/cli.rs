//! Owns the command line of the guest book: `init`, `serve`, `migrate`.

use std::{
    error::Error,
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{
    book::{Book, Format},
    config::Config,
    http,
    migrate::migrate,
};

/// Keep a guest book and serve it to the browsers of this machine
#[derive(Debug, Parser)]
#[command(name = "guestbook")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make an empty guest book in DIR
    Init {
        /// Directory for the database; made if it is not there
        dir: PathBuf,
    },
    /// Serve the guest book until TERM or Ctrl-C
    Serve(Serve),
    /// Make a guest book of this version's format in NEW from the previous format's in OLD, which is only read
    Migrate {
        /// Directory of the previous format
        old: PathBuf,
        /// Directory for this version's format; made if it is not there
        new: PathBuf,
    },
}

/// Where `serve` finds everything.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Configuration file (TOML: `port`, `title`)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Directory of the database
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Directory of the pages
    #[arg(long, value_name = "DIR")]
    pub(crate) pages: PathBuf,
    /// File with the key that may delete notes
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_key_file: PathBuf,
}

/// Reads the arguments and does what they ask.
pub(crate) fn run(version: &'static str, format: Format) -> Result<(), Box<dyn Error>> {
    let matches = Cli::command()
        .version(version)
        .get_matches_from(std::env::args_os().collect::<Vec<OsString>>());
    match Cli::from_arg_matches(&matches)?.command {
        Command::Init { dir } => init(&dir, format)?,
        Command::Serve(serve) => {
            let config = Config::read(&serve.config)?;
            http::serve(version, format, &serve, config)?;
        }
        Command::Migrate { old, new } => {
            let notes = migrate(&old, &new, format)?;
            say(&format!(
                "Moved {notes} notes to format {format} in `{}`.",
                new.display()
            ))?;
        }
    }
    Ok(())
}

fn init(dir: &Path, format: Format) -> Result<(), Box<dyn Error>> {
    drop(Book::create(dir, format)?);
    say(&format!(
        "Made an empty guest book of format {format} in `{}`.",
        dir.display()
    ))?;
    Ok(())
}

/// Writes one line to stdout.
pub(crate) fn say(line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout().lock(), "{line}")
}
