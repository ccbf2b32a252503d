//! Owns the tests of archives and trees: what is taken, what is refused, what becomes portable.

use std::{
    fs,
    io::{Cursor, Write as _},
    path::Path,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, write::GzEncoder};
use kojibox_packer::definition::{Origin, ResolvedComponent, Steps};
use kojibox_packs::Target;
use kojibox_signing::Digest;
use tar::{EntryType, Header};
use zip::{ZipWriter, write::SimpleFileOptions};

use super::desk::{Desk, component, file_url, listing, url};

/// A tar of members: type, path as it is, mode, content or target.
fn tar(members: &[(EntryType, &str, u32, &str)]) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    for (kind, path, mode, text) in members {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        let is_file = *kind == EntryType::Regular;
        header.set_size(if is_file { text.len() as u64 } else { 0 });
        // Written raw: the builder itself would refuse `..`.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if !is_file {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        out.append(&header, if is_file { text.as_bytes() } else { &[] })
            .unwrap();
    }
    out.into_inner().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn file<'a>(path: &'a str, text: &'a str) -> (EntryType, &'a str, u32, &'a str) {
    (EntryType::Regular, path, 0o644, text)
}

fn from(desk: &Desk, name: &str, bytes: &[u8]) -> ResolvedComponent {
    url(&[&file_url(&desk.write(name, bytes))], None)
}

fn wheel(files: &[(&str, &str)], record: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, text) in files.iter().chain([&("thing-1.dist-info/RECORD", record)]) {
        let mode = if path.contains("/bin/") { 0o755 } else { 0o644 };
        zip.start_file(*path, SimpleFileOptions::default().unix_permissions(mode))
            .unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn record(files: &[(&str, &str)]) -> String {
    let line = |(path, text): &(&str, &str)| {
        let digest = URL_SAFE_NO_PAD.encode(Digest::of(text.as_bytes()).as_bytes());
        format!("{path},sha256={digest},{}\n", text.len())
    };
    files.iter().map(line).collect::<String>() + "thing-1.dist-info/RECORD,,\n"
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        out.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                100_644,
                bytes.len()
            )
            .bytes(),
        );
        out.extend(*bytes);
        out.extend(&b"\n"[..bytes.len() % 2]);
    }
    out
}

#[test]
fn every_compression_of_a_tar_gives_the_same_tree() {
    let desk = Desk::new();
    let plain = tar(&[
        (EntryType::Directory, "p/", 0o700, ""),
        (EntryType::Regular, "./p/bin/go", 0o4750, "go"),
        (EntryType::Link, "p/bin/again", 0o644, "p/bin/go"),
        (EntryType::Symlink, "p/go", 0o777, "bin/go"),
        (EntryType::Directory, "p/empty", 0o755, ""),
    ]);
    let expected = [
        "p/",
        "p/bin/",
        "p/bin/again* go",
        "p/bin/go* go",
        "p/empty/",
        "p/go -> bin/go",
    ];
    let zst = zstd::encode_all(&plain[..], 3).unwrap();
    // `printf a | xz` cannot be written without an encoder; the tests over the network read real ones.
    for (name, bytes) in [("a.tar", plain.clone()), ("a.tgz", gz(&plain)), ("a.bin", zst)] {
        let tree = desk.make(&from(&desk, name, &bytes)).unwrap();
        assert_eq!(listing(&tree), expected, "{name}");
    }
    let mut kept = from(&desk, "b.tgz", &gz(&plain));
    if let Origin::Url { unpack, .. } = &mut kept.source.origin {
        *unpack = false;
    }
    assert_eq!(desk.make(&kept).unwrap().entries.len(), 1);
}

#[test]
fn long_names_of_both_kinds_are_read() {
    let desk = Desk::new();
    let long = format!("{}/file", ["a-rather-long-folder-name"; 8].join("/"));
    let mut gnu = tar::Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    gnu.append_data(&mut header, &long, &b"x"[..]).unwrap();
    let mut pax = tar::Builder::new(Vec::new());
    pax.append_pax_extensions([("path", long.as_bytes())]).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    pax.append(&header, &b"x"[..]).unwrap();
    for bytes in [gnu.into_inner().unwrap(), pax.into_inner().unwrap()] {
        let tree = desk.make(&from(&desk, "a.tar", &bytes)).unwrap();
        assert_eq!(*listing(&tree).last().unwrap(), format!("{long} x"));
    }
}

#[test]
fn hostile_members_are_refused_and_nothing_leaves_scratch() {
    let desk = Desk::new();
    let (link, hard) = (EntryType::Symlink, EntryType::Link);
    let cases = [
        (file("../evil", "x"), "leads out of the archive"),
        (file("a/../../evil", "x"), "leads out of the archive"),
        (file("/evil", "x"), "not a relative path"),
        (file("C:\\evil", "x"), "not a relative path"),
        (file("a\\b", "x"), "not a relative path"),
        (file("CON", "x"), "cannot be in a pack"),
        (file("ab:c", "x"), "cannot be in a pack"),
        (file("a.", "x"), "cannot be in a pack"),
        ((link, "l", 0o777, "../../evil"), "leads out of the tree"),
        ((link, "l", 0o777, "/etc/passwd"), "not to a relative path"),
        ((link, "l", 0o777, "nothing"), "not in the tree"),
        ((hard, "h", 0o644, "/etc/passwd"), "not a relative path"),
        ((hard, "h", 0o644, "before"), "no file before it"),
        ((EntryType::Fifo, "f", 0o644, ""), "neither file, folder nor link"),
        ((EntryType::Block, "f", 0o644, ""), "neither file, folder nor link"),
    ];
    for (member, reason) in cases {
        let text = desk.refusal(&from(&desk, "a.tgz", &gz(&tar(&[file("ok", "1"), member]))));
        assert!(text.contains(reason) && text.contains('`'), "{member:?}: {text}");
    }
    let shadow = tar(&[(link, "a", 0o777, "b"), file("b/x", "1"), file("a/x", "2")]);
    assert!(
        desk.refusal(&from(&desk, "a.tar", &shadow))
            .contains("and a folder too")
    );
    assert!(!desk.path("evil").exists() && !Path::new("/evil").exists());
    let cut = gz(&tar(&[file("a", &"x".repeat(5000))]));
    let text = desk.refusal(&from(&desk, "a.tgz", &cut[..cut.len() - 20]));
    assert!(text.contains("could not unpack `a.tgz`"), "{text}");
}

