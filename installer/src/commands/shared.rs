//! Owns what several commands take and do alike.

use std::path::{Path, PathBuf};

use kojibox_console::{Exit, Report};
use kojibox_state::{InstallRoot, SharedLock};

use crate::{
    flow::Session,
    report::{NOTHING_WRITTEN, StateReport},
    trust::Outside,
};

/// How long a reader waits for the one that writes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Where the packs are and whose they must be.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct SourceArgs {
    /// Depot (stick, share, directory) or `.kpack` file; may be repeated. Default: where this program lies
    #[arg(long, value_name = "DIR|FILE")]
    pub(crate) source: Vec<PathBuf>,
    /// The publisher's trust root, obtained in some other way than on the medium (a wrong one: exit 20)
    #[arg(long, value_name = "ROOT.json", conflicts_with = "fingerprint")]
    pub(crate) trust: Option<PathBuf>,
    /// Fingerprint of the publisher's trust root, as the publisher gave it to you
    #[arg(long, value_name = "SHA256:…", value_parser = fingerprint)]
    pub(crate) fingerprint: Option<String>,
    /// A site's countersignature; else looked for beside the manifest
    #[arg(long, value_name = "FILE")]
    pub(crate) approval: Vec<PathBuf>,
    /// Line of releases; default: that of the installed pack, else `stable`
    #[arg(long, value_name = "NAME")]
    pub(crate) channel: Option<String>,
    /// Count this machine's clock for expiry (an expired pack: exit 23)
    #[arg(long)]
    pub(crate) strict_time: bool,
}

impl SourceArgs {
    pub(crate) fn outside(&self) -> Outside {
        Outside {
            file: self.trust.clone(),
            fingerprint: self.fingerprint.clone(),
            embedded: Vec::new(),
        }
    }
}

/// How a change is made, and what a person says to it beforehand.
#[derive(Clone, Debug, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct ChangeArgs {
    /// Answer a question of a pack
    #[arg(long = "set", value_name = "ID=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Ask for a port of a service
    #[arg(long = "port", value_name = "SERVICE.PORT=NUMBER", value_parser = port)]
    pub(crate) ports: Vec<(String, u16)>,
    /// Let an older release replace a newer one; recorded
    #[arg(long)]
    pub(crate) allow_downgrade: bool,
    /// Start no service; the new generation counts as good at once
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Ask nothing; without any trust given a first install is refused (exit 20)
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Only show what would change
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// The install root of a command that needs one.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RootArgs {
    /// Install root
    #[arg(long, value_name = "DIR")]
    pub(crate) root: PathBuf,
}

impl RootArgs {
    pub(crate) fn path(&self, session: &Session<'_>) -> PathBuf {
        let root = session.world.absolute(&self.root);
        session.is_about(&root);
        root
    }
}

fn fingerprint(text: &str) -> Result<String, String> {
    let body = text.strip_prefix("SHA256:").filter(|b| b.len() == 43);
    let good = body.is_some_and(|b| b.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'+' || c == b'/'));
    if good {
        Ok(text.to_owned())
    } else {
        Err("expected `SHA256:` and 43 characters".to_owned())
    }
}

/// Reads `KEY=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected `KEY=VALUE`".to_owned()),
    }
}

/// Reads `service.port=NUMBER`.
fn port(text: &str) -> Result<(String, u16), String> {
    let (name, number) = pair(text)?;
    match number.parse() {
        Ok(number @ 1..) => Ok((name, number)),
        _ => Err("expected `SERVICE.PORT=NUMBER` with a number from 1 to 65535".to_owned()),
    }
}

/// Opens a root for reading, with the shared lock held until the end of the command.
pub(crate) fn open_shared(path: &Path) -> Result<(InstallRoot, SharedLock), Report> {
    let root = InstallRoot::open(path).map_err(StateReport)?;
    let lock = SharedLock::acquire(root.dir(), PATIENCE).map_err(StateReport)?;
    Ok((root, lock))
}

/// Says no to a question that nobody was asked, where `--yes` is missing.
pub(crate) fn confirm(session: &Session<'_>, yes: bool, question: &str) -> Result<(), Report> {
    let answered = || session.ui.confirm(question, false, "--yes");
    if yes || answered().map_err(|report| report.state(NOTHING_WRITTEN))? {
        return Ok(());
    }
    Err(kojibox_console::declined(NOTHING_WRITTEN))
}

/// `1 file`, `2 files`.
pub(crate) fn count(n: u64, what: &str) -> String {
    if n == 1 {
        format!("1 {what}")
    } else {
        format!("{n} {what}s")
    }
}

/// Exit code of a command that only reports: recovery comes before anything else.
pub(crate) fn after_reading(root: &InstallRoot) -> Result<Exit, Report> {
    let needed = root.recovery_needed().map_err(StateReport)?;
    Ok(if needed { Exit::RecoveryNeeded } else { Exit::Done })
}
