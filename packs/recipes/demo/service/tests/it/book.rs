//! A running release over temporary directories.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

pub(crate) const ONE: &str = env!("CARGO_BIN_EXE_guestbook-1");
pub(crate) const TWO: &str = env!("CARGO_BIN_EXE_guestbook-2");
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// Directories of one installation; names with a space and letters outside ASCII.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("buku tamu é ").tempdir().unwrap();
        let pages = dir.path().join("pages");
        fs::create_dir(&pages).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pages");
        for file in fs::read_dir(source).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), pages.join(file.file_name())).unwrap();
        }
        fs::write(dir.path().join("key"), format!("{KEY}\n")).unwrap();
        fs::write(
            dir.path().join("guestbook.toml"),
            "port = 0\ntitle = \"Tom & <Jerry>\"\n",
        )
        .unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command of `program` to its end.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Output {
        Command::new(program)
            .args(args)
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    /// Runs a command that must succeed.
    pub(crate) fn ok(&self, program: &str, args: &[&str]) -> String {
        let output = self.run(program, args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with 1; gives back what it said.
    pub(crate) fn fails(&self, program: &str, args: &[&str]) -> String {
        let output = self.run(program, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Serves the book in `data` and waits for the line that names the address.
    pub(crate) fn serve(&self, program: &str, data: &str) -> Running {
        let mut child = Command::new(program)
            .args(SERVE)
            .args(["--data", data])
            .current_dir(self.dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line
            .split_once("http://")
            .and_then(|(_, rest)| rest.trim().strip_suffix("/."));
        let address = address
            .and_then(|address| address.parse().ok())
            .unwrap_or_else(|| panic!("said `{line}`"));
        Running { child, out, address }
    }
}

/// All arguments of `serve` but the data directory.
pub(crate) const SERVE: [&str; 7] = [
    "serve",
    "--config",
    "guestbook.toml",
    "--pages",
    "pages",
    "--admin-key-file",
    "key",
];

/// A release that serves.
pub(crate) struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Asks it to stop as the launcher does and waits; it must end by itself with success.
    #[cfg(unix)]
    pub(crate) fn stop(mut self) -> String {
        let kill = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(kill.success());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.out, &mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {rest}");
        rest
    }

    /// Kills it; Windows has no signal to send from here.
    #[cfg(windows)]
    pub(crate) fn stop(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        "Stopping: TERM.\nStopped.\n".into()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
