//! Sticks that take each other's place in one port: what the parts at hand hold is kept, and the exchange comes to an end.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::Mutex,
};

use kojibox_packs::{
    Kind,
    index::{Entry, Index},
    path::PackPath,
    read::{Damage, ReadError, SinkResult, Start, TreeSink, verified_start},
    source::{BlobSource, ReadSeekSend, Section, SourceError},
    write::{BlobOptions, InputEntry},
};
use kojibox_signing::Digest;

use crate::fixture::{Packed, Seen, What, extract_into, file, noise, options, tree};

/// Keeps from one attempt to the next what an installer keeps: whole entries, and of a file that was begun what its frames prove.
#[derive(Default)]
struct Kept {
    whole: BTreeMap<String, What>,
    begun: BTreeMap<String, Vec<u8>>,
    starts: BTreeMap<String, Start>,
    open: Option<(String, u32)>,
    resumed: usize,
}

impl Kept {
    /// As before a next attempt.
    fn look(&mut self, index: &Index) {
        self.open = None;
        self.starts.clear();
        self.begun.retain(|path, bytes| {
            let Some(start) = verified_start(index, path, &mut &bytes[..]).unwrap() else {
                return false;
            };
            bytes.truncate(usize::try_from(start.len()).unwrap());
            self.starts.insert(path.clone(), start);
            true
        });
    }

    fn put(&mut self, path: &str, what: What) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            assert_eq!(
                self.whole.get(parent),
                Some(&What::Dir),
                "the parent of `{path}` comes first"
            );
        }
        assert_eq!(self.whole.insert(path.to_owned(), what), None, "`{path}` comes once");
    }
}

impl TreeSink for Kept {
    fn skip(&self, entry: &Entry) -> bool {
        self.whole.contains_key(entry.path().as_str())
    }

    fn start(&self, entry: &Entry) -> Option<Start> {
        self.starts.get(entry.path().as_str()).cloned()
    }

    fn dir(&mut self, path: &PackPath, _: u32) -> SinkResult {
        self.put(path, What::Dir);
        Ok(())
    }

    fn begin_file(&mut self, path: &PackPath, mode: u32, _: u64, _: &Digest) -> SinkResult {
        self.begun.insert(path.to_string(), Vec::new());
        self.open = Some((path.to_string(), mode));
        Ok(())
    }

    fn resume_file(&mut self, path: &PackPath, mode: u32, from: u64) -> SinkResult {
        assert_eq!(self.begun[path.as_str()].len() as u64, from);
        self.open = Some((path.to_string(), mode));
        self.resumed += 1;
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> SinkResult {
        let (path, _) = self.open.as_ref().unwrap();
        self.begun.get_mut(path).unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn end_file(&mut self) -> SinkResult {
        let (path, mode) = self.open.take().unwrap();
        let bytes = self.begun.remove(&path).unwrap();
        self.put(&path, What::File(mode, bytes.into()));
        Ok(())
    }

    fn same(&mut self, path: &PackPath, mode: u32, first: &PackPath, _: &Digest, _: u64) -> SinkResult {
        let What::File(_, bytes) = self.whole.get(first.as_str()).expect("its first came before").clone() else {
            return Err("no file".into());
        };
        self.put(path, What::File(mode, bytes));
        Ok(())
    }

    fn link(&mut self, path: &PackPath, target: &str) -> SinkResult {
        self.put(path, What::Link(target.to_owned()));
        Ok(())
    }
}

/// The depot in the port; it remembers how long parts were.
struct Remembering<'a>(&'a Packed, Mutex<BTreeMap<String, u64>>);

impl BlobSource for Remembering<'_> {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        self.0.source().open(section, name)
    }

    fn list(&self, section: &Section) -> Result<Vec<String>, SourceError> {
        self.0.source().list(section)
    }

    fn publishers(&self) -> Result<Vec<String>, SourceError> {
        self.0.source().publishers()
    }

    fn describe(&self) -> String {
        self.0.source().describe()
    }

    fn locate(&self, section: &Section, name: &str) -> PathBuf {
        self.0.source().locate(section, name)
    }

    fn remember_part(&self, name: &str, len: u64) {
        self.1.lock().unwrap().insert(name.to_owned(), len);
    }

    fn remembered_part(&self, name: &str) -> Option<u64> {
        self.1.lock().unwrap().get(name).copied()
    }
}

/// The one port, and the sticks for it: which parts are on which.
struct Port<'a> {
    packed: &'a Packed,
    sticks: Vec<BTreeSet<&'a str>>,
}

