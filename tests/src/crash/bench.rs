//! Owns [`Bench`]: the programs, four releases of a small pack, and prepared install roots that are copied for each case.
//!
//! The launcher in the packs is the system's `true` (release 3: `false`; release 4: a program that says that it is a newer
//! launcher): the gate of the transaction is real, and no service is waited for.

use std::{
    collections::BTreeMap,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Mutex, PoisonError},
};

use kojibox_signing::Digest;
use tempfile::TempDir;

use super::{
    op::Op,
    trace::{self, Call},
};
use crate::{Choices, Failure, Outcome, Programs, ensure, pack::host_target, platform, small::program, tree::Picture};

/// What a service has written; only who asks for it takes it away.
pub(crate) const DATA: (&str, &[u8]) = ("data/tree/default/table", b"ten thousand rows\n");

/// What a person has made; nothing takes it away.
pub(crate) const PROJECT: (&str, &[u8]) = ("projects/shop/index.php", b"<?php\n");

/// What somebody has put into a tree that is to be repaired.
const EXTRA: (&str, &[u8]) = ("dir/notes", b"mine\n");

/// A place to work in.
#[derive(Debug)]
pub struct Bench {
    dir: TempDir,
    programs: Programs,
    prepared: Mutex<BTreeMap<Op, PathBuf>>,
}

/// One file of a release.
struct Entry {
    path: &'static str,
    program: bool,
    bytes: Vec<u8>,
}

/// Files of release `n`: one changes, one stays, two are equal, one is empty, one comes or goes.
fn entries(n: u8) -> Vec<Entry> {
    let file = |path, bytes| Entry {
        path,
        program: false,
        bytes,
    };
    vec![
        Entry {
            path: "bin/tool",
            program: true,
            bytes: format!("#!/bin/sh\necho release {n}\n").into_bytes(),
        },
        file("big.bin", noise(u64::from(n), 20_000)),
        file("dir/stays.bin", noise(70, 3000)),
        file("dir/twin.bin", noise(70, 3000)),
        file("empty", Vec::new()),
        file(["a.txt", "b.txt", "c.txt"][usize::from(n - 1) % 3], vec![b'0' + n]),
    ]
}

/// Bytes that do not compress and follow from `seed` alone.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut choices = Choices::new(seed);
    let byte = || u8::try_from(choices.below(256)).expect("a byte");
    std::iter::repeat_with(byte).take(len).collect()
}

fn failed<E: std::error::Error>(what: &str, path: &Path) -> impl FnOnce(E) -> Failure + use<E> {
    Failure::doing(format!("could not {what} `{}`", path.display()))
}

