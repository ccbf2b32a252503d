//! Targets that are not an ordinary disk: each is served or refused, with a clear verdict before anything is written.

use std::{fs, path::PathBuf};

use kojibox_tests::{
    Failure, Outcome, Sandbox, ensure,
    image::{Access, FileSystem, Image, Mounted, unless_lacking},
    pack::Publisher,
    tree,
};

/// A pack without services, and one that wants programs to run.
fn published(sandbox: &Sandbox) -> Outcome<Publisher<'_>> {
    let publisher = Publisher::new(sandbox, "publisher")?;
    publisher.build_tree("1.0.0", &[("page.html", b"hello"), ("sub/other.txt", b"text")])?;
    Ok(publisher)
}

/// A directory that everybody may write to, as a mount point.
fn mount_point(sandbox: &Sandbox, name: &str) -> Outcome<PathBuf> {
    let marker = sandbox.write(&format!("{name}/.keep"), "")?;
    fs::remove_file(marker).map_err(Failure::doing("could not empty a mount point"))?;
    Ok(sandbox.path(name))
}

#[test]
fn long_paths_spaces_and_other_alphabets_are_places_like_any_other() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let long = format!("{}/{}/{}", "l".repeat(100), "o".repeat(100), "n".repeat(50));
    for name in ["with a space", "日本語 und Größe", "-dash", &long] {
        let root = sandbox.path(name);
        publisher.install_run(&root).answer()?;
        let moved = sandbox.path(format!("moved {}", name.len()));
        fs::rename(&root, &moved).map_err(Failure::doing(format!("could not move `{name}`")))?;
        let on = |command: &str| sandbox.installer([command, "--root"]).arg(&moved);
        on("verify").answer()?;
        let (code, done) = on("repair").any()?;
        ensure(code == 50, || format!("`{name}`: {code} {}", done.stderr))?;
        on("uninstall").arg("--yes").answer()?;
        ensure(!moved.exists(), || format!("`{name}` was to be gone"))?;
    }
    Ok(())
}

#[test]
fn a_path_that_no_program_could_open_is_refused() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let deep: PathBuf = std::iter::repeat_n("d".repeat(200), 20).collect();
    let run = publisher.install_run(&sandbox.path(deep)).fails(32);
    run.says("too long a path")
        .says("nothing was written")
        .answer()
        .map(drop)
}

#[test]
fn volumes_inside_a_root_are_judged_before_anything_is_written() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let root = sandbox.path("root");
    publisher.install_run(&root).answer()?;
    publisher.build_tree("1.1.0", &[("page.html", b"hello again")])?;
    let update = || {
        let run = sandbox
            .installer(["update", "--yes", "--source"])
            .arg(publisher.depot());
        run.arg("--root").arg(&root)
    };
    let before = sandbox.picture("root")?;
    let apart = r#"mount --bind "$0/staging" "$0/staging" && exec "$@""#;
    update()
        .in_mounts(apart, &root)
        .fails(32)
        .says("`staging` of")
        .says("is on another volume")
        .says("nothing was written")
        .answer()?;
    tree::expect_same("the root", &before, &sandbox.picture("root")?)?;
    mount_point(&sandbox, "root/data")?;
    let data = r#"mount -t tmpfs -o size=40m,mode=777 none "$0/data" && exec "$@""#;
    update().in_mounts(data, &root).answer().map(drop)
}

#[test]
fn a_volume_that_runs_no_programs_says_so() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    publisher.build(&kojibox_tests::pack::demo_stack(&sandbox, 1)?)?;
    let dir = mount_point(&sandbox, "noexec")?;
    let mount = r#"mount -t tmpfs -o size=400m,mode=777,noexec none "$0" && exec "$@""#;
    let run = publisher.install_run(&dir.join("root")).in_mounts(mount, &dir);
    run.fails(32)
        .says("cannot run programs")
        .says("mounted `noexec`")
        .says("nothing was written")
        .answer()
        .map(drop)
}

