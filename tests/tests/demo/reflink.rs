//! A migration in place on a file system that shares blocks: its snapshot costs next to nothing and is nobody else's.

use std::{
    fs::{self, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
};

use kojibox_signing::Digest;
use kojibox_tests::{
    Failure, Outcome, Sandbox, ensure,
    image::{Access, FileSystem, Image, system, unless_lacking},
    pack::{Publisher, host_target},
};

/// MiB of data that the first release makes.
const DATA: u64 = 96;

/// A pack whose service keeps data; the second release moves it in place, and looks at its snapshot first.
fn release(sandbox: &Sandbox, publisher: &Publisher<'_>, number: u32) -> Outcome {
    let init = format!("head -c {DATA}M /dev/urandom >\\\"$1/big\\\"");
    let script = "cmp \\\"$1/big\\\" \\\"$1/../1/big\\\"; printf two | dd of=\\\"$1/big\\\" bs=1M seek=5 conv=notrunc";
    let migration = format!(
        "\n[[migration]]\nservice = \"keeper\"\nfrom = \"1\"\nto = \"2\"\nin_place = true\n\
         command = [\"/bin/sh\", \"-ec\", \"{script}\", \"sh\", \"{{data}}\"]\n"
    );
    let stack = format!(
        "[pack]\nname = \"keeper\"\nversion = \"{number}.0.0\"\ntargets = [\"{}\"]\n\n\
         [[component]]\nid = \"keeper\"\nversion = \"{number}.0.0\"\ndefault = true\ndata_format = \"{number}\"\n\
         source = {{ path = \"files\" }}\n\n\
         [[service]]\nid = \"keeper\"\ncomponent = \"keeper\"\n\
         command = [\"/bin/sh\", \"-c\", \"exec sleep 1000\", \"sh\", \"{{data}}\"]\n\
         init = {{ command = [\"/bin/sh\", \"-ec\", \"{init}\", \"sh\", \"{{data}}\"] }}\n{}",
        host_target(),
        if number == 1 { "" } else { &migration }
    );
    sandbox.write(&format!("keeper-{number}/files/keeper"), format!("release {number}"))?;
    let stack = sandbox.write(&format!("keeper-{number}/stack.toml"), stack)?;
    publisher.build_run(&stack).args(["--level", "1"]).answer().map(drop)
}

/// Bytes that are used on the volume at `at`, once everything is written.
fn used(at: &Path) -> Outcome<u64> {
    system("sync", &[Path::new("-f"), at])?;
    let said = system("df", &[Path::new("--output=used"), Path::new("-B1"), at])?;
    let last = said.lines().last().and_then(|line| line.trim().parse().ok());
    last.ok_or_else(|| Failure::new(format!("`df` says\n{said}")))
}

fn digest(path: &Path) -> Outcome<Digest> {
    let bytes = fs::read(path).map_err(Failure::doing(format!("could not read `{}`", path.display())))?;
    Ok(Digest::of(&bytes))
}

fn write_at(path: &Path, at: u64, text: &[u8]) -> Outcome {
    let written = OpenOptions::new().write(true).open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(at))?;
        file.write_all(text)
    });
    written.map_err(Failure::doing(format!("could not write in `{}`", path.display())))
}

#[test]
fn a_migration_in_place_shares_blocks_and_a_later_write_does_not_show_in_the_snapshot() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let made = Image::make(sandbox.path("disk.img"), FileSystem::Xfs, 512 << 20)
        .and_then(|image| image.mount(sandbox.path("disk"), Access::Writable));
    let Some(disk) = unless_lacking("XFS on a loop device", made)? else {
        return Ok(());
    };
    let root = disk.path().join("root");
    let publisher = Publisher::new(&sandbox, "publisher")?;
    release(&sandbox, &publisher, 1)?;
    publisher.install_run(&root).answer()?;
    let (old, new) = (root.join("data/keeper/1/big"), root.join("data/keeper/2/big"));
    let (before, first) = (used(disk.path())?, digest(&old)?);
    ensure(before > DATA << 20, || format!("only {before} bytes are used"))?;

    release(&sandbox, &publisher, 2)?;
    let update = sandbox.installer(["update", "--yes", "--root"]).arg(&root);
    update.arg("--source").arg(publisher.depot()).answer()?;
    let more = used(disk.path())?.saturating_sub(before);
    ensure(more < (DATA << 20) / 8, || {
        format!("the volume uses {more} bytes more after a move of {DATA} MiB")
    })?;
    // The migration has compared the two before it wrote.
    ensure(digest(&old)? == first, || {
        "the old data was changed by the migration".into()
    })?;
    let moved = digest(&new)?;
    ensure(moved != first, || "the migration wrote nothing".into())?;
    write_at(&new, 7 << 20, b"later")?;
    ensure(digest(&old)? == first, || "a later write shows in the old data".into())?;
    let second = digest(&new)?;
    write_at(&old, 9 << 20, b"in the old")?;
    ensure(digest(&new)? == second && second != moved, || {
        "a write to the old data shows in the new".into()
    })?;
    let uninstall = sandbox
        .installer(["uninstall", "--yes", "--purge-data", "--root"])
        .arg(&root);
    uninstall.answer()?;
    sandbox.expect_no_survivors()
}
