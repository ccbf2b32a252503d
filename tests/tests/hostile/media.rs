//! Bad media: damage in every file, with parity and without, sticks that fail, lie or are two; and that a source is never written.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[cfg(target_os = "linux")]
use kojibox_signing::Digest;
#[cfg(target_os = "linux")]
use kojibox_tests::image::{Access, FileSystem, Image, system, unless_lacking};
#[cfg(unix)]
use kojibox_tests::terminal;
use kojibox_tests::{Failure, Outcome, Run, Sandbox, ensure, pack::Publisher, tree};

use crate::forge::{noise, read, write};

/// A publisher and a stick with the pack `tree` 1.0.0, whose blob has parts; `more` are further arguments of `stick`.
pub(crate) struct Carried<'a> {
    sandbox: &'a Sandbox,
    pub(crate) publisher: Publisher<'a>,
    pub(crate) stick: PathBuf,
}

impl<'a> Carried<'a> {
    pub(crate) fn new(sandbox: &'a Sandbox, len: usize, more: &[&str]) -> Outcome<Self> {
        let publisher = Publisher::new(sandbox, "publisher")?;
        publisher.build_tree("1.0.0", &[("a.txt", b"first"), ("b/big.bin", &noise(len))])?;
        let stick = sandbox.path("stick");
        let run = sandbox.packer(["stick"]).args(more).arg(&stick).arg("--depot");
        run.arg(publisher.depot())
            .arg("--trust")
            .arg(publisher.root_json())
            .answer()?;
        Ok(Self {
            sandbox,
            publisher,
            stick,
        })
    }

    pub(crate) fn install(&self, root: &Path) -> Run {
        self.install_from(&[&self.stick], root)
    }

    pub(crate) fn install_from(&self, sources: &[&Path], root: &Path) -> Run {
        let mut run = self.sandbox.installer(["install", "--yes", "--root"]).arg(root);
        for source in sources {
            run = run.arg("--source").arg(source);
        }
        run.arg("--trust").arg(self.publisher.root_json())
    }

    pub(crate) fn verify(&self) -> Run {
        let run = self.sandbox.packer(["verify"]).arg(&self.stick);
        run.arg("--trust").arg(self.publisher.root_json())
    }

    pub(crate) fn file(&self, folder: &str, start: &str, end: &str) -> Outcome<PathBuf> {
        let names = self.sandbox.picture(&format!("stick/{folder}"))?;
        let name = names.keys().find(|name| name.starts_with(start) && name.ends_with(end));
        let name = name.ok_or_else(|| Failure::new(format!("no `{start}…{end}` among {:?}", names.keys())))?;
        Ok(self.stick.join(folder).join(name))
    }
}

/// Damages `len` bytes of a file.
fn spoil(path: &Path, at: usize, len: usize) -> Outcome {
    let mut bytes = read(path)?;
    bytes[at..at + len].iter_mut().for_each(|byte| *byte ^= 0x55);
    write(path, bytes)
}

fn receipt(root: &Path) -> Outcome<String> {
    let dir = root.join("state/receipts");
    let doing = || Failure::doing(format!("could not read `{}`", dir.display()));
    let mut text = String::new();
    for entry in fs::read_dir(&dir).map_err(doing())? {
        text += &fs::read_to_string(entry.map_err(doing())?.path()).map_err(doing())?;
    }
    Ok(text)
}

#[test]
fn a_failing_stick_with_parity_installs_says_so_and_leaves_a_verdict() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 20_000_000, &["--parity", "6.25", "--part-size", "9000000"])?;
    stick.verify().answer()?;
    let (first, second) = (
        stick.file("blobs", "tree-", ".001")?,
        stick.file("blobs", "tree-", ".002")?,
    );
    spoil(&first, 1_000_000, 70_000)?;
    let len = read(&second)?.len();
    write(&second, &read(&second)?[..len - 5000])?;
    let before = sandbox.picture("stick")?;
    let root = sandbox.path("root");
    let run = stick.install(&root).says("repaired 2 blocks of blob `tree-1.0.0-");
    run.says("from parity; the medium is failing, copy it").answer()?;
    tree::expect_same("the stick", &before, &sandbox.picture("stick")?)?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer()?;
    let kept = receipt(&root)?;
    ensure(
        kept.contains("\"medium\"") && kept.contains("repaired 2 blocks"),
        || kept.clone(),
    )?;
    stick.verify().fails(21).says("parity repairs all of it").answer()?;
    // One more is too much; the text names blob, part and offset, and nothing is installed.
    spoil(&first, 4_000_000, 1)?;
    let run = stick
        .install(&sandbox.path("other"))
        .fails(21)
        .says("parity cannot repair it");
    run.says("more than 2 of 32 blocks")
        .says(".tar.zst.001` is damaged at byte ")
        .says("  hint: ")
        .answer()?;
    crate::expect_nothing_installed(&sandbox.path("other"))
}

