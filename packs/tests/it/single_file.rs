//! Depots with litter, and packs in one file.

use std::{fs, io::Cursor, path::Path};

use kojibox_packs::{
    Kind,
    source::{self, BlobSource, Kpack, KpackWriter, Section, SourceError, exceeds_fat32},
};

use crate::fixture::{Packed, Seen, extract_from, lacks, options, tree, verify};

const ROOT16: &str = "0011223344556677";
const MANIFEST: &str = "p-1.0.0-any.kbx.json";

/// A depot around a packed tree, with one of every kind of file.
fn depot() -> Packed {
    let packed = Packed::new(tree(), &options());
    let top = packed.dir.path();
    fs::create_dir_all(top.join("trust").join(ROOT16)).unwrap();
    fs::write(top.join("trust").join(ROOT16).join("1.root.json"), b"root").unwrap();
    fs::write(top.join("packs").join(MANIFEST), b"manifest").unwrap();
    fs::write(
        top.join("packs").join(format!("{MANIFEST}.{ROOT16}.sshsig")),
        b"signature",
    )
    .unwrap();
    fs::write(top.join("packs/p-1.0.0-any.SHA256SUMS"), b"sums").unwrap();
    fs::write(top.join("packs/p-1.0.0-any.cdx.json"), b"sbom").unwrap();
    packed
}

/// All files of a depot in the order of a single-file pack.
fn members(packed: &Packed) -> Vec<(Section, String)> {
    let signature = format!("{MANIFEST}.{ROOT16}.sshsig");
    let (blob, index) = (packed.component.blob.name.clone(), packed.component.index.name.clone());
    vec![
        (Section::Packs, MANIFEST.to_owned()),
        (Section::Packs, signature),
        (Section::Trust(ROOT16.to_owned()), "1.root.json".to_owned()),
        (Section::Packs, "p-1.0.0-any.SHA256SUMS".to_owned()),
        (Section::Packs, "p-1.0.0-any.cdx.json".to_owned()),
        (Section::Blobs, index),
        (Section::Blobs, blob),
    ]
}

fn pack(packed: &Packed, members: &[(Section, String)]) -> std::io::Result<Vec<u8>> {
    let source = packed.source();
    let mut out = KpackWriter::new(Vec::new());
    for (section, name) in members {
        let bytes = source.read_small(section, name, 1 << 30).unwrap().unwrap();
        out.add(section, name, bytes.len() as u64, &mut Cursor::new(bytes))?;
    }
    let (bytes, len) = out.finish()?;
    assert_eq!(bytes.len() as u64, len);
    Ok(bytes)
}

fn kpack(packed: &Packed) -> Vec<u8> {
    pack(packed, &members(packed)).unwrap()
}

fn write(dir: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.join("x.kpack");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_single_file_pack_gives_the_same_files_and_tree_as_its_depot() {
    let packed = depot();
    let path = write(packed.dir.path(), &kpack(&packed));
    let depot = source::open(packed.dir.path()).unwrap();
    let single = source::open(&path).unwrap();
    for section in [
        Section::Packs,
        Section::Blobs,
        Section::Trust(ROOT16.to_owned()),
        Section::Parity,
    ] {
        let names = depot.list(&section).unwrap();
        assert_eq!(single.list(&section).unwrap(), names);
        for name in names {
            let read = |source: &dyn BlobSource| source.read_small(&section, &name, 1 << 30).unwrap().unwrap();
            assert!(read(&*single) == read(&*depot), "{name}");
        }
    }
    assert_eq!(single.manifests().unwrap(), [MANIFEST]);
    assert_eq!(single.signatures(MANIFEST).unwrap().len(), 1);
    assert_eq!(
        (single.publishers().unwrap(), depot.publishers().unwrap()),
        (vec![ROOT16.into()], vec![ROOT16.into()])
    );
    let index = packed.index();
    let seen = extract_from(&*single, &packed.component, &index, 2).unwrap();
    assert_eq!(seen.entries, Seen::expected(&tree()));
}

#[test]
#[cfg(unix)]
fn stock_tar_lists_and_unpacks_a_single_file_pack() {
    if lacks(&["tar"]) {
        return;
    }
    let packed = depot();
    let path = write(packed.dir.path(), &kpack(&packed));
    let out = packed.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let tar = std::process::Command::new("tar")
        .arg("-xf")
        .arg(&path)
        .arg("-C")
        .arg(&out)
        .output()
        .unwrap();
    assert!(tar.status.success() && tar.stderr.is_empty(), "{tar:?}");
    verify(&kojibox_packs::source::Depot::open(&out).unwrap(), &packed.component).unwrap();
}

#[test]
fn litter_is_left_out_and_only_file_names_are_opened() {
    let packed = depot();
    let top = packed.dir.path();
    for litter in [
        "._p-1.0.0-any.kbx.json",
        ".DS_Store",
        "Thumbs.db",
        "p (1).kbx.json",
        "P-1.0.0-ANY.KBX.JSON",
    ] {
        fs::write(top.join("packs").join(litter), b"litter").unwrap();
    }
    fs::create_dir(top.join("packs/dir.kbx.json")).unwrap();
    fs::create_dir(top.join("trust/System Volume Information")).unwrap();
    let source = packed.source();
    assert_eq!(source.manifests().unwrap(), [MANIFEST]);
    assert_eq!(source.publishers().unwrap(), [ROOT16]);
    fs::write(top.join("secret"), b"secret").unwrap();
    for name in [
        "../secret",
        "/etc/passwd",
        "..",
        ".",
        "",
        "._p-1.0.0-any.kbx.json",
        "a/b",
        "c:\\x",
    ] {
        let error = source.open(&Section::Packs, name).err().expect(name);
        assert!(matches!(error, SourceError::Name(_)), "{name}: {error:?}");
    }
    let error = source.list(&Section::Trust("../..".into())).unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert!(source.open(&Section::Feed("../packs".into()), "x").is_err());
    let error = source.read_small(&Section::Packs, MANIFEST, 3).unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { max: 3, .. }));
    assert_eq!(source.read_small(&Section::Packs, "none.kbx.json", 3).unwrap(), None);
}

