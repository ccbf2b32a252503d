//! Signed content that breaks the format: every hash is right, and it is refused all the same.

use std::fs;

use kojibox_packs::{
    Kind,
    frame::Encoder,
    index::{self, Entry, Frame},
    read::ReadError,
    seek,
    write::InputEntry,
};
use kojibox_signing::Digest;

use crate::fixture::{Packed, file, noise, options, path, verify};

/// Directory, two small files, one large file, a `same`, a link.
fn honest() -> Packed {
    let entries = vec![
        file("bin/a", 0o755, b"hello\n"),
        file("bin/b", 0o755, b"hello\n"),
        file("large", 0o644, &noise(5, 100_000)),
        InputEntry::link(path("link"), "bin/a"),
        file("z", 0o644, b"end"),
    ];
    Packed::new(entries, &options())
}

impl Packed {
    /// Replaces the index and signs it, as a publisher would whose tools lie.
    fn sign_index(&mut self, text: &str, compressed: Vec<u8>) {
        let stated = &mut self.component.index;
        stated.size = compressed.len() as u64;
        stated.raw_size = text.len() as u64;
        stated.sha256 = Digest::of(&compressed);
        fs::write(self.blobs().join(&self.component.index.name), compressed).unwrap();
    }

    fn with_index(&mut self, change: impl FnOnce(String) -> String) {
        let text = change(self.index_text());
        let compressed = Encoder::new(3, 0).unwrap().encode(text.as_bytes()).unwrap();
        self.sign_index(&text, compressed);
    }

    fn index_text(&self) -> String {
        let bytes = fs::read(self.blobs().join(&self.component.index.name)).unwrap();
        String::from_utf8(zstd::decode_all(&bytes[..]).unwrap()).unwrap()
    }

    /// Replaces the content of frames and signs everything anew; entries stay as they are.
    fn with_raw(&mut self, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        self.with_frames(change, |encoder, raw| encoder.encode(raw).unwrap());
    }

    fn with_frames(&mut self, change: impl FnOnce(&mut Vec<Vec<u8>>), encode: impl Fn(&mut Encoder, &[u8]) -> Vec<u8>) {
        let index = self.index();
        let place = self.blobs().join(&self.component.blob.name);
        let mut rest = &zstd::decode_all(&fs::read(&place).unwrap()[..]).unwrap()[..];
        let mut raws = Vec::new();
        for frame in index.frames() {
            let (raw, after) = rest.split_at(usize::try_from(frame.raw_len).unwrap());
            raws.push(raw.to_vec());
            rest = after;
        }
        change(&mut raws);
        let mut encoder = Encoder::new(3, 0).unwrap();
        let (mut blob, mut frames, mut raw_off) = (Vec::new(), Vec::new(), 0);
        for raw in &raws {
            let comp = encode(&mut encoder, raw);
            frames.push(Frame {
                comp_off: blob.len() as u64,
                comp_len: comp.len() as u64,
                raw_off,
                raw_len: raw.len() as u64,
                comp_sha256: Digest::of(&comp),
                raw_sha256: Digest::of(raw),
            });
            raw_off += raw.len() as u64;
            blob.extend(comp);
        }
        blob.extend(seek::table(&frames));
        self.component.blob.size = blob.len() as u64;
        fs::write(&place, &blob).unwrap();
        let text = index::to_text(index.mtime(), &frames, index.entries(), index.tree_sha256());
        self.with_index(|_| text);
    }
}

fn refused(packed: &Packed) -> ReadError {
    let error = verify(&packed.source(), &packed.component).expect_err("a forged pack");
    assert_eq!(error.kind(), Kind::Malformed, "{error:?}");
    error
}

/// Frames with other content that were forged honestly still open, so the tests below fail for their own reason.
#[test]
fn a_pack_that_was_taken_apart_and_put_together_opens() {
    let mut packed = honest();
    packed.with_raw(|_| ());
    verify(&packed.source(), &packed.component).unwrap();
}

#[test]
fn every_byte_of_every_tar_header_is_compared() {
    let index = honest().index();
    let mut start = 0;
    for entry in index.entries() {
        for at in [0, 100, 107, 124, 136, 148, 156, 157, 257, 265, 345, 511] {
            let mut packed = honest();
            packed.with_raw(|raws| flip_raw(raws, start + at));
            let error = refused(&packed);
            let ReadError::Header { path, .. } = &error else {
                panic!("byte {at} of the header of `{}`: {error:?}", entry.path());
            };
            assert_eq!(path, entry.path().as_str());
        }
        start += 512 + usize::try_from(entry.data_len().next_multiple_of(512)).unwrap();
    }
}

