//! Owns [`Sandbox`]: a temporary place with the programs, a home, and a folder to work in.

use std::{
    cell::Cell,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use walkdir::WalkDir;

use crate::{Failure, Outcome, Programs, Run, platform, tree};

/// What programs can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Whatever this machine can reach.
    Host,
    /// Nothing but an own loopback device that is down.
    Nothing,
}

/// A temporary place; removed with everything in it, processes too.
#[derive(Debug)]
pub struct Sandbox {
    dir: PathBuf,
    /// Removes `dir` with this value; None: somebody else does.
    own: Option<TempDir>,
    programs: Programs,
    user: Option<platform::User>,
    network: Network,
    kept: Cell<bool>,
}

impl Sandbox {
    /// Makes a place with the programs of [`Programs::locate`].
    pub fn new() -> Outcome<Self> {
        Self::with(&Programs::locate()?, Network::Host)
    }

    /// The same, with programs that reach no network.
    ///
    /// # Errors
    /// Fails where the system cannot take the network away from a process: a test that needs it must not pass without.
    pub fn without_network() -> Outcome<Self> {
        Self::with(&Programs::locate()?, Network::Nothing)
    }

    /// Makes a place with `programs`.
    pub fn with(programs: &Programs, network: Network) -> Outcome<Self> {
        let doing = || Failure::doing("could not make a temporary place");
        let temp = tempfile::Builder::new()
            .prefix("kojibox é ")
            .tempdir()
            .map_err(doing())?;
        let user = platform::User::if_root();
        platform::open_to_all(temp.path()).map_err(doing())?;
        let sandbox = Self {
            dir: temp.path().to_owned(),
            own: Some(temp),
            programs: programs.clone(),
            user,
            network,
            kept: Cell::new(false),
        };
        for name in ["bin", "home", "tmp", "work"] {
            sandbox.make_dir(&sandbox.dir.join(name)).map_err(doing())?;
        }
        for name in [
            "kojibox-packer",
            "kojibox-installer",
            "kojibox",
            "guestbook-1",
            "guestbook-2",
        ] {
            sandbox.bring(name)?;
        }
        if network == Network::Nothing {
            sandbox.probe_isolation()?;
        }
        Ok(sandbox)
    }