#[test]
fn a_volume_that_takes_few_files_says_so() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = published(&sandbox)?;
    let dir = mount_point(&sandbox, "few")?;
    let mount = r#"mount -t tmpfs -o size=400m,mode=777,nr_inodes=50 none "$0" && exec "$@""#;
    let run = publisher
        .install_run(&dir.join("root"))
        .in_mounts(mount, &dir)
        .fails(31);
    run.says("not enough space")
        .says("files and directories needed")
        .says("nothing was written")
        .answer()
        .map(drop)
}

#[test]
fn ext4_on_an_image_is_a_disk() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let Some(stick) = mounted(&sandbox, FileSystem::Ext4)? else {
        return Ok(());
    };
    let publisher = published(&sandbox)?;
    let root = stick.path().join("root");
    publisher.install_run(&root).answer()?;
    sandbox.installer(["verify", "--root"]).arg(&root).answer()?;
    sandbox
        .installer(["uninstall", "--yes", "--root"])
        .arg(&root)
        .answer()
        .map(drop)
}

#[test]
fn exfat_holds_what_runs_without_modes_and_refuses_data() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let Some(stick) = mounted(&sandbox, FileSystem::ExFat)? else {
        return Ok(());
    };
    let publisher = published(&sandbox)?;
    let root = stick.path().join("root");
    publisher
        .install_run(&root)
        .warns()
        .says("has no file modes")
        .answer()?;
    let on = |command: &str| sandbox.installer([command, "--root"]).arg(&root);
    on("verify").answer()?;
    // Damage is found and repaired there as anywhere.
    let picture = tree::picture(&root.join("components"))?;
    let victim = picture.keys().find(|path| path.ends_with("page.html"));
    let victim = root.join("components").join(victim.map_or("", String::as_str));
    sandbox
        .run("/bin/sh")
        .args(["-c", r#"echo X > "$0""#])
        .arg(&victim)
        .go()?;
    on("verify").fails(21).says("page.html").answer()?;
    on("repair").arg("--source").arg(publisher.depot()).answer()?;
    on("verify").answer()?;
    publisher.build_tree("1.1.0", &[("page.html", b"hello again")])?;
    on("update")
        .arg("--yes")
        .arg("--source")
        .arg(publisher.depot())
        .warns()
        .answer()?;
    on("rollback").answer()?;
    on("uninstall").arg("--yes").answer()?;
    ensure(!root.exists(), || "the root was to be gone".into())?;

    let with_data = Publisher::new(&sandbox, "with-data")?;
    with_data.build(&kojibox_tests::pack::demo_stack(&sandbox, 1)?)?;
    let before = tree::picture(stick.path())?;
    let run = with_data.install_run(&root).fails(32);
    run.says("cannot keep a file from other users")
        .says("nothing was written")
        .answer()?;
    tree::expect_same("the stick", &before, &tree::picture(stick.path())?)
}

#[test]
fn a_driver_that_cannot_add_to_a_file_is_refused() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let Some(stick) = mounted(&sandbox, FileSystem::Fat32)? else {
        return Ok(());
    };
    let publisher = published(&sandbox)?;
    let run = publisher.install_run(&stick.path().join("root")).fails(32).warns();
    run.says("cannot add to a file").says("nothing was written").answer()?;
    let left = tree::picture(stick.path())?;
    ensure(left.is_empty(), || format!("left on the stick: {left:?}"))
}

/// A file system in an image; `None` on a machine that cannot have it.
fn mounted(sandbox: &Sandbox, kind: FileSystem) -> Outcome<Option<Mounted>> {
    let (file, at) = (sandbox.path("image"), sandbox.path("a stick"));
    let made = Image::make(file, kind, 200 << 20).and_then(|image| image.mount(at, Access::Writable));
    unless_lacking(&format!("{kind:?} through a driver"), made)
}