/// A pipe has no other end here, so whoever opens it as a file waits for ever. It stands for devices too.
#[test]
#[cfg(unix)]
fn a_pipe_in_the_place_of_a_file_keeps_nobody_waiting() {
    if lacks(&["mkfifo"]) {
        return;
    }
    let (says, hears) = std::sync::mpsc::channel();
    // A thread of its own, so that a wait is a failure. It ends with the test's process.
    std::thread::spawn(move || {
        let packed = depot();
        let (top, blob) = (packed.dir.path(), &packed.component.blob.name);
        let pipe = |path: &Path| {
            drop(fs::remove_file(path));
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.unwrap().success());
        };
        let depot = kojibox_packs::source::Depot::open(top).unwrap();
        let listed = depot.list(&Section::Packs).unwrap();
        pipe(&top.join("packs/a-1.0.0-any.kbx.json"));
        pipe(&top.join("blobs").join(blob));
        pipe(&top.join("pipe.kpack"));
        let blob = depot.open(&Section::Blobs, blob).err().map(|e| format!("{e:?}"));
        let single = source::open(&top.join("pipe.kpack")).err().map(|e| format!("{e:?}"));
        drop(says.send((depot.list(&Section::Packs).unwrap() == listed, blob, single)));
    });
    let (unlisted, blob, single) = hears.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
    assert!(unlisted, "a pipe is litter");
    for refused in [blob, single] {
        let refused = refused.unwrap_or_default();
        assert!(refused.contains("it is no regular file"), "{refused}");
    }
}

#[test]
fn what_is_no_source_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let error = source::open(&dir.path().join("nothing")).unwrap_err();
    assert_eq!(error.kind(), Kind::MediumMissing);
    let error = source::open(dir.path()).unwrap_err();
    assert!(matches!(&error, SourceError::NoDepot(_)), "{error:?}");
    let file = dir.path().join("file");
    fs::write(&file, b"no pack").unwrap();
    assert_eq!(source::open(&file).unwrap_err().kind(), Kind::Damaged);
}

#[test]
fn every_flipped_byte_of_the_container_is_found_or_found_later() {
    let packed = depot();
    let good = kpack(&packed);
    let path = write(packed.dir.path(), &good);
    let places: Vec<usize> = Kpack::open(&path)
        .unwrap()
        .members()
        .map(|(_, name, _)| name.len())
        .collect();
    assert_eq!(places.len(), 7);
    // The first header, and a step through everything.
    for at in (0..512).chain((512..good.len()).step_by(4001)) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        write(packed.dir.path(), &bad);
        match Kpack::open(&path) {
            Err(error) => assert_eq!(error.kind(), Kind::Damaged, "byte {at}: {error}"),
            Ok(kpack) => {
                let same = |(section, name): &(Section, String)| {
                    let here = kpack.read_small(section, name, 1 << 30).ok().flatten();
                    here == packed.source().read_small(section, name, 1 << 30).unwrap()
                };
                // A byte of padding changes nothing; every other one is in a member that is checked on its own.
                let changed = members(&packed).iter().filter(|m| !same(m)).count();
                assert!(changed <= 1 && at >= 512, "byte {at}");
            }
        }
    }
}

#[test]
fn containers_cut_anywhere_are_damaged() {
    let packed = depot();
    let good = kpack(&packed);
    for len in (0..good.len())
        .step_by(3071)
        .chain([good.len() - 1, good.len() - 512, good.len() - 1024])
    {
        let path = write(packed.dir.path(), &good[..len]);
        assert_eq!(Kpack::open(&path).unwrap_err().kind(), Kind::Damaged, "{len} bytes");
    }
    let path = write(packed.dir.path(), &[&good[..], &[0; 512]].concat());
    assert!(Kpack::open(&path).is_err(), "bytes after the end");
}

