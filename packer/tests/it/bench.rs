//! A builder's desk for tests of finished packs: a folder with a definition, keys, a cache and a depot.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

pub(crate) struct Bench {
    dir: tempfile::TempDir,
}

/// What a run of the packer gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The run must have ended with `code`.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    /// Stderr must hold `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "`{text}` is not in:\n{}", self.err);
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

pub(crate) const STACK: &str = r#"
[pack]
name = "tree"
version = "1.0.0"
[[component]]
id = "tree"
version = "2.0.0"
license = "MIT"
default = true
source = { path = "dir" }
"#;

impl Bench {
    /// A desk with keys and the stack `tree`: programs, twins, links, an empty file and one of several frames.
    pub(crate) fn new() -> Self {
        let bench = Self {
            dir: tempfile::Builder::new().prefix("bench é ").tempdir().unwrap(),
        };
        bench
            .run(&["trust", "init", "--out", "keys", "--unsafe-no-password"])
            .ends(0);
        bench.write("work/stack.toml", STACK);
        bench.write("work/dir/empty", "");
        bench.write("work/dir/docs/a.txt", "hello\n");
        bench.write("work/dir/docs/b.txt", "hello\n");
        bench.write("work/dir/bin/run", "#!/bin/sh\necho run\n");
        bench.write("work/dir/big", noise(20 << 20));
        set_executable(&bench.path("work/dir/bin/run"));
        bench
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kojibox-packer"));
        command.args(args).current_dir(self.dir.path());
        command.env("KOJIBOX_CACHE", self.path("cache")).env("NO_COLOR", "1");
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        ran(self.command(args).output().unwrap())
    }

    /// Builds `stack` into `depot` with further arguments.
    pub(crate) fn build(&self, stack: &str, depot: &str, more: &[&str]) -> Ran {
        let args = [
            "build",
            stack,
            "--key",
            "keys/pack",
            "--trust",
            "keys/root.json",
            "--depot",
            depot,
        ];
        self.run(&[&args, more].concat())
    }

    /// Every file below `folder` with its bytes.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let mut out = BTreeMap::new();
        let top = self.path(folder);
        let mut folders = vec![top.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&top).unwrap().to_str().unwrap().replace('\\', "/");
                    out.insert(name, fs::read(&path).unwrap());
                }
            }
        }
        out
    }

    /// The one file of `folder` whose name holds `part` and ends with `end`.
    #[track_caller]
    pub(crate) fn file(&self, folder: &str, part: &str, end: &str) -> PathBuf {
        let names = self.files(folder);
        let mut found = names.keys().filter(|n| n.contains(part) && n.ends_with(end));
        let name = found
            .next()
            .unwrap_or_else(|| panic!("no `{part}…{end}` among {:?}", names.keys()));
        assert_eq!(found.next(), None);
        self.path(folder).join(name)
    }

    pub(crate) fn manifest(&self, depot: &str, end: &str) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.file(&format!("{depot}/packs"), "", end)).unwrap()).unwrap()
    }
}

pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Bytes that do not compress, always the same.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(|_| next()).take(len).collect()
}

/// Changes one byte in the middle of a file.
pub(crate) fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[cfg(unix)]
pub(crate) fn set_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[cfg(not(unix))]
pub(crate) fn set_executable(_path: &Path) {}
