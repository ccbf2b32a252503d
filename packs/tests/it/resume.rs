//! A file that was cut short goes on where its last whole frame ends, and nothing unverified is kept.

use kojibox_packs::{
    index::{Entry, Index},
    path::PackPath,
    read::{SinkResult, Start, TreeSink, bytes_needed, find_blob, verified_start},
};
use kojibox_signing::Digest;

use crate::fixture::{Packed, extract_into, file, noise, options};

const FRAME: usize = 64 << 10;
const BIG: usize = 10 * FRAME + 1000;

/// Wants `big` alone, of which `there` is there.
struct Rest {
    start: Option<Start>,
    bytes: Vec<u8>,
    ended: bool,
}

impl Rest {
    fn new(index: &Index, there: &[u8]) -> Self {
        let start = verified_start(index, "big", &mut &*there).unwrap();
        let len = start.as_ref().map_or(0, Start::len);
        Self {
            bytes: there[..usize::try_from(len).unwrap()].to_vec(),
            start,
            ended: false,
        }
    }
}

impl TreeSink for Rest {
    fn skip(&self, entry: &Entry) -> bool {
        **entry.path() != *"big"
    }

    fn start(&self, _: &Entry) -> Option<Start> {
        self.start.clone()
    }

    fn dir(&mut self, _: &PackPath, _: u32) -> SinkResult {
        Err("not wanted".into())
    }

    fn begin_file(&mut self, _: &PackPath, _: u32, _: u64, _: &Digest) -> SinkResult {
        assert!(self.start.is_none(), "a file of which something is there goes on");
        Ok(())
    }

    fn resume_file(&mut self, path: &PackPath, mode: u32, from: u64) -> SinkResult {
        assert_eq!((&**path, mode, from), ("big", 0o755, self.bytes.len() as u64));
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> SinkResult {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn end_file(&mut self) -> SinkResult {
        self.ended = true;
        Ok(())
    }

    fn same(&mut self, _: &PackPath, _: u32, _: &PackPath, _: &Digest, _: u64) -> SinkResult {
        Err("not wanted".into())
    }

    fn link(&mut self, _: &PackPath, _: &str) -> SinkResult {
        Err("not wanted".into())
    }
}

fn packed() -> Packed {
    let small = (0..30).map(|n| file(&format!("a/{n:02}"), 0o644, &noise(n, 5000)));
    let tree = small.chain([
        file("big", 0o755, &noise(99, BIG)),
        file("tail", 0o644, b"the end of the tree"),
    ]);
    Packed::new(tree.collect(), &options())
}

#[test]
fn reading_goes_on_at_the_last_whole_frame() {
    let packed = packed();
    let (index, whole) = (packed.index(), noise(99, BIG));
    for len in [0, 1, FRAME - 1, FRAME, FRAME + 1, 9 * FRAME + 7, 10 * FRAME, BIG - 1] {
        let mut rest = Rest::new(&index, &whole[..len]);
        let kept = rest.bytes.len();
        assert_eq!(kept, len / FRAME * FRAME, "of {len} bytes");
        let needed = bytes_needed(&index, &rest);
        let report = extract_into(&packed.source(), &packed.component, &index, 2, &mut rest).unwrap();
        assert!(rest.ended && rest.bytes == whole, "with {len} bytes there");
        assert_eq!(report.bytes_read, needed);
        // A file that begins anew needs its header too, which shares a frame with the files before it.
        let header = if kept == 0 { FRAME } else { 0 };
        let most = BIG - kept + header + 1000;
        assert!(needed <= most as u64, "{needed} bytes are read with {len} there");
    }
}

#[test]
fn what_no_frame_proves_is_read_again() {
    let packed = packed();
    let (index, whole) = (packed.index(), noise(99, BIG));
    for (flipped, kept) in [(0, 0), (3 * FRAME + 5, 3), (9 * FRAME, 9)] {
        let mut there = whole[..BIG - 1].to_vec();
        there[flipped] ^= 1;
        let mut rest = Rest::new(&index, &there);
        assert_eq!(rest.bytes.len(), kept * FRAME, "byte {flipped} differs");
        extract_into(&packed.source(), &packed.component, &index, 1, &mut rest).unwrap();
        assert!(rest.bytes == whole);
    }
    for path in ["a/07", "tail", "absent"] {
        let start = verified_start(&index, path, &mut &noise(7, 5000)[..]).unwrap();
        assert!(start.is_none(), "`{path}` has no frame of its own");
    }
}

#[test]
fn a_blob_is_found_or_named() {
    let packed = packed();
    let index = packed.index();
    find_blob(&packed.source(), &packed.component, &index).unwrap();
    for part in &packed.parts {
        std::fs::remove_file(packed.blobs().join(part)).unwrap();
    }
    let missing = find_blob(&packed.source(), &packed.component, &index).unwrap_err();
    assert!(missing.to_string().contains(&packed.component.blob.name), "{missing}");
}