fn flip_raw(raws: &mut [Vec<u8>], at: usize) {
    let mut rest = at;
    for raw in raws {
        if rest < raw.len() {
            raw[rest] ^= 1;
            return;
        }
        rest -= raw.len();
    }
    panic!("byte {at} is behind the end");
}

#[test]
fn padding_and_the_end_must_be_zero() {
    let total: usize = usize::try_from(honest().index().raw_total()).unwrap();
    for at in [total - 1, total - 1024] {
        let mut packed = honest();
        packed.with_raw(|raws| flip_raw(raws, at));
        assert!(refused(&packed).to_string().contains("the end of the stream"));
    }
    // `bin` has 512 bytes of header, so has `bin/a`; its 6 bytes of data are padded.
    let mut packed = honest();
    packed.with_raw(|raws| flip_raw(raws, 1024 + 6));
    assert!(matches!(refused(&packed), ReadError::Header { path, .. } if path == "bin/a"));
}

#[test]
fn frames_that_go_on_after_the_end_are_refused() {
    let mut packed = honest();
    packed.with_raw(|raws| raws.last_mut().unwrap().extend([0; 512]));
    let why = chain(&refused(&packed));
    assert!(why.contains("the end of the frames"), "{why}");
}

#[test]
fn data_that_is_not_the_signed_file_is_refused_before_it_ends() {
    for at in [1024, 512 * 6] {
        let mut packed = honest();
        packed.with_raw(|raws| flip_raw(raws, at));
        assert!(matches!(refused(&packed), ReadError::File { .. }), "byte {at}");
    }
}

#[test]
fn a_frame_with_the_signed_hash_must_still_be_a_frame_of_the_format() {
    type Make = fn(&mut Encoder, &[u8]) -> Vec<u8>;
    let cases: [(&str, Make); 4] = [
        ("no checksum", |_, raw| zstd::bulk::compress(raw, 3).unwrap()),
        ("bytes follow", |encoder, raw| {
            [encoder.encode(raw).unwrap(), vec![0]].concat()
        }),
        ("bytes follow", |encoder, raw| {
            // The large ones would be over the bound for their length.
            encoder
                .encode(raw)
                .unwrap()
                .repeat(if raw.len() < 4000 { 2 } else { 1 })
        }),
        ("does not state its content size", |_, raw| {
            let mut out = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
            out.include_checksum(true).unwrap();
            std::io::Write::write_all(&mut out, raw).unwrap();
            out.finish().unwrap()
        }),
    ];
    for (text, make) in cases {
        let mut packed = honest();
        packed.with_frames(|_| (), make);
        let error = refused(&packed);
        let ReadError::Frame { source, frame: 0, .. } = &error else {
            panic!("{text}: {error:?}");
        };
        assert!(source.to_string().contains(text), "{source}");
    }
}

#[test]
fn a_frame_that_decodes_to_something_else_is_refused() {
    let mut packed = honest();
    let first = packed.index().frames()[0].raw_sha256.to_string();
    packed.with_index(|text| text.replace(&first, &Digest::of(b"other").to_string()));
    assert!(matches!(refused(&packed), ReadError::Content { frame: 0, .. }));
}

#[test]
fn manifest_and_index_must_agree() {
    let mut bad: Vec<(&str, Packed)> = Vec::new();
    let mut case = |what, change: fn(&mut kojibox_packs::manifest::Component)| {
        let mut packed = honest();
        change(&mut packed.component);
        bad.push((what, packed));
    };
    case("tree sha256", |c| c.tree_sha256 = Digest::of(b""));
    case("blob size", |c| c.blob.size += 1);
    case("number of files", |c| c.n_files += 1);
    case("installed size", |c| c.installed_size -= 1);
    case("longest path", |c| c.max_path_len += 1);
    case("longest frame", |c| c.index.frame_max = 1000);
    case("decoded index size", |c| c.index.raw_size += 1);
    for (what, packed) in &bad {
        let error = refused(packed);
        assert!(
            matches!(&error, ReadError::Disagree { what: named, .. } if named == what),
            "{what}: {error}"
        );
    }
}