    /// Takes the place `dir`, made by another process, which also removes it. Programs run as this process.
    pub fn lent(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            own: None,
            programs: Programs::in_dir(dir.join("bin")),
            user: None,
            network: Network::Host,
            kept: Cell::new(true),
        }
    }

    /// The folder to work in.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// A path in the folder to work in.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.work().join(name)
    }

    /// The program `name` in this place.
    pub fn bin(&self, name: &str) -> PathBuf {
        self.dir
            .join("bin")
            .join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// A run of the packer.
    pub fn packer(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        self.run(self.bin("kojibox-packer")).args(args)
    }

    /// A run of the installer.
    pub fn installer(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        self.run(self.bin("kojibox-installer")).args(args)
    }

    /// A run of the launcher of the install root `root`, through its front door.
    pub fn launcher(&self, root: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        self.run(root.join(format!("kojibox{}", std::env::consts::EXE_SUFFIX)))
            .args(args)
    }

    /// A run of any program, as the sandbox's user, with a bare environment.
    pub fn run(&self, program: impl Into<PathBuf>) -> Run {
        let mut run = Run::new(program.into(), self.work(), self.dir.join("tmp"));
        if self.network == Network::Nothing {
            run.prefix = isolation(self.user.is_some());
        }
        if let Some(user) = self.user {
            run.prefix.extend(user.prefix());
        }
        run.env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.dir.join("home"))
            .env("TMPDIR", self.dir.join("tmp"))
            .env("LANG", "C.UTF-8")
    }

    /// A run of the packer as the person who runs the tests, with their environment: mirrors, proxies, caches.
    pub fn builder(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        let mut run = Run::new(self.bin("kojibox-packer"), self.work(), self.dir.join("tmp")).args(args);
        run.env = std::env::vars_os().collect();
        run
    }

    /// Writes a file in the folder to work in, with its directories.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Outcome<PathBuf> {
        let path = self.path(name);
        self.make_parents(&path)?;
        let doing = || Failure::doing(format!("could not write `{}`", path.display()));
        fs::write(&path, content).map_err(doing())?;
        self.give(&path).map_err(doing())?;
        Ok(path)
    }

    /// Copies a file or a directory to `name` in the folder to work in.
    pub fn copy(&self, from: &Path, name: &str) -> Outcome<PathBuf> {
        let to = self.path(name);
        for entry in WalkDir::new(from).sort_by_file_name() {
            let entry = entry.map_err(Failure::doing(format!("could not walk `{}`", from.display())))?;
            let below = entry.path().strip_prefix(from).unwrap_or(Path::new(""));
            let target: PathBuf = to.iter().chain(below).collect();
            self.make_parents(&target)?;
            let doing = || Failure::doing(format!("could not copy `{}`", entry.path().display()));
            if !entry.file_type().is_dir() {
                fs::copy(entry.path(), &target).map_err(doing())?;
                self.give(&target).map_err(doing())?;
            } else if !target.is_dir() {
                self.make_dir(&target).map_err(doing())?;
            }
        }
        Ok(to)
    }

    /// Makes the directories above `path`, up to the folder to work in, for the user of the programs.
    fn make_parents(&self, path: &Path) -> Outcome {
        let above = path.parent().and_then(|dir| dir.strip_prefix(self.work()).ok());
        let mut dir = self.work();
        for part in above.unwrap_or(Path::new("")) {
            dir.push(part);
            if !dir.is_dir() {
                self.make_dir(&dir)
                    .map_err(Failure::doing(format!("could not make `{}`", dir.display())))?;
            }
        }
        Ok(())
    }

    /// Programs of this place that still run, but for this one; there must be none once everything was stopped.
    pub fn survivors(&self) -> Vec<String> {
        let all = platform::processes_below(&self.dir);
        all.into_iter()
            .filter(|(id, _)| *id != std::process::id())
            .map(|(id, program)| format!("{id} {}", program.display()))
            .collect()
    }

    /// Fails if a program of this place still runs.
    pub fn expect_no_survivors(&self) -> Outcome {
        let left = self.survivors();
        crate::failure::ensure(left.is_empty(), || format!("still running:\n{}", left.join("\n")))
    }

    /// A picture of `name` in the folder to work in.
    pub fn picture(&self, name: &str) -> Outcome<tree::Picture> {
        tree::picture(&self.path(name))
    }

    /// Keeps the place, with what runs in it, when this value is gone.
    pub fn keep(&self) {
        self.kept.set(true);
    }

    /// The place itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn bring(&self, name: &str) -> Outcome {
        let (from, to) = (self.programs.path(name), self.bin(name));
        let linked = fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop));
        linked.map_err(Failure::doing(format!("could not bring `{}`", from.display())))
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        self.give(path)
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        self.user.map_or(Ok(()), |user| user.give(path))
    }

    fn probe_isolation(&self) -> Outcome {
        let (code, done) = self.run("/bin/cat").arg("/proc/net/dev").any()?;
        let devices = done
            .stdout
            .lines()
            .skip(2)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, _)| name.trim());
        let only_loopback = devices.eq(["lo"]);
        crate::failure::ensure(code == 0 && only_loopback, || {
            format!(
                "the network could not be taken away from a program\n{}{}",
                done.stdout, done.stderr
            )
        })
    }
}

/// What stands before a program so that it sees no network.
fn isolation(root: bool) -> Vec<OsString> {
    let words: &[&str] = if root {
        &["unshare", "--net", "--"]
    } else {
        &["unshare", "--user", "--map-current-user", "--net", "--"]
    };
    words.iter().map(OsString::from).collect()
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let Some(own) = &mut self.own else { return };
        if self.kept.get() || std::env::var_os("KOJIBOX_KEEP").is_some() {
            own.disable_cleanup(true);
            return;
        }
        for (id, _) in platform::processes_below(&self.dir) {
            platform::end(id);
        }
        for entry in WalkDir::new(&self.dir).into_iter().filter_map(Result::ok) {
            if entry.file_type().is_dir() {
                platform::make_removable(entry.path());
            }
        }
    }
}