#[test]
fn order_names_and_kinds_of_members_are_fixed() {
    let packed = depot();
    let mut swapped = members(&packed);
    swapped.swap(0, 1);
    assert!(pack(&packed, &swapped).is_err());
    let mut out = KpackWriter::new(Vec::new());
    for (section, name) in [
        (Section::Packs, "../x"),
        (Section::Feed(ROOT16.into()), "x"),
        (Section::Trust("x".into()), "x"),
    ] {
        assert!(out.add(&section, name, 0, &mut Cursor::new(b"")).is_err(), "{name}");
    }
    for size in [2, 4] {
        let mut out = KpackWriter::new(Vec::new());
        assert!(
            out.add(&Section::Packs, MANIFEST, size, &mut Cursor::new(b"abc"))
                .is_err(),
            "{size} bytes stated"
        );
    }
}

/// Containers as other programs would make them.
fn foreign(make: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    make(&mut builder);
    builder.into_inner().unwrap()
}

fn member(kind: tar::EntryType, name: &str, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(0o644);
    header.set_mtime(315_532_800);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_device_major(0).unwrap();
    header.set_device_minor(0).unwrap();
    header.set_cksum();
    // The crate writes seven digits, POSIX and Kojibox six, a NUL and a space.
    let sum = header.cksum().unwrap();
    header.as_mut_bytes()[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

type Make = Box<dyn Fn(&mut tar::Builder<Vec<u8>>)>;

#[test]
fn containers_of_other_programs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("packs/{MANIFEST}");
    let one = |kind, name: &str, size| -> Make {
        let header = member(kind, name, size);
        Box::new(move |b| b.append(&header, &b"abc"[..]).unwrap())
    };
    let twice: Make = {
        let header = member(tar::EntryType::Regular, &name, 3);
        Box::new(move |b| (0..2).for_each(|_| b.append(&header, &b"abc"[..]).unwrap()))
    };
    let swapped: Make = {
        let headers = ["blobs/x.tar.zst", &name].map(|name| member(tar::EntryType::Regular, name, 3));
        Box::new(move |b| headers.iter().for_each(|header| b.append(header, &b"abc"[..]).unwrap()))
    };
    let cases: Vec<(&str, Make)> = vec![
        ("out of order", swapped),
        ("form", one(tar::EntryType::Symlink, &name, 0)),
        ("form", one(tar::EntryType::Directory, "packs/", 0)),
        ("form", one(tar::EntryType::GNULongName, &name, 3)),
        ("form", one(tar::EntryType::XGlobalHeader, &name, 3)),
        ("form", one(tar::EntryType::XHeader, &name, 3)),
        ("does not belong", one(tar::EntryType::Regular, "../x", 3)),
        ("does not belong", one(tar::EntryType::Regular, "packs/../x", 3)),
        ("does not belong", one(tar::EntryType::Regular, "/packs/x", 3)),
        ("does not belong", one(tar::EntryType::Regular, "packs/X", 3)),
        ("does not belong", one(tar::EntryType::Regular, "other/x", 3)),
        ("does not belong", one(tar::EntryType::Regular, "x", 3)),
        ("cut short", one(tar::EntryType::Regular, &name, 0o7_7777_7777)),
        ("twice", twice),
    ];
    for (text, make) in cases {
        let path = write(dir.path(), &foreign(make));
        let error = Kpack::open(&path).unwrap_err();
        let why = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(error.kind() == Kind::Damaged && why.contains(text), "{text}: {why}");
    }
    let path = write(
        dir.path(),
        &foreign(|b| {
            b.append(&member(tar::EntryType::Regular, &name, 3), &b"abc"[..])
                .unwrap();
        }),
    );
    assert!(Kpack::open(&path).is_ok(), "the honest form of the same is read");
}

/// A file with a hole, which only some systems make without writing it.
#[test]
#[cfg(unix)]
fn members_behind_4_gib_are_read_at_their_place() {
    use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.kpack");
    let hole = 5_u64 << 30;
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(member(tar::EntryType::Regular, "blobs/a.tar.zst", hole).as_bytes())
        .unwrap();
    file.seek(SeekFrom::Start(512 + hole)).unwrap();
    file.write_all(member(tar::EntryType::Regular, "blobs/b.tar.zst", 3).as_bytes())
        .unwrap();
    file.write_all(b"abc").unwrap();
    file.set_len(512 + hole + 1024 + 1024).unwrap();
    let kpack = Kpack::open(&path).unwrap();
    assert_eq!(
        kpack.read_small(&Section::Blobs, "b.tar.zst", 9).unwrap().unwrap(),
        b"abc"
    );
    let mut blob = kpack.open(&Section::Blobs, "a.tar.zst").unwrap().unwrap();
    assert_eq!(blob.seek(SeekFrom::End(0)).unwrap(), hole);
    assert_eq!(blob.seek(SeekFrom::Start(hole - 1)).unwrap(), hole - 1);
    assert_eq!(
        blob.read(&mut [1; 9]).unwrap(),
        1,
        "a window ends where its member ends"
    );
}

#[test]
fn sizes_above_fat32_are_known() {
    assert!(!exceeds_fat32((4 << 30) - 1) && exceeds_fat32(4 << 30));
}