/// Which line (the first of its kind), what replaces it, and what the refusal says.
const HOSTILE: &[(&str, &str, &str)] = &[
    ("kbx-idx", "kbx-idx\t1", "more fields"),
    ("kbx-idx", "kbx-idx\t0\t1", "version 1"),
    ("kbx-idx", "kbx-idx\t1\t0", "modification time"),
    ("kbx-idx", "kbx-idx\t1\t8589934592", "modification time"),
    ("kbx-idx", "kbx-idx\t1\t315532800\t", "fewer fields"),
    ("kbx-idx", "frame\t0", "expected `kbx-idx`"),
    (
        "frame",
        "frame\t1\t0\t10\t0\t10\tDIGEST\tDIGEST",
        "number of the frame is 1, expected 0",
    ),
    (
        "frame",
        "frame\t0\t1\t10\t0\t10\tDIGEST\tDIGEST",
        "offset in the blob is 1, expected 0",
    ),
    (
        "frame",
        "frame\t0\t0\t10\t1\t10\tDIGEST\tDIGEST",
        "offset in the raw stream is 1, expected 0",
    ),
    ("frame", "frame\t0\t0\t10\t0\t0\tDIGEST\tDIGEST", "raw length is 0"),
    (
        "frame",
        "frame\t0\t0\t10\t0\t67108865\tDIGEST\tDIGEST",
        "raw length is 67108865",
    ),
    (
        "frame",
        "frame\t0\t0\t0\t0\t10\tDIGEST\tDIGEST",
        "compressed length is 0",
    ),
    (
        "frame",
        "frame\t0\t0\t5000\t0\t10\tDIGEST\tDIGEST",
        "compressed length is 5000",
    ),
    ("frame", "frame\t00\t0\t10\t0\t10\tDIGEST\tDIGEST", "shortest form"),
    ("frame", "frame\t0\t0\t+10\t0\t10\tDIGEST\tDIGEST", "shortest form"),
    (
        "frame",
        "frame\t0\t0\t99999999999999999999\t0\t10\tDIGEST\tDIGEST",
        "shortest form",
    ),
    ("frame", "frame\t0\t0\t10\t0\t10\tDIGEST\tABC", "lower-case hex"),
    ("dir", "dir\t0777\tbin", "mode `0777`"),
    ("dir", "dir\t755\tbin", "mode `755`"),
    ("dir", "dir\t0755\t../bin", "`.` and `..`"),
    ("dir", "dir\t0755\t/bin", "empty"),
    ("dir", "dir\t0755\tbin\\x", "not allowed in a name"),
    ("dir", "dir\t0755\tnul", "device"),
    ("dir", "dir\t0755\tbi\u{301}n\u{200b}", "invisible"),
    ("dir", "dir\t0755\tbim", "no directory `bin`"),
    ("dir", "dir\t0755\tother", "does not come after"),
    ("dir", "node\t0755\tbin", "expected `frame`"),
    (
        "dir",
        "frame\t9\t0\t10\t0\t10\tDIGEST\tDIGEST",
        "number of the frame is 9",
    ),
    ("file", "file\t4755\t6\t1024\tDIGEST\tbin/a", "mode `4755`"),
    (
        "file",
        "file\t0755\t6\t512\tDIGEST\tbin/a",
        "offset of the data is 512, expected 1024",
    ),
    (
        "file",
        "file\t0755\t1152921504606846977\t1024\tDIGEST\tbin/a",
        "the size is",
    ),
    (
        "file",
        "file\t0755\t1152921504606846976\t2048\tDIGEST\tbin/a",
        "end of the raw stream is",
    ),
    (
        "file",
        "file\t0755\t6\t1024\tDIGEST\t\u{ff42}in/a",
        "no directory `\u{ff42}in`",
    ),
    (
        "file",
        "frame\t3\t0\t10\t0\t10\tDIGEST\tDIGEST",
        "no `frame` after an entry",
    ),
    ("same", "same\t0755\tbin/b\tbin/b", "no earlier file"),
    ("same", "same\t0644\tbin/b\tbin/a", "no earlier file"),
    ("same", "same\t0755\tbin/b\tbin", "no earlier file"),
    ("same", "same\t0755\tbin/A\tbin/a", "does not come after"),
    ("same", "link\tbin/a.x/y\tz", "no directory"),
    ("link", "link\tlink\t../x", "inside the tree"),
    ("link", "link\tlink\t/etc/passwd", "relative"),
    ("link", "link\tlink\tbin/../../x", "inside the tree"),
    ("link", "link\tlink\t", "empty"),
    ("link", "link\tLARGE\tbin/a", "does not come after"),
    ("link", "link\tl\u{1d43}rge\tbin/a", "same name on some systems"),
    ("link", "link\tlink\tx\u{2028}", "invisible"),
    ("end", "end\t1\t6\t1\tDIGEST", "number of frames"),
    ("end", "end\tFRAMES\t5\t1\tDIGEST", "number of entries"),
    ("end", "end\tFRAMES\t6\t1\tDIGEST", "raw total is 1"),
    ("end", "", "expected `frame`"),
];