impl Bench {
    /// Builds the releases with the programs of `programs`.
    pub fn new(programs: Programs) -> Outcome<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.into()
        } else {
            env::temp_dir()
        };
        let dir = tempfile::tempdir_in(&parent).map_err(failed("make a directory in", &parent))?;
        let bench = Self {
            dir,
            programs,
            prepared: Mutex::default(),
        };
        let keys = bench.path("keys");
        let words = ["trust", "init", "--unsafe-no-password", "--out"];
        run(bench.program("kojibox-packer").args(words).arg(&keys), &[0])?;
        (1..=4).try_for_each(|n| bench.build(n))?;
        Ok(bench)
    }

    /// Something in the place.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn build(&self, n: u8) -> Outcome {
        let recipe = self.path(&format!("recipe-{n}"));
        for entry in entries(n) {
            write(&recipe.join("files").join(entry.path), &entry.bytes)?;
        }
        platform::make_program(&recipe.join("files/bin/tool")).map_err(failed("mark", &recipe))?;
        platform::symlink("dir/stays.bin", &recipe.join("files/alias")).map_err(failed("link in", &recipe))?;
        write(&recipe.join("stack.toml"), stack(n).as_bytes())?;
        write(&recipe.join("tools/kojibox"), &Self::launcher(n)?)?;
        let mut command = self.program("kojibox-packer");
        command.arg("build").arg(recipe.join("stack.toml"));
        command.args(["--level", "1", "--key"]).arg(self.path("keys/pack"));
        command.arg("--trust").arg(self.path("keys/root.json"));
        command.arg("--depot").arg(self.path(&format!("depot-{n}")));
        command.arg("--tools").arg(recipe.join("tools"));
        run(&mut command, &[0]).map(drop)
    }

    /// The launcher of release `n`: a program that says yes to everything (release 3: no; release 4: and its version, in the
    /// two ways in which it is asked for), not two of them alike.
    pub(crate) fn launcher(n: u8) -> Outcome<Vec<u8>> {
        if n == 4 {
            return Ok(program("{\"version\":\"9.0.0\"}\n", "kojibox-launcher-version=9.0.0\n"));
        }
        let program = Path::new(if n == 3 { "/bin/false" } else { "/bin/true" });
        let mut bytes = fs::read(program).map_err(failed("read", program))?;
        bytes.push(n);
        Ok(bytes)
    }

    /// What the component tree of release `n` must look like once it is installed.
    pub(crate) fn tree(n: u8) -> Picture {
        let mut picture = Picture::new();
        for dir in ["bin", "dir"] {
            picture.insert(dir.into(), "dir".into());
        }
        picture.insert("alias".into(), "link dir/stays.bin".into());
        for entry in entries(n) {
            let mode = if entry.program { 0o555 } else { 0o444 };
            let what = format!("{mode:o} {} {}", entry.bytes.len(), Digest::of(&entry.bytes));
            picture.insert(entry.path.into(), what);
        }
        picture
    }

    /// The tree of release 1 after [`damage`].
    pub(crate) fn damaged() -> Picture {
        let mut picture = Self::tree(1);
        let bytes = spoilt();
        picture.insert("big.bin".into(), format!("444 {} {}", bytes.len(), Digest::of(&bytes)));
        picture.remove("dir/twin.bin");
        picture.insert(EXTRA.0.into(), format!("600 {} {}", EXTRA.1.len(), Digest::of(EXTRA.1)));
        picture
    }

    /// A program under test, with nothing of this process's environment.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.path(name));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    /// The installer with `words`, in which `{1}` to `{4}` and `{trust}` are filled in, on `root`.
    pub(crate) fn installer(&self, words: &[&str], root: &Path) -> Command {
        self.speaking("kojibox-installer", words, root)
    }

    fn speaking(&self, program: &str, words: &[&str], root: &Path) -> Command {
        let mut command = self.program(program);
        for word in words {
            match *word {
                "{trust}" => command.arg(self.path("keys/root.json")),
                "{1}" | "{2}" | "{3}" | "{4}" => command.arg(self.path(&format!("depot-{}", &word[1..2]))),
                plain => command.arg(plain),
            };
        }
        command.arg("--root").arg(root);
        command
    }

    /// The command of `op`.
    pub(crate) fn command(&self, op: Op, root: &Path) -> Command {
        self.speaking(op.program(), op.words(), root)
    }

    /// A root just before `op`, made once; for the first install there is none.
    pub(crate) fn prepared(&self, op: Op) -> Outcome<PathBuf> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = prepared.get(&op) {
            return Ok(root.clone());
        }
        let root = self.path(&format!("before-{op}"));
        for n in op.history() {
            let first = if *n == 1 { Op::Install } else { Op::Update };
            run(&mut self.command(first, &root), &[0])?;
        }
        if op.mends() {
            damage(&root)?;
        }
        if op != Op::Install {
            write(&root.join(DATA.0), DATA.1)?;
            write(&root.join(PROJECT.0), PROJECT.1)?;
        }
        if let Some((stopped, name, part, which)) = op.stopped() {
            if stopped == Op::Prune {
                run(&mut self.command(Op::Update, &root), &[0])?;
            }
            self.stop(stopped, (name, part, which), &root)?;
        }
        prepared.insert(op, root.clone());
        Ok(root)
    }

    /// Runs `op` on `root` and ends it before the call `name` that tells of `part`, the first or a later one.
    fn stop(&self, op: Op, (name, part, which): (&str, &str, usize), root: &Path) -> Outcome {
        let place = self.place()?;
        let rehearsal = place.root();
        copy_tree(root, &rehearsal)?;
        let recorded = trace::record(&self.command(op, &rehearsal), &rehearsal)?;
        let mut found = recorded
            .calls
            .iter()
            .filter(|c| c.name == name && c.args.contains(part));
        let found = found.nth(which - 1);
        let Call { nth, .. } = found.ok_or_else(|| Failure::new(format!("{op} makes no `{name}` of `{part}`")))?;
        let ended = trace::injecting(&self.command(op, root), &format!("{name}:signal=SIGKILL:when={nth}"))?;
        ensure(trace::was_killed(&ended), || format!("{op} was not stopped: {ended:?}"))
    }

    /// A copy of the root just before `op`, in a directory of its own which ends with the value.
    pub(crate) fn copy(&self, op: Op) -> Outcome<Place> {
        let before = self.prepared(op)?;
        let place = self.place()?;
        if op != Op::Install {
            copy_tree(&before, &place.root())?;
        }
        Ok(place)
    }

    /// An empty place for a root.
    pub(crate) fn place(&self) -> Outcome<Place> {
        let dir = tempfile::tempdir_in(self.dir.path()).map_err(failed("make a directory in", self.dir.path()))?;
        Ok(Place(dir))
    }
}

