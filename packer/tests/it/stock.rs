//! Owns the fixtures of the key and trust tests: the program in a folder of its own, and stock tools to ask.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

pub(crate) const PASSPHRASE: &str = "correct horse";

/// A folder in which the program runs, with no terminal and a clean environment.
pub(crate) struct Desk(tempfile::TempDir);

/// What a run gave.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        Self {
            code: output.status.code().unwrap(),
            out,
            err,
        }
    }

    /// Must have ended with code 0; gives stdout.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// Must have been refused with this code; gives stderr.
    #[track_caller]
    pub(crate) fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.out, "", "a refusal gives no answer");
        self.err
    }
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("`{name}`: {error}"))
    }

    /// Names in a folder, sorted.
    pub(crate) fn list(&self, dir: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(dir)).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `kojibox-packer` with these words and, if any, this passphrase in the environment.
    pub(crate) fn packer_as(&self, passphrase: Option<&str>, words: &str) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kojibox-packer"));
        command.args(words.split_whitespace()).current_dir(self.0.path());
        command.env_remove("KOJIBOX_KEY_PASSPHRASE").stdin(Stdio::null());
        if let Some(passphrase) = passphrase {
            command.env("KOJIBOX_KEY_PASSPHRASE", passphrase);
        }
        Run::new(&command.output().unwrap())
    }

    /// Runs `kojibox-packer` with the usual passphrase.
    pub(crate) fn packer(&self, words: &str) -> Run {
        self.packer_as(Some(PASSPHRASE), words)
    }

    /// Runs a stock `ssh-keygen` with `input` as its stdin.
    pub(crate) fn ssh_keygen(&self, args: &[&str], input: &Path) -> Run {
        let mut command = Command::new("ssh-keygen");
        command.args(args).current_dir(self.0.path());
        let input = if input.as_os_str().is_empty() {
            Stdio::null()
        } else {
            fs::File::open(self.0.path().join(input)).unwrap().into()
        };
        Run::new(
            &command
                .stdin(input)
                .output()
                .expect("`ssh-keygen` is needed by this test"),
        )
    }

    /// Text with the parts that change from run to run named.
    pub(crate) fn tame(&self, text: &str) -> String {
        text.replace(self.0.path().to_str().unwrap(), "[DIR]")
            .replace('\\', "/")
    }
}

/// True if this machine has not all of the stock `tools` that a test asks: then it is left out, which is told, or a failure
/// where everything must be there (`.ci/run`).
pub(crate) fn lacks(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has = |tool: &&&str| {
        let name = format!("{tool}{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(&path).any(|folder| folder.join(&name).is_file())
    };
    match tools.iter().find(|tool| !has(tool)) {
        None => false,
        Some(tool) => {
            left_out(&format!("there is no `{tool}`"));
            true
        }
    }
}

/// Tells why a test is left out; fails where none may be.
#[expect(clippy::print_stderr, reason = "what is left out is told")]
fn left_out(why: &str) {
    let all = std::env::var_os("NEXTEST_PROFILE").is_some_and(|profile| profile == "ci");
    assert!(!all, "{why}; run `.ci/run setup` as root");
    eprintln!("left out: {why}");
}