#[test]
fn hostile_indexes_are_refused_for_their_own_reason() {
    for (kind, replacement, text) in HOSTILE {
        let mut packed = honest();
        let honest = packed.index_text();
        let frames = honest.lines().filter(|line| line.starts_with("frame\t")).count();
        let replacement = replacement
            .replace("DIGEST", &Digest::of(b"").to_string())
            .replace("FRAMES", &frames.to_string());
        let mut lines: Vec<&str> = honest.lines().collect();
        let at = lines
            .iter()
            .position(|line| line.starts_with(&format!("{kind}\t")))
            .unwrap();
        lines[at] = &replacement;
        packed.with_index(|_| lines.join("\n") + "\n");
        let error = refused(&packed);
        let why = chain(&error);
        assert!(why.contains(text), "`{}`: {why}", replacement.escape_debug());
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let next = error.source().map(chain).unwrap_or_default();
    format!("{error}: {next}")
}

#[test]
fn an_index_that_does_not_end_with_its_end_is_refused() {
    type Change = fn(String) -> String;
    let cases: [(&str, Change); 8] = [
        ("a line `end`", |text| text[..text.rfind("end\t").unwrap()].to_owned()),
        ("bytes of UTF-8", |text| text.trim_end().to_owned()),
        ("nothing after", |text| text + "\n"),
        ("nothing after", |text| {
            text.clone() + text.lines().next_back().unwrap() + "\n"
        }),
        ("bytes of UTF-8", |text| format!("{}\n{text}", "x".repeat(5000))),
        ("expected `kbx-idx`", |text| {
            text.replace('\n', "\r\n").replacen("kbx-idx", "\u{feff}kbx-idx", 1)
        }),
        ("tree sha256", |text| {
            let at = text.trim_end().len() - 1;
            let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
            format!("{}{other}\n", &text[..at])
        }),
        ("a line `end`", |_| "kbx-idx\t1\t315532800\n".into()),
    ];
    for (text, change) in cases {
        let mut packed = honest();
        packed.with_index(change);
        let why = chain(&refused(&packed));
        assert!(why.contains(text), "{text}: {why}");
    }
}

#[test]
fn an_index_that_is_more_than_one_frame_or_too_long_is_refused() {
    let mut packed = honest();
    let text = packed.index_text();
    let frame = Encoder::new(3, 0).unwrap().encode(text.as_bytes()).unwrap();
    packed.sign_index(&text, frame.repeat(2));
    assert!(chain(&refused(&packed)).contains("bytes follow"));
    packed.sign_index(&text, zstd::bulk::compress(text.as_bytes(), 3).unwrap());
    assert!(chain(&refused(&packed)).contains("no checksum"));
    // A frame that states 2 GiB of content.
    let mut huge = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1100_0100, 0];
    huge.extend_from_slice(&(2_u64 << 30).to_le_bytes());
    packed.sign_index(&text, huge);
    assert!(chain(&refused(&packed)).contains("2147483648 decoded bytes"));
}

#[test]
fn a_newer_index_is_told_apart_from_a_broken_one() {
    let mut packed = honest();
    packed.with_index(|text| text.replacen("kbx-idx\t1", "kbx-idx\t2", 1));
    let error = verify(&packed.source(), &packed.component).unwrap_err();
    assert_eq!(error.kind(), Kind::TooNew, "{error:?}");
}

#[test]
fn entries_of_an_honest_index_say_what_they_are() {
    let index = honest().index();
    let kinds: Vec<&str> = index
        .entries()
        .iter()
        .map(|entry| match entry {
            Entry::Dir { .. } => "dir",
            Entry::File { .. } => "file",
            Entry::Same { .. } => "same",
            Entry::Link { .. } => "link",
        })
        .collect();
    assert_eq!(kinds, ["dir", "file", "same", "file", "link", "file"]);
    assert_eq!(index.content("bin/b"), index.content("bin/a"));
    assert_eq!(index.content("bin"), None);
    assert_eq!(index.get("nothing"), None);
}