/// Where one case has its root.
#[derive(Debug)]
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn root(&self) -> PathBuf {
        self.0.path().join("root")
    }
}

/// `big.bin` of release 1 with one byte changed.
fn spoilt() -> Vec<u8> {
    let mut bytes = noise(1, 20_000);
    bytes[9999] ^= 0x40;
    bytes
}

/// Damages an installed release 1: a byte of a file, a file that is gone, a list of files cut short, a file that nobody asked for.
fn damage(root: &Path) -> Outcome {
    let tree = only(&root.join("components"), "tree-")?;
    let replace = |path: &Path, mode: u32, bytes: &[u8]| {
        fs::remove_file(path)
            .or_else(|gone| {
                if gone.kind() == io::ErrorKind::NotFound {
                    Ok(())
                } else {
                    Err(gone)
                }
            })
            .map_err(failed("remove", path))?;
        write(path, bytes)?;
        platform::set_mode(path, mode).map_err(failed("mark", path))
    };
    replace(&tree.join("big.bin"), 0o444, &spoilt())?;
    let twin = tree.join("dir/twin.bin");
    fs::remove_file(&twin).map_err(failed("remove", &twin))?;
    replace(&tree.join(EXTRA.0), 0o600, EXTRA.1)?;
    let list = only(&root.join("records/components"), "tree-")?;
    let bytes = fs::read(&list).map_err(failed("read", &list))?;
    replace(
        &list,
        platform::mode(&fs::metadata(&list).map_err(failed("look at", &list))?) & 0o777,
        &bytes[..bytes.len() / 2],
    )
}

/// The one entry of `dir` whose name begins so.
fn only(dir: &Path, begins: &str) -> Outcome<PathBuf> {
    let entries = fs::read_dir(dir).map_err(failed("list", dir))?;
    let found = entries
        .flatten()
        .find(|e| e.file_name().to_string_lossy().starts_with(begins));
    found
        .map(|e| e.path())
        .ok_or_else(|| Failure::new(format!("`{}` has no `{begins}…`", dir.display())))
}

fn stack(n: u8) -> String {
    format!(
        "[pack]\nname = \"tree\"\nversion = \"{n}.0.0\"\ntargets = [\"{}\"]\n\n\
         [[component]]\nid = \"tree\"\nversion = \"{n}.0.0\"\ndefault = true\n\
         source = {{ path = \"files\", exec = [\"bin/*\"] }}\n\n\
         [[service]]\nid = \"tree\"\ncomponent = \"tree\"\ncommand = [\"{{component}}/bin/tool\"]\n",
        host_target()
    )
}

/// Runs `command`; it must end with one of `codes`.
pub(crate) fn run(command: &mut Command, codes: &[i32]) -> Outcome<Output> {
    let output = command.output().map_err(Failure::doing("could not run a program"))?;
    let code = platform::code(output.status);
    if codes.contains(&code) {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Failure::new(format!("{command:?} ended with {code}, expected one of {codes:?}")).with(&said))
}

pub(crate) fn write(path: &Path, bytes: &[u8]) -> Outcome {
    let dir = path.parent().unwrap_or(path);
    fs::create_dir_all(dir).map_err(failed("make", dir))?;
    fs::write(path, bytes).map_err(failed("write", path))
}

/// Copies a directory with modes, links as links.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> Outcome {
    fs::create_dir_all(to).map_err(failed("make", to))?;
    for entry in fs::read_dir(from).map_err(failed("list", from))? {
        let at = entry.map_err(failed("list", from))?.path();
        let new = to.join(at.file_name().unwrap_or_default());
        let meta = fs::symlink_metadata(&at).map_err(failed("look at", &at))?;
        if meta.is_dir() {
            copy_tree(&at, &new)?;
        } else if meta.is_symlink() {
            let target = fs::read_link(&at).map_err(failed("read", &at))?;
            platform::symlink(&target.to_string_lossy(), &new).map_err(failed("link", &new))?;
        } else {
            fs::copy(&at, &new).map_err(failed("copy", &at))?;
        }
    }
    Ok(())
}
