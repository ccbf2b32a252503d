//! One flipped bit, a cut, a missing piece: in every kind of file that a depot holds.

use std::fs;

use kojibox_tests::{
    Failure, Outcome, Sandbox, ensure,
    pack::{Publisher, host_target},
};

use crate::{
    forge::{Forge, read, with_flipped, write},
    refuses,
};

/// Places in a file of `len` bytes: both ends and between.
fn places(len: usize) -> [usize; 3] {
    [0, len / 2, len - 1]
}

#[test]
fn a_flipped_bit_in_what_is_signed_or_signs_is_refused() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    for path in [forge.publisher.manifest("tree", "1.0.0"), forge.signature()?] {
        for at in places(read(&path)?.len()) {
            with_flipped(&path, at, || {
                refuses(
                    &sandbox,
                    &forge.publisher,
                    20,
                    &["could not verify pack", "nothing was written", "  hint: "],
                )
            })?;
        }
    }
    Ok(())
}

#[test]
fn a_flipped_bit_in_what_is_hashed_is_damage() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    for end in [".tar.zst", ".idx.zst"] {
        let path = forge.publisher.depot_file("blobs", "tree-1.0.0-", end)?;
        let len = read(&path)?.len();
        // The last frame of a blob is the seek table of the zstd format, which says nothing that the index does not.
        for at in places(if end == ".tar.zst" { len * 9 / 10 } else { len }) {
            with_flipped(&path, at, || {
                refuses(&sandbox, &forge.publisher, 21, &["sha256 is `", "expected `", "copy"])
            })?;
        }
    }
    Ok(())
}

#[test]
fn the_packer_finds_damage_in_every_file_of_a_depot() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    let depot = forge.publisher.depot();
    let verify = || {
        sandbox
            .packer(["verify"])
            .arg(&depot)
            .arg("--trust")
            .arg(forge.publisher.root_json())
    };
    verify().answer()?;
    let files = kojibox_tests::tree::picture(&depot)?;
    let names = files.iter().filter(|(_, what)| *what != "dir").map(|(name, _)| name);
    let mut seen = 0;
    for name in names.filter(|name| name.starts_with("packs/") || name.starts_with("blobs/")) {
        let path = depot.join(name);
        let len = read(&path)?.len();
        with_flipped(&path, len / 2, || {
            let (code, done) = verify().any()?;
            ensure(matches!(code, 20 | 21), || {
                format!(
                    "`{name}` is damaged, but verify ends with {code}\n{}{}",
                    done.stdout, done.stderr
                )
            })
        })?;
        seen += 1;
    }
    ensure(seen >= 6, || format!("only {seen} files of the depot were tried"))?;
    verify().answer().map(drop)
}

#[test]
fn a_cut_blob_and_a_missing_one_are_told_apart() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    let blob = forge.publisher.depot_file("blobs", "tree-1.0.0-", ".tar.zst")?;
    let name = blob
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let bytes = read(&blob)?;
    write(&blob, &bytes[..bytes.len() / 2])?;
    refuses(&sandbox, &forge.publisher, 21, &["bytes", &name])?;
    fs::remove_file(&blob).map_err(Failure::doing("could not remove a file"))?;
    refuses(&sandbox, &forge.publisher, 33, &[&name])
}

#[test]
fn a_missing_part_is_named() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    publisher.build_tree(
        "1.0.0",
        &[("a.txt", b"a"), ("big.bin", &crate::forge::noise(20_000_000))],
    )?;
    let stick = sandbox.path("stick");
    // A part holds whole frames, which are up to 8 MiB.
    let run = sandbox.packer(["stick", "--part-size", "9000000"]).arg(&stick);
    let run = run.arg("--depot").arg(publisher.depot()).arg("--trust");
    run.arg(publisher.root_json()).answer()?;
    let picture = sandbox.picture("stick/blobs")?;
    let part = picture
        .keys()
        .find(|name| name.starts_with("tree-") && name.ends_with(".002"))
        .cloned();
    let part = part.ok_or_else(|| Failure::new(format!("the blob was not cut into parts: {:?}", picture.keys())))?;
    let installer = stick.join(format!("install-{}", host_target()));
    let install = |root: &str| {
        sandbox
            .run(&installer)
            .args(["install", "--yes", "--root"])
            .arg(sandbox.path(root))
    };
    install("whole").answer()?;
    fs::rename(stick.join("blobs").join(&part), sandbox.path("away"))
        .map_err(Failure::doing("could not move a part"))?;
    install("cut").fails(33).says(part).says("  hint: ").answer()?;
    crate::expect_nothing_installed(&sandbox.path("cut"))
}

#[test]
fn damage_after_the_install_began_leaves_the_active_generation_alone() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    let root = sandbox.path("root");
    forge.publisher.install_run(&root).answer()?;
    let before = sandbox.picture("root/components")?;
    forge.publisher.build_tree(
        "1.1.0",
        &[("a.txt", b"new"), ("big.bin", &crate::forge::noise(3_000_000))],
    )?;
    let blob = forge.publisher.depot_file("blobs", "tree-1.1.0-", ".tar.zst")?;
    let at = read(&blob)?.len() * 3 / 4;
    with_flipped(&blob, at, || {
        let run = sandbox
            .installer(["update", "--yes", "--source"])
            .arg(forge.publisher.depot())
            .arg("--root")
            .arg(&root);
        run.fails(21)
            .says("could not stage component `tree`")
            .says("generation 1 stays active")
            .answer()?;
        kojibox_tests::tree::expect_same("the active trees", &before, &sandbox.picture("root/components")?)
    })?;
    // The same command again finishes the job.
    let run = sandbox
        .installer(["update", "--yes", "--source"])
        .arg(forge.publisher.depot())
        .arg("--root")
        .arg(&root);
    run.answer()?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer().map(drop)
}
