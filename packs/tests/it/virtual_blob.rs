//! A blob beyond 4 GiB without its bytes: a source that makes them up, read at both ends.

use std::{
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

use kojibox_packs::{
    frame::Encoder,
    header,
    index::{self, Entry, Frame, Index},
    manifest::BlobRef,
    names,
    read::Damage,
    read::ReadError,
    source::{BlobSource, ReadSeekSend, Section, SourceError},
    write::PartCutter,
};
use kojibox_signing::Digest;
use proptest::prelude::*;

use crate::fixture::{Packed, Seen, What, extract_into, options, path};

const MIB64: u64 = 64 << 20;

/// A blob of zeros, but for its last frame; in parts.
struct Virtual {
    parts: Vec<(String, u64, u64)>,
    real_at: u64,
    real: Vec<u8>,
}

struct VirtualFile {
    start: u64,
    len: u64,
    at: u64,
    real_at: u64,
    real: Vec<u8>,
}

impl Read for VirtualFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.at);
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.len());
        for (i, byte) in buf[..most].iter_mut().enumerate() {
            let at = self.start + self.at + i as u64;
            let real = at
                .checked_sub(self.real_at)
                .and_then(|at| self.real.get(usize::try_from(at).ok()?));
            *byte = real.copied().unwrap_or(0);
        }
        self.at += most as u64;
        Ok(most)
    }
}

impl Seek for VirtualFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::End(by) => self.len.checked_add_signed(by).unwrap(),
            SeekFrom::Current(by) => self.at.checked_add_signed(by).unwrap(),
        };
        Ok(self.at)
    }
}

impl BlobSource for Virtual {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        let part = self
            .parts
            .iter()
            .find(|(part, ..)| *section == Section::Blobs && part == name);
        Ok(part.map(|(_, start, len)| {
            let (start, len, at) = (*start, *len, 0);
            let (real_at, real) = (self.real_at, self.real.clone());
            Box::new(VirtualFile {
                start,
                len,
                at,
                real_at,
                real,
            }) as Box<dyn ReadSeekSend>
        }))
    }

    fn list(&self, _: &Section) -> Result<Vec<String>, SourceError> {
        Ok(vec![])
    }

    fn publishers(&self) -> Result<Vec<String>, SourceError> {
        Ok(vec![])
    }

    fn describe(&self) -> String {
        "virtual".to_owned()
    }

    fn locate(&self, section: &Section, name: &str) -> PathBuf {
        PathBuf::from(section.folder()).join(name)
    }
}

/// An index of a file of `frames` × 64 MiB and a small one behind it, and the blob in parts of at most `part_size` bytes.
fn blob(frames: u64, part_size: u64) -> (Index, Virtual, u64) {
    let nothing = Digest::of(b"");
    let mut big = Entry::File {
        mode: 0o644,
        size: frames * MIB64,
        raw_off: 512,
        sha256: nothing,
        path: path("a-big"),
    };
    // From 8 GiB on the header needs more than one block.
    let before = header::header_len(&big);
    if let Entry::File { raw_off, .. } = &mut big {
        *raw_off = before;
    }
    let content = b"the last file\n";
    let raw_off = before + frames * MIB64 + 512;
    let small = Entry::File {
        mode: 0o644,
        size: content.len() as u64,
        raw_off,
        sha256: Digest::of(content),
        path: path("z-small"),
    };
    let mut raw = header::header(&small, 1);
    raw.extend_from_slice(content);
    raw.resize(512 + 512 + 1024, 0);
    let real = Encoder::new(3, 0).unwrap().encode(&raw).unwrap();
    let (mut list, mut comp_off, mut raw_at) = (Vec::new(), 0, 0);
    let mut push = |comp_len: u64, raw_len: u64, comp_sha256, raw_sha256| {
        list.push(Frame {
            comp_off,
            comp_len,
            raw_off: raw_at,
            raw_len,
            comp_sha256,
            raw_sha256,
        });
        (comp_off, raw_at) = (comp_off + comp_len, raw_at + raw_len);
    };
    push(100, before, nothing, nothing);
    (0..frames).for_each(|n| push(MIB64 + n % 7, MIB64, nothing, nothing));
    push(real.len() as u64, raw.len() as u64, Digest::of(&real), Digest::of(&raw));
    let entries = [big, small];
    let text = index::to_text(1, &list, &entries, &index::tree_sha256(&entries));
    let index = Index::from_text(text.as_bytes()).unwrap();
    let mut cutter = PartCutter::new(part_size);
    let mut parts: Vec<(String, u64, u64)> = Vec::new();
    let mut start = 0;
    let table = index.blob_size() - index.frames_size();
    for len in index.frames().iter().map(|f| f.comp_len).chain([table]) {
        match cutter.place(len).unwrap() {
            Some(number) => parts.push((names::part("virtual.tar.zst", number), start, len)),
            None => parts.last_mut().unwrap().2 += len,
        }
        start += len;
    }
    let real_at = index.frames().last().unwrap().comp_off;
    let size = index.blob_size();
    (index, Virtual { parts, real_at, real }, size)
}

fn read_last(index: &Index, source: &Virtual, size: u64) -> Result<Seen, ReadError> {
    let mut component = Packed::new(vec![], &options()).component;
    component.blob = BlobRef {
        name: "virtual.tar.zst".to_owned(),
        size,
        sha256: Digest::of(b""),
    };
    let mut seen = Seen::skipping(vec!["a-big".to_owned()]);
    let report = extract_into(source, &component, index, 2, &mut seen)?;
    assert_eq!(report.frames, 1, "only the last frame is read");
    Ok(seen)
}

#[test]
fn a_file_behind_5_gib_is_read_from_its_own_part() {
    for part_size in [1_999_634_432, u64::from(u32::MAX), 1 << 40] {
        let (index, source, size) = blob(80, part_size);
        assert!(size > 5 << 30);
        let seen = read_last(&index, &source, size).unwrap();
        assert_eq!(
            seen.entries["z-small"],
            What::File(0o644, b"the last file\n"[..].into())
        );
    }
}

#[test]
fn damage_behind_4_gib_is_named_at_its_place_in_its_part() {
    let (index, mut source, size) = blob(80, 1_999_634_432);
    source.real[20] ^= 1;
    let error = read_last(&index, &source, size).unwrap_err();
    let (name, start, _) = source.parts.last().unwrap();
    let ReadError::Damaged {
        path,
        offset,
        frame: Some(81),
        source: Damage::Hash { .. },
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (path, *offset),
        (&PathBuf::from("blobs").join(name), source.real_at - start)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn any_number_of_frames_in_parts_of_any_size_is_found(frames in 1..400_u64, part_size in MIB64 + 7..u64::from(u32::MAX)) {
        let (index, source, size) = blob(frames, part_size);
        prop_assert!(read_last(&index, &source, size).is_ok());
    }
}