impl Port<'_> {
    /// Puts a stick in, in place of the other.
    fn insert(&self, stick: usize) {
        for name in &self.packed.parts {
            let (here, away) = (self.packed.blobs().join(name), self.packed.dir.path().join(name));
            let (from, to) = if self.sticks[stick].contains(&**name) {
                (away, here)
            } else {
                (here, away)
            };
            if from.exists() {
                fs::rename(from, to).unwrap();
            }
        }
    }

    /// Reads, and puts in what is asked for, until the tree is whole; gives how often a stick was put in, and the tree.
    fn read(&self, first: usize, source: &dyn BlobSource) -> (usize, Kept) {
        let index = self.packed.index();
        let (mut kept, mut stick, mut asked) = (Kept::default(), first, Vec::new());
        for times in 1..100 {
            self.insert(stick);
            kept.look(&index);
            match extract_into(source, &self.packed.component, &index, 2, &mut kept) {
                Ok(_) => return (times, kept),
                Err(ReadError::Missing(path)) => {
                    let name = path.file_name().unwrap().to_str().unwrap();
                    let on = self.sticks.iter().position(|parts| parts.contains(name));
                    let next = on.unwrap_or_else(|| panic!("`{name}` is on no stick"));
                    assert_ne!(next, stick, "`{name}` is here");
                    asked.push(name.to_owned());
                    stick = next;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("the exchange does not end: {asked:?}");
    }
}

/// The tree with everything; without memory it has no frames that are equal, so that a part says by itself where it belongs.
fn entries(remembers: bool) -> Vec<InputEntry> {
    let mut entries = tree();
    entries.retain(|e| remembers || !["big/twin", "big/zeros"].contains(&e.path.as_str()));
    entries
}

fn split(part_size: u64, remembers: bool) -> Packed {
    let packed = Packed::new(entries(remembers), &BlobOptions { part_size, ..options() });
    assert!(packed.parts.len() > 2, "{} parts", packed.parts.len());
    packed
}

#[test]
fn sticks_that_take_each_others_place_give_the_whole_tree() {
    let sizes = [70 << 10, 140 << 10, 300 << 10];
    for (part_size, remembers) in sizes.into_iter().flat_map(|size| [(size, true), (size, false)]) {
        let packed = split(part_size, remembers);
        let expected = Seen::expected(&entries(remembers));
        let names: Vec<&str> = packed.parts.iter().map(String::as_str).collect();
        let half = names.len() / 2;
        let apart = |n: usize, of: usize| names.iter().skip(n).step_by(of).copied().collect::<BTreeSet<_>>();
        let layouts = [
            vec![
                names[..half].iter().copied().collect(),
                names[half..].iter().copied().collect(),
            ],
            vec![apart(0, 2), apart(1, 2)],
            vec![apart(0, 3), apart(1, 3), apart(2, 3)],
            names.iter().map(|name| BTreeSet::from([*name])).collect(),
        ];
        for sticks in layouts {
            for first in 0..sticks.len() {
                let port = Port {
                    packed: &packed,
                    sticks: sticks.clone(),
                };
                let remembering = Remembering(&packed, Mutex::default());
                let depot = packed.source();
                let source: &dyn BlobSource = if remembers { &remembering } else { &depot };
                let (times, kept) = port.read(first, source);
                assert!(kept.whole == expected, "{} sticks, {first} first", sticks.len());
                // Each part is asked for once, and one that is not the next one may have come first.
                assert!(times <= 2 * names.len() + 1, "{times} times for {} parts", names.len());
                if sticks.len() == 2 && times == 2 {
                    assert_eq!(first, 0, "the second half alone does not begin");
                }
            }
            Port {
                packed: &packed,
                sticks: vec![names.iter().copied().collect()],
            }
            .insert(0);
        }
    }
}

#[test]
fn a_large_file_that_begins_on_one_stick_goes_on_from_the_other() {
    let entries = || {
        vec![
            file("a", 0o644, b"small"),
            file("big", 0o755, &noise(5, 600_000)),
            file("z", 0o644, b"end"),
        ]
    };
    for part_size in [66 << 10, 130 << 10, 200 << 10] {
        let packed = Packed::new(entries(), &BlobOptions { part_size, ..options() });
        let names: Vec<&str> = packed.parts.iter().map(String::as_str).collect();
        for cut in 1..names.len() {
            let sticks = vec![
                names[..cut].iter().copied().collect(),
                names[cut..].iter().copied().collect(),
            ];
            let port = Port {
                packed: &packed,
                sticks,
            };
            // The second stick first: what it has whole is kept, and it is asked for once more.
            for (first, most) in [(0, 2), (1, 3)] {
                let (times, kept) = port.read(first, &packed.source());
                assert!(kept.whole == Seen::expected(&entries()));
                assert!(times <= most, "{times} times, cut at {cut} of {}", names.len());
            }
        }
    }
}

#[test]
fn nothing_is_looked_for_where_nothing_is_needed() {
    let packed = split(140 << 10, true);
    let index = packed.index();
    let mut kept = Kept::default();
    extract_into(&packed.source(), &packed.component, &index, 1, &mut kept).unwrap();
    for name in &packed.parts {
        fs::remove_file(packed.blobs().join(name)).unwrap();
    }
    let report = extract_into(&packed.source(), &packed.component, &index, 1, &mut kept).unwrap();
    assert_eq!((report.bytes_read, report.frames), (0, 0));
    assert_eq!(report.bytes_kept, packed.component.installed_size);
}

#[test]
fn behind_a_gap_a_damaged_part_is_damaged_and_not_asked_for_again() {
    let packed = split(140 << 10, true);
    let index = packed.index();
    fs::remove_file(packed.blobs().join(&packed.parts[0])).unwrap();
    let second = packed.blobs().join(&packed.parts[1]);
    let whole = fs::read(&second).unwrap();
    let read = || {
        let mut kept = Kept::default();
        extract_into(&packed.source(), &packed.component, &index, 2, &mut kept).unwrap_err()
    };
    assert_eq!(read().kind(), Kind::MediumMissing);
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    let longer = [&whole[..], b"x"].concat();
    for (bytes, damage) in [
        (&flipped[..], Damage::Start),
        (
            &whole[..whole.len() - 1],
            Damage::Border {
                got: whole.len() as u64 - 1,
            },
        ),
        (
            &longer,
            Damage::Border {
                got: whole.len() as u64 + 1,
            },
        ),
        (&[], Damage::Border { got: 0 }),
    ] {
        fs::write(&second, bytes).unwrap();
        let error = read();
        let ReadError::Damaged { path, source, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!((path, source), (&second, &damage));
    }
}