#[test]
fn without_parity_damage_names_blob_part_offset_and_the_cure() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 20_000_000, &["--part-size", "9000000"])?;
    spoil(&stick.file("blobs", "tree-", ".002")?, 1_000_000, 1)?;
    let run = stick.install(&sandbox.path("root")).fails(21);
    let run = run
        .says(".tar.zst.002` is damaged at byte ")
        .says("(frame ")
        .says("copy it again");
    run.says("--parity 6.25").answer()?;
    crate::expect_nothing_installed(&sandbox.path("root"))
}

#[test]
fn litter_of_operating_systems_is_ignored() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 100_000, &["--parity", "6.25"])?;
    let manifest = stick.file("packs", "tree-", ".kbx.json")?;
    let manifest = manifest.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for folder in ["", "packs/", "blobs/", "trust/", "parity/"] {
        for litter in [
            ".DS_Store",
            "Thumbs.db",
            "desktop.ini",
            "._tree",
            "FOUND.000",
            "IndexerVolumeGuid",
        ] {
            sandbox.write(&format!("stick/{folder}{litter}"), "litter")?;
        }
    }
    for litter in [
        ".Trashes/501/x.kbx.json",
        ".Spotlight-V100/store.db",
        "System Volume Information/WPSettings.dat",
        "FOUND.001/FILE0000.CHK",
    ] {
        sandbox.write(&format!("stick/{litter}"), "litter")?;
    }
    // A copy that macOS and a copy that Windows made of a manifest, in their own names.
    for name in [
        format!("._{manifest}"),
        manifest.to_uppercase(),
        manifest.replace(".kbx", " (1).kbx"),
    ] {
        sandbox.write(&format!("stick/packs/{name}"), "litter")?;
    }
    let before = sandbox.picture("stick")?;
    stick.install(&sandbox.path("root")).silent_about("litter").answer()?;
    stick.verify().silent_about("Thumbs").answer()?;
    tree::expect_same("the stick", &before, &sandbox.picture("stick")?)
}

#[test]
fn parts_on_two_sticks_are_one_pack_and_the_missing_one_is_named() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 20_000_000, &["--part-size", "9000000"])?;
    let part = stick.file("blobs", "tree-", ".002")?;
    let name = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The other stick has nothing but the part.
    for folder in ["packs", "blobs"] {
        sandbox.write(&format!("second/{folder}/.made"), "")?;
    }
    fs::rename(&part, sandbox.path(format!("second/blobs/{name}"))).map_err(Failure::doing("could not move a part"))?;
    let root = sandbox.path("root");
    stick.install(&root).fails(33).says(&name).says("--source").answer()?;
    crate::expect_nothing_installed(&root)?;
    for (n, order) in [[0, 1], [1, 0]].into_iter().enumerate() {
        let both = [stick.stick.as_path(), &sandbox.path("second")];
        let root = sandbox.path(format!("both-{n}"));
        stick.install_from(&[both[order[0]], both[order[1]]], &root).answer()?;
        sandbox.installer(["verify", "--root"]).arg(&root).answer()?;
    }
    // The same root goes on with what was verified before.
    stick
        .install_from(&[&stick.stick, &sandbox.path("second")], &root)
        .answer()
        .map(drop)
}

/// Runs the installer under strace with `words`, on system calls that touch `path` only; its arguments are added to it.
#[cfg(target_os = "linux")]
fn straced(sandbox: &Sandbox, words: &[&str], path: Option<&Path>) -> Run {
    let run = sandbox.run("/usr/bin/strace").args(["-f", "-qq", "-o"]);
    let mut run = run.arg(sandbox.path("trace")).args(words);
    if let Some(path) = path {
        run = run.arg("-P").arg(path);
    }
    run.arg(sandbox.bin("kojibox-installer"))
}

/// An install under strace with `words`, on system calls that touch `path` only.
#[cfg(target_os = "linux")]
pub(crate) fn traced(stick: &Carried<'_>, root: &Path, words: &[&str], path: Option<&Path>) -> Run {
    let run = straced(stick.sandbox, words, path)
        .args(["install", "--yes", "--root"])
        .arg(root);
    run.arg("--source")
        .arg(&stick.stick)
        .arg("--trust")
        .arg(stick.publisher.root_json())
}

/// Every call that opens or changes something.
#[cfg(target_os = "linux")]
const CALLS: &str = "trace=open,openat,openat2,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
                     truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,fchownat,utimensat,mknod,mknodat,setxattr,fsetxattr,\
                     write,pwrite64,writev,pwritev,pwritev2,fallocate";

