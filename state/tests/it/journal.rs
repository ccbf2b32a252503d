//! The journal survives every cut of its last record and nothing else.

use kojibox_state::{
    StateError,
    journal::{self, Begin, Journal, Names, Record, TxKind},
    layout::place,
    store::{Fault, FaultPlan, FaultStore, RealStore, Refusal, RootDir, compose},
};
use tempfile::TempDir;

use crate::support::{dir, receipt};

fn begin() -> Record {
    let mut draft = receipt("000001-0123abcd");
    draft.kind = TxKind::Update;
    Record::Begin(Box::new(Begin {
        draft,
        pointer: None,
        generation: Some(2),
        fresh: Names::default(),
        doomed: Names::default(),
        floors: None,
        purge: false,
        extra_aside: false,
    }))
}

fn with_journal() -> TempDir {
    let dir = dir();
    let store = RealStore::open(dir.path()).unwrap();
    compose::create_dirs(&store, &place::state()).unwrap();
    Journal::create(&store).unwrap();
    dir
}

fn write_three(dir: &TempDir) -> Vec<u8> {
    let store = RealStore::open(dir.path()).unwrap();
    let mut journal = Journal::open(&store, &journal::read(&RootDir::open(dir.path()).unwrap()).unwrap());
    for record in [begin(), Record::Staged, Record::Stopped] {
        journal.append(&record).unwrap();
    }
    std::fs::read(dir.path().join("state/journal")).unwrap()
}

#[test]
fn every_cut_keeps_the_whole_records_before_it() {
    let dir = with_journal();
    let whole = write_three(&dir);
    let ends: Vec<usize> = (0..whole.len()).filter(|i| whole[*i] == b'\n').map(|i| i + 1).collect();
    let root = RootDir::open(dir.path()).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(dir.path().join("state/journal"), &whole[..cut]).unwrap();
        let found = journal::read(&root).unwrap();
        let expected = ends.iter().filter(|end| **end <= cut).count();
        assert_eq!(found.records.len(), expected, "cut at {cut}");
        assert_eq!(found.intact + found.torn, cut as u64);
        let store = RealStore::open(dir.path()).unwrap();
        Journal::open(&store, &found).append(&Record::Stopped).unwrap();
        let mended = journal::read(&root).unwrap();
        assert_eq!((mended.records.len(), mended.torn), (expected + 1, 0), "cut at {cut}");
    }
}

#[test]
fn a_whole_line_of_a_newer_program_is_never_taken_for_a_torn_one() {
    let dir = with_journal();
    let whole = write_three(&dir);
    let root = RootDir::open(dir.path()).unwrap();
    let json = br#"{"step":"postponed","until":"tomorrow"}"#;
    let sum = kojibox_signing::Digest::of(json).short();
    let unknown = format!("kbxj1 {:08x} {sum} {}\n", json.len(), String::from_utf8_lossy(json));
    for line in [unknown.as_str(), "kbxj2 00000010 whatever it is\n", "kbxj17 "] {
        for before in [&b""[..], &whole] {
            std::fs::write(dir.path().join("state/journal"), [before, line.as_bytes()].concat()).unwrap();
            let read = journal::read(&root);
            assert!(matches!(read, Err(StateError::Schema { .. })), "{line}: {read:?}");
        }
    }
    // Its beginning may be that of a line of ours.
    std::fs::write(dir.path().join("state/journal"), &unknown[..unknown.len() - 1]).unwrap();
    assert_eq!(journal::read(&root).unwrap().torn, unknown.len() as u64 - 1);
}

#[test]
fn a_flipped_byte_cuts_the_tail_or_is_refused_in_the_middle() {
    let dir = with_journal();
    let whole = write_three(&dir);
    let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let root = RootDir::open(dir.path()).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        std::fs::write(dir.path().join("state/journal"), &bytes).unwrap();
        match journal::read(&root) {
            Ok(found) => {
                assert!(at >= last, "byte {at} of {} lies before the last record", whole.len());
                assert_eq!((found.records.len(), found.intact), (2, last as u64));
            }
            Err(StateError::Journal { offset, .. }) => {
                assert!(at < last && offset <= at as u64, "byte {at}, offset {offset}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_failed_append_leaves_the_journal_as_it_was() {
    let dir = with_journal();
    let whole = write_three(&dir);
    let found = journal::read(&RootDir::open(dir.path()).unwrap()).unwrap();
    for at in 1..=2 {
        for fault in [Fault::ShortWrite, Fault::Refused(Refusal::Denied)] {
            let plan = FaultPlan {
                at,
                fault,
                lasting: false,
            };
            let store = FaultStore::open(dir.path(), Some(plan), false).unwrap();
            let mut journal = Journal::open(&store, &found);
            journal.append(&Record::Stopped).unwrap_err();
            assert_eq!(
                std::fs::read(dir.path().join("state/journal")).unwrap(),
                whole,
                "{at} {fault:?}"
            );
        }
    }
}