#[test]
fn a_wheel_is_what_its_record_says() {
    let desk = Desk::new();
    let files = [("thing/bin/go", "go"), ("thing/it's, here.txt", "text")];
    let listed = record(&files).replace("thing/it's, here.txt", "\"thing/it's, here.txt\"");
    // Taken as a wheel by the kind of its source: here through a cache that was filled before.
    let make = |bytes: &[u8]| {
        let (sha256, size) = desk.cache.insert(&mut &*bytes).unwrap();
        let origin = Origin::Pypi {
            name: "thing".to_owned(),
            version: "1".to_owned(),
            platforms: vec!["any".to_owned()],
            python: None,
        };
        let thing = component(origin, Steps::default());
        let mut entry = desk.lock(&from(&desk, "x", b"x")).unwrap();
        entry.inputs[0].name = "thing-1-py3-none-any.whl".to_owned();
        (entry.inputs[0].sha256, entry.inputs[0].size) = (sha256, size);
        desk.prepare(&thing, &entry).map_err(|e| super::desk::chain(&e))
    };
    let tree = make(&wheel(&files, &listed)).unwrap();
    assert!(tree.portable && tree.upstream == "pypi:thing==1");
    assert!(listing(&tree).contains(&"thing/bin/go* go".to_owned()));
    let evil = [("thing/bin/go", "no"), files[1]];
    let more = [files[0], files[1], ("thing/extra", "x")];
    for (bytes, reason) in [
        (wheel(&evil, &listed), "is not what was pinned"),
        (wheel(&more, &listed), "its `RECORD` has no digest for it"),
        (wheel(&files[..1], &listed), "lists it, but it is not there"),
        (
            wheel(&files, &listed.replace("sha256=", "md5=")),
            "has no digest for it",
        ),
    ] {
        let text = make(&bytes).map(|_| ()).unwrap_err();
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn a_debian_package_is_unpacked_without_its_scripts() {
    let desk = Desk::new();
    let control = gz(&tar(&[
        file("./control", "Package: thing\n"),
        file("./postinst", "rm -rf /"),
    ]));
    let data = zstd::encode_all(&tar(&[(EntryType::Regular, "./usr/bin/go", 0o755, "go")])[..], 3).unwrap();
    let deb = ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &control),
        ("data.tar.zst", &data),
    ]);
    let mut thing = from(&desk, "thing.deb", &deb);
    thing.source.steps.strip = Some("usr".to_owned());
    assert_eq!(listing(&desk.make(&thing).unwrap()), ["bin/", "bin/go* go"]);
    let cut = from(&desk, "thing.deb", &deb[..deb.len() - data.len()]);
    assert!(desk.refusal(&cut).contains("could not unpack `thing.deb`"));
}

#[test]
fn windows_gets_copies_for_links_to_files() {
    let mut desk = Desk::new();
    let links = [file("lib/x.1", "x"), (EntryType::Symlink, "lib/x", 0o777, "x.1")];
    let thing = from(&desk, "a.tar", &tar(&links));
    assert_eq!(listing(&desk.make(&thing).unwrap())[1], "lib/x -> x.1");
    desk.target = "windows-x86_64".parse().unwrap();
    let tree = desk.make(&thing).unwrap();
    assert_eq!(listing(&tree), ["lib/", "lib/x x", "lib/x.1 x"]);
    assert!(!tree.portable, "the trees of the two systems differ");
}

#[test]
fn a_folder_is_read_as_it_is_and_text_is_portable() {
    let mut desk = Desk::new();
    desk.write("app/main.js", "1");
    desk.write("app/lib/x.js", "2");
    fs::create_dir_all(desk.path("app/empty")).unwrap();
    let origin = || Origin::Path {
        from: desk.path("app"),
        written: "app".to_owned(),
    };
    let thing = component(origin(), Steps::default());
    let tree = desk.make(&thing).unwrap();
    assert_eq!(listing(&tree), ["empty/", "lib/", "lib/x.js 2", "main.js 1"]);
    assert!(tree.portable && tree.upstream == "path");
    let again = desk.make(&thing).unwrap();
    assert_eq!(again.inputs_sha256, tree.inputs_sha256);

    desk.write("app/main.js", "3");
    assert_ne!(desk.make(&thing).unwrap().inputs_sha256, tree.inputs_sha256);
    desk.write("app/bin/go", b"\x7fELF\x02\x01\x01");
    assert!(!desk.make(&thing).unwrap().portable, "a program is for one system");
    desk.target = Target::Any;
    assert!(desk.make(&thing).unwrap().portable, "unless the pack itself is for any");
}