/// The last trace shows that the stick was looked at, and that it was only read.
#[cfg(target_os = "linux")]
fn expect_only_reads(stick: &Carried<'_>) -> Outcome {
    let trace = String::from_utf8_lossy(&read(&stick.sandbox.path("trace"))?).into_owned();
    let below = stick.stick.to_string_lossy().into_owned();
    // strace writes bytes beyond ASCII in octal.
    let escaped: String = below
        .bytes()
        .map(|b| {
            if b.is_ascii() {
                char::from(b).to_string()
            } else {
                format!("\\{b:o}")
            }
        })
        .collect();
    let touching: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains(&escaped) || line.contains(&below))
        .collect();
    ensure(touching.len() > 2, || {
        format!("the trace shows too little of `{below}`: {} lines", touching.len())
    })?;
    let only_read = |line: &&str| {
        line.contains("open") && line.contains("O_RDONLY") && !line.contains("O_CREAT") && !line.contains("O_TRUNC")
    };
    let wrong: Vec<&&str> = touching.iter().filter(|line| !only_read(line)).collect();
    ensure(wrong.is_empty(), || format!("more than reading: {wrong:?}"))
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_below_the_source_is_opened_for_writing() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 3_000_000, &["--parity", "6.25"])?;
    let root = sandbox.path("root");
    let locked = |with: &str| sandbox.run("/bin/chmod").args(["-R", with]).arg(&stick.stick).go();
    // Nobody but root could write to the stick, and the programs do not run as root.
    let only_reads = |run: Run| {
        let before = sandbox.picture("stick")?;
        locked("a-w")?;
        let done = run.answer()?;
        expect_only_reads(&stick).map_err(|failure| failure.with(&done.stderr))?;
        locked("u+w")?;
        // Modes are part of a picture.
        tree::expect_same("the stick", &before, &sandbox.picture("stick")?)
    };
    let on_root = |words: &[&str]| {
        let run = straced(&sandbox, &["-y", "-e", CALLS], None).args(words);
        let run = run.arg("--root").arg(&root).arg("--source");
        run.arg(&stick.stick)
    };
    spoil(&stick.file("blobs", "tree-", ".tar.zst")?, 500_000, 10)?;
    let install = traced(&stick, &root, &["-y", "-e", CALLS], None);
    only_reads(install.says("repaired one block"))?;
    // A file that is damaged is read anew.
    let installed = sandbox.picture("root/components")?;
    let damaged = installed.keys().find(|name| name.ends_with("b/big.bin"));
    let damaged = root.join("components").join(damaged.map_or("", String::as_str));
    fs::remove_file(&damaged).map_err(Failure::doing("could not remove an installed file"))?;
    write(&damaged, "something else")?;
    only_reads(on_root(&["repair"]).says("1 file (2.").says("repaired one block"))?;
    tree::expect_same("the tree", &installed, &sandbox.picture("root/components")?)?;
    only_reads(on_root(&["doctor"]))?;
    stick
        .publisher
        .build_tree("1.1.0", &[("a.txt", b"first"), ("b/big.bin", &noise(2_000_000))])?;
    let lay = sandbox
        .packer(["stick"])
        .arg(&stick.stick)
        .arg("--depot")
        .arg(stick.publisher.depot());
    lay.arg("--trust").arg(stick.publisher.root_json()).answer()?;
    only_reads(on_root(&["update", "--yes"]))?;
    let status = sandbox.installer(["status", "--root"]).arg(&root).json()?;
    ensure(status["packs"][0]["version"] == "1.1.0", || status.to_string())
}

#[cfg(target_os = "linux")]
#[test]
fn a_stick_that_answers_otherwise_at_the_second_read_is_harmless() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 12_000_000, &["--without-installer"])?;
    let manifest = stick.file("packs", "tree-", ".kbx.json")?;
    let index = stick.file("blobs", "tree-", ".idx.zst")?;
    let blob = stick.file("blobs", "tree-", ".tar.zst")?;
    stick.install(&sandbox.path("reference")).answer()?;
    let reference = sandbox.picture("reference/components")?;
    let lies = |when: &str| format!("inject=read:poke_exit=@arg2=00ff00ff00ff00ff:when={when}");
    // What an honest install reads is all that it reads: every further read lies, and whoever reads twice and checks once is deceived.
    for (n, path) in [&manifest, &index, &blob].into_iter().enumerate() {
        let honest = sandbox.path(format!("honest-{n}"));
        traced(&stick, &honest, &["-e", "trace=read"], Some(path)).answer()?;
        let trace = String::from_utf8_lossy(&read(&sandbox.path("trace"))?).into_owned();
        let reads = trace.lines().filter(|line| line.contains(" read(")).count();
        ensure(reads > 0, || format!("`{}` was not read:\n{trace}", path.display()))?;
        let root = format!("lied-{n}");
        let inject = ["-e", "trace=read", "-e", &lies(&format!("{}+", reads + 1))];
        traced(&stick, &sandbox.path(&root), &inject, Some(path)).answer()?;
        tree::expect_same(
            "what was installed",
            &reference,
            &sandbox.picture(&format!("{root}/components"))?,
        )?;
    }
    // Lies in the middle of the only pass are met.
    let root = sandbox.path("met");
    let inject = ["-e", "trace=read", "-e", &lies("3+")];
    let met = traced(&stick, &root, &inject, Some(&blob)).fails(21);
    met.says(".tar.zst` is damaged at byte ").answer()?;
    crate::expect_nothing_installed(&root)?;
    // The honest stick then goes on with what was verified.
    stick.install(&root).answer().map(drop)
}

