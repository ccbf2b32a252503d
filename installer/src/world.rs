//! Owns the one look at the world outside: the program's own file, the home directory, the language, the clock.

use std::{
    env,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Component, Path, PathBuf},
    time::SystemTime,
};

use jiff::Timestamp;
use kojibox_console::quoted;
use kojibox_signing::{Digest, Hasher, UtcTime, embedded};
use kojibox_state::CrashPoint;

use crate::trust::TrustError;

/// What the commands know of the process they run in.
#[derive(Clone, Debug)]
pub(crate) struct World {
    /// This program.
    pub program: PathBuf,
    /// The same as it was typed.
    pub called: String,
    /// Home directory of the user, if there is one.
    pub home: Option<PathBuf>,
    /// Working directory.
    pub directory: PathBuf,
    /// Language that the system is set to, e.g. `id_ID.UTF-8`.
    pub language: String,
    /// The command line without its program, for the receipt.
    pub command: String,
    /// Where a test wants this process to die; see [`crash_point`].
    pub crash_at: Option<CrashPoint>,
}

/// The crash point that `KOJIBOX_CRASH_AT` names: in builds for tests only, never in one that is shipped.
fn crash_point() -> Option<CrashPoint> {
    if cfg!(any(debug_assertions, feature = "crash-points")) {
        env::var("KOJIBOX_CRASH_AT").ok()?.parse().ok()
    } else {
        None
    }
}

impl World {
    /// Looks once.
    pub(crate) fn look() -> io::Result<Self> {
        let text = |key: &str| env::var(key).ok().filter(|v| !v.is_empty());
        let arguments: Vec<_> = env::args_os()
            .skip(1)
            .map(|a| a.to_string_lossy().into_owned())
            .collect();
        Ok(Self {
            program: env::current_exe()?,
            called: quoted(Path::new(
                &env::args_os().next().unwrap_or_else(|| "kojibox-installer".into()),
            )),
            home: env::home_dir().filter(|home| home.is_absolute()),
            directory: env::current_dir()?,
            language: ["LC_ALL", "LC_MESSAGES", "LANG"]
                .into_iter()
                .find_map(text)
                .unwrap_or_default(),
            command: format!("kojibox-installer {}", arguments.join(" "))
                .trim_end()
                .to_owned(),
            crash_at: crash_point(),
        })
    }

    /// Makes `path` absolute, by its real place as far as it exists: a root inside a linked directory is compared with media.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        let joined = self.directory.join(path);
        let real = |above: &Path| Some((above.canonicalize().ok()?, joined.strip_prefix(above).ok()?));
        let Some((mut out, missing)) = joined.ancestors().find_map(real) else {
            return joined;
        };
        for part in missing.components() {
            match part {
                Component::ParentDir => drop(out.pop()),
                part => out.push(part),
            }
        }
        out
    }

    /// Reads a leading `~/` as a shell would.
    pub(crate) fn with_home(&self, typed: &str) -> PathBuf {
        match (typed.strip_prefix("~/"), &self.home) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(typed),
        }
    }

    /// Writes a place below the home directory as `~/…`, so that it means the same for another user.
    pub(crate) fn below_home(&self, path: &Path) -> PathBuf {
        let home = self
            .home
            .as_ref()
            .map(|home| home.canonicalize().unwrap_or_else(|_| home.clone()));
        match home.and_then(|home| path.strip_prefix(home).ok().map(Path::to_owned)) {
            Some(rest) => Path::new("~").join(rest),
            None => path.to_owned(),
        }
    }

    /// Where the wizard proposes to install.
    pub(crate) fn proposed_root(&self) -> PathBuf {
        self.home
            .clone()
            .unwrap_or_else(|| self.directory.clone())
            .join("kojibox")
    }

    /// `id` where the system speaks Indonesian, else `en`.
    pub(crate) fn proposed_language(&self) -> &'static str {
        if self.language.starts_with("id") { "id" } else { "en" }
    }

    /// Trust roots appended to this program when the stick was laid out.
    pub(crate) fn embedded_roots(&self) -> Result<Vec<Vec<u8>>, TrustError> {
        let tail = tail(&self.program).map_err(|source| TrustError::Read {
            path: self.program.clone(),
            source,
        })?;
        Ok(embedded::find(&tail).map_err(TrustError::Embedded)?.unwrap_or_default())
    }

    /// SHA-256 of this program without appended trust, as a publisher states it.
    pub(crate) fn program_digest(&self) -> io::Result<Digest> {
        let appended = embedded::len(&tail(&self.program)?).unwrap_or(0) as u64;
        let file = File::open(&self.program)?;
        let own = file.metadata()?.len().saturating_sub(appended);
        let mut hasher = Hasher::new();
        io::copy(&mut file.take(own), &mut hasher)?;
        Ok(hasher.finish())
    }
}

fn tail(program: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(program)?;
    let keep = file.metadata()?.len().min(embedded::MAX_TRAILER as u64);
    file.seek(SeekFrom::End(-i64::try_from(keep).unwrap_or(0)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    Ok(tail)
}

/// The clock.
pub(crate) fn now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A moment as documents state it, whole seconds.
pub(crate) fn utc(at: Timestamp) -> UtcTime {
    let text = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    text.parse()
        .unwrap_or_else(|_| "1970-01-01T00:00:00Z".parse().expect("the epoch is a time"))
}
