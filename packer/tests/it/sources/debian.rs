//! Owns the tests of closures: small Debian packages made here, an `apt-get` that is a script, and what is bundled of them.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use kojibox_console::Exit;
use kojibox_packer::definition::{Closure, Origin, ResolvedComponent, Steps};
use kojibox_packs::write::InputKind;
use kojibox_signing::Digest;

use super::{
    clients::script,
    desk::{Desk, chain, component},
};

/// An `apt-get` that knows the packages in `pool`, and what `thing` needs.
const APT: &str = r#"
printf '%s\n' "$*" >> "$D/asked"
case "$*" in
*--print-uris*) cat "$D/uris" ;;
*" download "*) cp "$D"/pool/*.deb . ;;
esac
"#;

const LOADER: &[u8] = b"/lib64/ld-linux-x86-64.so.2\0";

/// An ELF file: what it needs, what it is called (programs are not), where it looks.
fn elf(machine: u16, needed: &[&str], soname: Option<&str>, runpath: Option<&str>) -> Vec<u8> {
    let mut strings = vec![0u8];
    let mut entries: Vec<[u64; 2]> = Vec::new();
    let names = needed.iter().map(|n| (1u64, *n));
    for (tag, name) in names.chain(soname.map(|n| (14, n))).chain(runpath.map(|n| (29, n))) {
        entries.push([tag, strings.len() as u64]);
        strings.extend(name.bytes());
        strings.push(0);
    }
    let at_loader = 64 + 3 * 56u64;
    let at_strings = at_loader + LOADER.len() as u64;
    let at_dynamic = at_strings + strings.len() as u64;
    entries.extend([[5, at_strings], [10, strings.len() as u64], [0, 0]]);
    let dynamic: Vec<u8> = entries.iter().flatten().flat_map(|n| n.to_le_bytes()).collect();
    let total = at_dynamic + dynamic.len() as u64;
    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([3u16, machine].map(u16::to_le_bytes).concat());
    out.extend(1u32.to_le_bytes());
    out.extend([0u64, 64, 0].map(u64::to_le_bytes).concat());
    out.extend(0u32.to_le_bytes());
    out.extend([64u16, 56, 3, 0, 0, 0].map(u16::to_le_bytes).concat());
    // A segment of kind 0 is passed over.
    let loader = if soname.is_none() { 3u32 } else { 0 };
    let segments = [
        (1, 0, total),
        (loader, at_loader, LOADER.len() as u64),
        (2, at_dynamic, dynamic.len() as u64),
    ];
    for (kind, at, len) in segments {
        out.extend(kind.to_le_bytes());
        out.extend(4u32.to_le_bytes());
        out.extend([at, at, at, len, len, 8].map(u64::to_le_bytes).concat());
    }
    out.extend(LOADER);
    out.extend(strings);
    out.extend(dynamic);
    out
}

fn library(needed: &[&str], soname: &str) -> File {
    File::Bytes(elf(62, needed, Some(soname), None))
}

enum File {
    Bytes(Vec<u8>),
    Link(&'static str),
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
        out.resize(out.len() + bytes.len() % 2, b'\n');
    }
    out
}

fn tar(files: &[(&str, File)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, file) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        match file {
            File::Bytes(bytes) => {
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, path, &bytes[..]).unwrap();
            }
            File::Link(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, path, target).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}

fn deb(name: &str, version: &str, files: &[(&str, File)]) -> Vec<u8> {
    let control = format!("Package: {name}\nVersion: {version}\nArchitecture: amd64\n");
    let control = tar(&[("./control", File::Bytes(control.into_bytes()))]);
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar", &control),
        ("data.tar", &tar(files)),
    ])
}

/// Puts packages where the script finds them, and says what `apt-get` says of them.
fn archive(packages: &[(&str, &str, Vec<u8>)]) -> Desk {
    let mut desk = Desk::new();
    script(&mut desk, "apt-get", APT);
    let mut uris = "Reading package lists...\n".to_owned();
    for (name, version, bytes) in packages {
        let file = format!("{name}_{}_amd64.deb", version.replace(':', "%3a"));
        let (size, sha256) = (bytes.len(), Digest::of(bytes));
        writeln!(uris, "'http://archive.example/{file}' {file} {size} SHA256:{sha256}").unwrap();
        desk.write(&format!("pool/{file}"), bytes);
    }
    desk.write("uris", uris);
    desk
}

const LIB: &str = "usr/lib/x86_64-linux-gnu";

/// As older packages have it: at the top, by an absolute link.
fn two() -> Vec<(&'static str, File)> {
    vec![
        (
            "lib/x86_64-linux-gnu/libtwo.so.2.0",
            library(&["libc.so.6"], "libtwo.so.2"),
        ),
        (
            "usr/lib/x86_64-linux-gnu/libtwo.so.2",
            File::Link("/lib/x86_64-linux-gnu/libtwo.so.2.0"),
        ),
    ]
}

fn libc() -> Vec<(&'static str, File)> {
    vec![
        (
            "lib/x86_64-linux-gnu/libc.so.6",
            library(&["ld-linux-x86-64.so.2"], "libc.so.6"),
        ),
        (
            "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
            library(&[], "ld-linux-x86-64.so.2"),
        ),
        (
            "lib/x86_64-linux-gnu/libnss_files.so.2",
            library(&["libc.so.6"], "libnss_files.so.2"),
        ),
        (
            "lib64/ld-linux-x86-64.so.2",
            File::Link("/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
        ),
    ]
}

/// A program that needs a library, which needs another one; a plugin, a link, data, and glibc.
fn shop() -> Desk {
    let lib = |name: &str| format!("{LIB}/{name}");
    let thing = [
        (
            "usr/bin/thing",
            File::Bytes(elf(62, &["libone.so.1", "libc.so.6"], None, None)),
        ),
        ("usr/bin/alias", File::Link("../lib/thing/real")),
        ("usr/lib/thing/real", File::Bytes(elf(62, &["libc.so.6"], None, None))),
        (
            "usr/lib/thing/a.so",
            File::Bytes(elf(62, &["libprivate.so"], None, Some("$ORIGIN/own"))),
        ),
        ("usr/lib/thing/own/libprivate.so", library(&[], "libprivate.so")),
        (
            "usr/lib/thing/big.so",
            File::Bytes(elf(62, &["libhuge.so.9"], None, None)),
        ),
        (
            "usr/lib/thing/arm.so",
            File::Bytes(elf(183, &["libarm.so"], None, None)),
        ),
        ("usr/share/thing/words", File::Bytes(b"words".to_vec())),
        ("usr/share/thing/more", File::Link("/usr/share/common")),
        ("usr/share/doc/thing", File::Link("one")),
        ("usr/share/odd\\x2dname", File::Bytes(b"no pack can hold it".to_vec())),
    ];
    let one = [
        (&*lib("libone.so.1.2.3"), library(&["libtwo.so.2"], "libone.so.1")),
        (&*lib("libone.so.1"), File::Link("libone.so.1.2.3")),
        (&*lib("libunused.so.1"), library(&[], "libunused.so.1")),
        ("usr/share/common/deep/page", File::Bytes(b"page".to_vec())),
        ("usr/share/doc/one/copyright", File::Bytes(b"free".to_vec())),
    ];
    archive(&[
        ("thing", "1:2.0-1", deb("thing", "1:2.0-1", &thing)),
        ("one", "1.2.3", deb("one", "1.2.3", &one)),
        ("two", "2.0", deb("two", "2.0", &two())),
        ("libc6", "2.36", deb("libc6", "2.36", &libc())),
    ])
}

fn thing(roots: &[&str]) -> ResolvedComponent {
    let closure = Closure {
        roots: roots.iter().map(|r| (*r).to_owned()).collect(),
        with: vec!["two=2.0".to_owned()],
    };
    let origin = Origin::Deb {
        name: "thing".to_owned(),
        version: None,
        architecture: "amd64".to_owned(),
        closure: Some(closure),
    };
    component(origin, Steps::default())
}

/// Files by path, with their digests; the bundle has no links.
fn files(desk: &Desk, component: &ResolvedComponent) -> BTreeMap<String, Digest> {
    let tree = desk.make(component).unwrap();
    let mut all = BTreeMap::new();
    for entry in &tree.entries {
        match &entry.kind {
            InputKind::File { open, .. } => {
                let mut bytes = Vec::new();
                open().unwrap().read_to_end(&mut bytes).unwrap();
                all.insert(entry.path.to_string(), Digest::of(&bytes));
            }
            InputKind::Dir { .. } => {}
            InputKind::Link { target } => panic!("`{}` is a link to `{target}`", entry.path),
        }
    }
    all
}

const ROOTS: [&str; 4] = [
    "usr/bin/thing",
    "usr/lib/thing/*.so",
    "!usr/lib/thing/big.so",
    "usr/share/thing",
];

#[test]
fn a_closure_is_pinned_whole_and_fetched_by_name_and_version() {
    let mut desk = shop();
    let entry = desk.lock(&thing(&ROOTS)).unwrap();
    let pinned: Vec<_> = entry
        .inputs
        .iter()
        .map(|i| (&*i.name, &*i.locator, &*i.version))
        .collect();
    assert_eq!(
        pinned,
        [
            ("libc6_2.36_amd64.deb", "deb:libc6=2.36", "2.36"),
            ("one_1.2.3_amd64.deb", "deb:one=1.2.3", "1.2.3"),
            ("thing_1%3a2.0-1_amd64.deb", "deb:thing=1:2.0-1", "1:2.0-1"),
            ("two_2.0_amd64.deb", "deb:two=2.0", "2.0"),
        ]
    );
    assert_eq!(entry.source, "deb:thing:amd64+closure+two=2.0");
    let asked = fs::read_to_string(desk.path("asked")).unwrap();
    let lines: Vec<&str> = asked.lines().collect();
    assert!(
        lines[1].ends_with("--print-uris --yes install thing two=2.0"),
        "{asked}"
    );
    assert!(
        lines[1].contains("/status") && lines[1].contains("APT::Architecture=amd64"),
        "{asked}"
    );
    assert!(
        lines[2].ends_with("download thing=1:2.0-1 one=1.2.3 two=2.0 libc6=2.36"),
        "{asked}"
    );

    // With a filled cache neither the client nor the network is needed; with an empty one exactly this is asked for.
    let upstream = desk.prepare(&thing(&ROOTS), &entry).unwrap().upstream;
    assert_eq!(upstream, "deb:thing=1:2.0-1");
    desk.env.offline = true;
    fs::remove_dir_all(desk.path("bin")).unwrap();
    desk.prepare(&thing(&ROOTS), &entry).unwrap();
    assert_eq!(fs::read_to_string(desk.path("asked")).unwrap(), asked);
}

#[test]
fn what_the_roots_need_is_bundled_under_the_names_it_is_asked_for() {
    let desk = shop();
    let all = files(&desk, &thing(&ROOTS));
    let paths: Vec<&str> = all.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "lib/core/ld-linux-x86-64.so.2",
            "lib/core/ld.so",
            "lib/core/libc.so.6",
            "lib/core/libnss_files.so.2",
            "lib/libone.so.1",
            "lib/libprivate.so",
            "lib/libtwo.so.2",
            "share/doc/one/copyright",
            "share/doc/thing/copyright",
            "usr/bin/thing",
            "usr/lib/thing/a.so",
            "usr/lib/thing/arm.so",
            "usr/share/thing/more/deep/page",
            "usr/share/thing/words",
        ]
    );
    assert_eq!(
        files(&desk, &thing(&ROOTS)),
        all,
        "the same packages make the same tree"
    );
}

/// Runs the packer with the `apt-get` of the desk.
fn packer(desk: &Desk, args: &[&str]) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kojibox-packer"));
    let path = format!("{}:/usr/bin:/bin", desk.path("bin").display());
    command.args(args).current_dir(desk.path("")).env("PATH", path);
    let done = command.env("KOJIBOX_CACHE", desk.cache.dir()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The packages inside the component `name` of the one SBOM in `depot`, by their package URLs.
fn inside(desk: &Desk, depot: &str, name: &str) -> Vec<String> {
    let mut documents = fs::read_dir(desk.path(depot).join("packs"))
        .unwrap()
        .map(|e| e.unwrap().path());
    let sbom = documents
        .find(|path| path.to_str().unwrap().ends_with(".cdx.json"))
        .unwrap();
    let sbom: serde_json::Value = serde_json::from_slice(&fs::read(sbom).unwrap()).unwrap();
    let list = |value: &serde_json::Value| value["components"].as_array().unwrap().clone();
    let component = list(&sbom).into_iter().find(|c| c["name"] == name).unwrap();
    let purls = list(&component)
        .into_iter()
        .filter_map(|c| c["purl"].as_str().map(str::to_owned));
    purls.collect()
}

#[test]
fn the_sbom_names_every_package_that_something_was_taken_from() {
    let desk = shop();
    packer(&desk, &["trust", "init", "--out", "keys", "--unsafe-no-password"]);
    let build = |steps: &str, depot: &str| {
        let stack = format!(
            "[pack]\nname = \"p\"\nversion = \"1.0.0\"\ntargets = [\"linux-x86_64\"]\n\
             [[component]]\nid = \"thing\"\nversion = \"1.0.0\"\n[component.source]\ndeb = \"thing\"\nclosure = true\n\
             roots = {ROOTS:?}\nwith = [\"two=2.0\"]\n{steps}"
        );
        desk.write("stack.toml", stack);
        let words = [
            "build",
            "stack.toml",
            "--key",
            "keys/pack",
            "--trust",
            "keys/root.json",
            "--depot",
            depot,
        ];
        packer(&desk, &words);
        inside(&desk, depot, "thing")
    };
    let all = [
        "pkg:deb/debian/libc6@2.36?arch=amd64",
        "pkg:deb/debian/one@1.2.3?arch=amd64",
        "pkg:deb/debian/thing@1%3A2.0-1?arch=amd64",
        "pkg:deb/debian/two@2.0?arch=amd64",
    ];
    assert_eq!(build("", "depot"), all);
    // What the steps move is still there, what they take away is not: glibc's files, and `one` but for its copyright.
    let steps =
        "exclude = [\"lib/core\", \"lib/libone*\", \"usr/share/thing/more\"]\nrename = { \"usr/bin\" = \"bin\" }\n";
    assert_eq!(build(steps, "less"), [all[2], all[3]]);
}

#[test]
fn a_root_that_is_a_link_becomes_the_program_it_leads_to() {
    let desk = shop();
    let all = files(&desk, &thing(&["usr/bin/alias", "usr/lib/thing/real"]));
    assert_eq!(all["usr/bin/alias"], all["usr/lib/thing/real"]);
    assert!(all.contains_key("lib/core/libc.so.6") && !all.contains_key("lib/libone.so.1"));
}

#[test]
fn a_library_that_nobody_has_is_told_with_who_needs_it() {
    let desk = shop();
    let error = desk.make(&thing(&["usr/lib/thing/*.so"])).err().unwrap();
    let expected = "`libhuge.so.9`, which `usr/lib/thing/big.so` needs, is in no package of the closure";
    assert!(chain(&error).contains(expected), "{}", chain(&error));
    assert_eq!(error.exit(), Exit::Usage);
    let text = desk.refusal(&thing(&["usr/bin/thingy"]));
    assert!(
        text.contains("`roots` names `usr/bin/thingy`, which matches nothing; did you mean `usr/bin/thing`?"),
        "{text}"
    );
}

#[test]
fn other_bytes_than_the_signed_index_has_are_refused() {
    let desk = shop();
    let entry = desk.lock(&thing(&ROOTS)).unwrap();
    fs::remove_dir_all(desk.cache.dir()).unwrap();
    desk.write("pool/one_1.2.3_amd64.deb", deb("one", "1.2.3", &[]));
    for error in [
        desk.lock(&thing(&ROOTS)).unwrap_err(),
        desk.fetch(&thing(&ROOTS), &entry).unwrap_err(),
    ] {
        assert!(chain(&error).contains("is not what was pinned"), "{}", chain(&error));
        assert_eq!(error.exit(), Exit::Damaged);
    }
    desk.write("uris", "'http://archive.example/o' other_1_amd64.deb 1 SHA256:00\n");
    let text = desk.refusal(&thing(&ROOTS));
    assert!(text.contains("expected `thing` among them"), "{text}");
}