#[cfg(target_os = "linux")]
#[test]
fn failing_reads_are_tried_again_then_repaired_then_told() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 12_000_000, &["--without-installer"])?;
    let blob = stick.file("blobs", "tree-", ".tar.zst")?;
    let fails = |when: &str| format!("inject=read:error=EIO:when={when}");
    let run = |root: &str, when: &str| {
        traced(
            &stick,
            &sandbox.path(root),
            &["-e", "trace=read", "-e", &fails(when)],
            Some(&blob),
        )
    };
    // A loose contact: two reads fail, the third is good.
    run("loose", "2..3").answer()?;
    sandbox
        .installer(["verify", "--root"])
        .arg(sandbox.path("loose"))
        .answer()?;
    // A dead stick ends in time, and says where.
    let dead = run("dead", "2+")
        .fails(32)
        .says("could not read")
        .says("at byte ")
        .says("  hint: ");
    let dead = dead.within(std::time::Duration::from_mins(1)).answer()?;
    ensure(dead.took.as_secs() < 40, || format!("it took {:?}", dead.took))?;
    crate::expect_nothing_installed(&sandbox.path("dead"))?;
    // Ctrl-C ends the wait, and is what is told.
    let run = run("cancelled", "1+").fails(3).says("error: cancelled");
    let done = run
        .signal_after(std::time::Duration::from_millis(900), "INT")
        .answer()?;
    ensure(done.took < dead.took, || {
        format!("it took {:?}, and {:?} without Ctrl-C", done.took, dead.took)
    })
}

/// A FAT32 image with what is on `stick`.
#[cfg(target_os = "linux")]
pub(crate) fn on_fat32(sandbox: &Sandbox, stick: &Carried<'_>) -> Outcome<Option<Image>> {
    let made = Image::make(sandbox.path("stick.img"), FileSystem::Fat32, 96 << 20).and_then(|image| {
        let mounted = image.mount(sandbox.path("mnt"), Access::Writable)?;
        system("cp", &[Path::new("-r"), &stick.stick.join("."), mounted.path()])?;
        Ok(image)
    });
    unless_lacking("FAT32 through FUSE", made)
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_fat32_stick_installs_and_stays_byte_for_byte() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 20_000_000, &["--parity", "6.25", "--part-size", "9000000"])?;
    let Some(image) = on_fat32(&sandbox, &stick)? else {
        return Ok(());
    };
    let before = Digest::of(&read(image.file())?);
    {
        let mounted = image.mount(sandbox.path("mnt"), Access::ReadOnly)?;
        let root = sandbox.path("root");
        stick.install_from(&[mounted.path()], &root).answer()?;
        sandbox.installer(["verify", "--root"]).arg(&root).answer()?;
        let run = sandbox.packer(["verify"]).arg(mounted.path()).arg("--trust");
        run.arg(stick.publisher.root_json()).answer()?;
    }
    let after = Digest::of(&read(image.file())?);
    ensure(before == after, || "the image was written to".into())
}

#[cfg(unix)]
#[test]
fn on_a_terminal_the_missing_part_is_asked_for_and_found_where_the_other_stick_is() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 20_000_000, &["--part-size", "9000000"])?;
    let part = stick.file("blobs", "tree-", ".002")?;
    let name = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for folder in ["packs", "blobs"] {
        sandbox.write(&format!("second/{folder}/.made"), "")?;
    }
    fs::rename(&part, sandbox.path(format!("second/blobs/{name}"))).map_err(Failure::doing("could not move a part"))?;
    let (root, second) = (sandbox.path("root"), sandbox.path("second"));
    let dialogue = ["Go ahead?", ":", "y", &name, ":", &format!("{}\r", second.display())];
    let run = terminal::run(&sandbox, dialogue);
    let run = run
        .arg(sandbox.bin("kojibox-installer"))
        .args(["install", "--root"])
        .arg(&root);
    let run = run
        .arg("--source")
        .arg(&stick.stick)
        .arg("--trust")
        .arg(stick.publisher.root_json());
    run.answer()?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer().map(drop)
}
