//! Bad media with parity: what was lost comes back, and whatever comes back is held against its signed hash.

use std::{fs, sync::atomic::AtomicBool, time::Instant};

use kojibox_packs::{
    Kind, Unwatched, names,
    parity::{self, Layout, ParityError},
    read::{self, Damage, Discard, ExtractOptions, ExtractReport, Incurable, ReadError},
    source::{BlobSource, Section},
    write::BlobOptions,
};
use kojibox_signing::Digest;
use proptest::prelude::*;

use crate::{
    fixture::{Packed, Seen, extract_from, extract_into, flip, options, tree},
    sick::{Ill, Sick},
};

/// Groups of 32 blocks of 4 KiB: the blob has ten of them, and every frame spans many.
fn many() -> Packed {
    let packed = Packed::new(tree(), &options());
    packed.add_parity(2, 4096);
    packed
}

/// One group, as the packer writes it, over parts that end within blocks.
fn parts() -> Packed {
    let part_size = 70 << 10;
    let packed = Packed::new(tree(), &BlobOptions { part_size, ..options() });
    let layout = Layout::of_blob(packed.component.blob.size, 2).unwrap();
    packed.add_parity_of(layout);
    packed
}

fn extract(packed: &Packed, source: &dyn BlobSource) -> Result<ExtractReport, ReadError> {
    let mut seen = Seen::default();
    let report = extract_into(source, &packed.component, &packed.index(), 2, &mut seen)?;
    assert!(seen.entries == Seen::expected(&tree()), "every byte is as signed");
    Ok(report)
}

/// Why parity did not help, and what was wrong.
fn uncured(outcome: Result<ExtractReport, ReadError>) -> (Incurable, ReadError) {
    match outcome {
        Err(ReadError::Uncured { why, source }) => (why, *source),
        other => panic!("{other:?}"),
    }
}

fn parity_file(packed: &Packed) -> std::path::PathBuf {
    let name = names::parity(&packed.component.blob.name);
    packed.source().locate(&Section::Parity, &name)
}

#[test]
fn any_two_lost_blocks_of_a_group_come_back() {
    for packed in [many(), parts()] {
        let layout = parity::whole(
            &mut fs::File::open(parity_file(&packed)).unwrap(),
            &packed.component.blob.sha256,
        );
        let layout = layout.unwrap().unwrap().0;
        let last = layout.blocks() - 1;
        for lost in [vec![0], vec![0, 1], vec![3, 17], vec![last], vec![last - 1, last]] {
            for n in &lost {
                packed.spoil(layout.bytes_of(*n).start, layout.block());
            }
            let before = fs::metadata(parity_file(&packed)).unwrap().modified().unwrap();
            let report = extract(&packed, &packed.source()).unwrap();
            assert_eq!(report.repaired, lost.len() as u64, "{lost:?}");
            assert_eq!(fs::metadata(parity_file(&packed)).unwrap().modified().unwrap(), before);
            for n in &lost {
                packed.spoil(layout.bytes_of(*n).start, layout.block());
            }
        }
        assert_eq!(extract(&packed, &packed.source()).unwrap().repaired, 0);
    }
}

#[test]
fn one_lost_block_too_many_is_named_with_part_and_offset() {
    let packed = many();
    // Three of the first group; the first frame that they spoil is the first of the blob.
    for n in [1, 5, 30] {
        packed.spoil(n * 4096, 1);
    }
    let outcome = extract(&packed, &packed.source());
    let text = outcome.as_ref().unwrap_err().to_string();
    assert_eq!(outcome.as_ref().unwrap_err().kind(), Kind::Damaged);
    let (why, damage) = uncured(outcome);
    assert_eq!(why, Incurable::Lost { most: 2, of: 32 });
    assert!(text.contains("more than 2 of 32 blocks"), "{text}");
    let ReadError::Damaged {
        path,
        source: Damage::Hash { .. },
        frame: Some(_),
        ..
    } = damage
    else {
        panic!("{damage:?}");
    };
    assert!(path.ends_with(&packed.component.blob.name));
    // Two in each of many groups are no problem.
    let packed = many();
    let groups = Layout::new(32, 2, 4096, packed.component.blob.size).unwrap().groups();
    for g in 0..groups - 1 {
        packed.spoil((g * 32 + 30) * 4096 + 7, 2 * 4096 - 14);
    }
    assert_eq!(extract(&packed, &packed.source()).unwrap().repaired, 2 * (groups - 1));
}

#[test]
fn places_that_cannot_be_read_come_back_and_only_their_group_is_read() {
    let packed = many();
    let name = packed.component.blob.name.clone();
    // A page in the middle of the third group.
    let bad = 70 * 4096..70 * 4096 + 512;
    let sick = Sick::new(packed.source()).with(&name, bad, Ill::Dead);
    let report = extract(&packed, &sick).unwrap();
    assert_eq!(report.repaired, 1);
    let layout = Layout::new(32, 2, 4096, packed.component.blob.size).unwrap();
    let parity_read = sick.read_of(&names::parity(&name));
    assert_eq!(
        parity_read,
        layout.parity_offset(0) + 4096,
        "the directory and one block"
    );
    // The blob once, the frames around the bad place once more, its group once more.
    let most = layout.size() + 3 * (1 << 20) + 32 * 4096;
    assert!(sick.read_of(&name) <= most, "{} of {most}", sick.read_of(&name));
}

#[test]
fn a_file_or_part_that_is_cut_short_comes_back() {
    let packed = many();
    let file = packed.blobs().join(&packed.component.blob.name);
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 5000]).unwrap();
    assert!(extract(&packed, &packed.source()).unwrap().repaired > 0);
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let (why, damage) = uncured(extract(&packed, &packed.source()));
    assert!(matches!(why, Incurable::Lost { .. }), "{why:?}");
    assert!(
        matches!(
            damage,
            ReadError::Damaged {
                source: Damage::Size { .. },
                ..
            }
        ),
        "{damage:?}"
    );

    let packed = parts();
    for number in [0, 3, packed.parts.len() - 1] {
        let file = packed.blobs().join(&packed.parts[number]);
        let bytes = fs::read(&file).unwrap();
        for left in [bytes.len() - 1, bytes.len().saturating_sub(20_000)] {
            fs::write(&file, &bytes[..left]).unwrap();
            let report = extract(&packed, &packed.source()).unwrap();
            assert!(report.repaired > 0, "part {number} with {left} bytes");
        }
        fs::write(&file, &bytes).unwrap();
    }
    // A part that is not there is asked for, not guessed: its stick may be in a drawer.
    fs::remove_file(packed.blobs().join(&packed.parts[2])).unwrap();
    let error = extract(&packed, &packed.source()).unwrap_err();
    assert_eq!(error.kind(), Kind::MediumMissing);
}

#[test]
fn the_seek_table_comes_back_too() {
    let packed = many();
    let at = packed.index().frames_size() + 3;
    packed.spoil(at, 2);
    assert_eq!(extract(&packed, &packed.source()).unwrap().repaired, 1);
    fs::remove_file(parity_file(&packed)).unwrap();
    let error = extract(&packed, &packed.source()).unwrap_err();
    assert!(
        matches!(
            error,
            ReadError::Damaged {
                source: Damage::SeekTable,
                ..
            }
        ),
        "{error:?}"
    );
}

#[test]
fn parity_that_is_damaged_itself_helps_as_far_as_it_can() {
    let packed = many();
    let file = parity_file(&packed);
    let layout = Layout::new(32, 2, 4096, packed.component.blob.size).unwrap();
    let len = usize::try_from(layout.file_len()).unwrap();
    let first_block = usize::try_from(layout.parity_offset(0)).unwrap();
    packed.spoil(40_000, 1);
    // The first directory, then the first parity block: the second ones do.
    for at in [0, 20, 100, 200, first_block - 1, first_block, first_block + 4095] {
        flip(&file, at);
        assert_eq!(extract(&packed, &packed.source()).unwrap().repaired, 1, "byte {at}");
        flip(&file, at);
    }
    // Both directories: of no use, and named.
    for (first, second, error) in [
        (0, len - 1, ParityError::Magic),
        (60, len - 128, ParityError::Damaged("head")),
        (200, len - 200, ParityError::Damaged("list of checksums")),
    ] {
        flip(&file, first);
        flip(&file, second);
        let (why, _) = uncured(extract(&packed, &packed.source()));
        assert_eq!(
            why,
            Incurable::Useless {
                path: file.clone(),
                source: error
            }
        );
        flip(&file, first);
        flip(&file, second);
    }
    // Both parity blocks of the group.
    flip(&file, first_block);
    flip(&file, first_block + 4096);
    let (why, _) = uncured(extract(&packed, &packed.source()));
    assert_eq!(why, Incurable::Lost { most: 0, of: 32 });
}

#[test]
fn parity_of_somebody_else_changes_no_byte() {
    let packed = many();
    let file = parity_file(&packed);
    packed.spoil(40_000, 1);
    // Made from the damaged bytes: its checksums call them good.
    let bytes = fs::read(&file).unwrap();
    packed.add_parity(2, 4096);
    let (why, damage) = uncured(extract(&packed, &packed.source()));
    assert_eq!((why, damage.kind()), (Incurable::Otherwise, Kind::Damaged));
    // Of another blob, cut short, empty.
    let other = Packed::new(vec![], &options());
    fs::copy(other.add_parity(1, 4096), &file).unwrap();
    let (why, _) = uncured(extract(&packed, &packed.source()));
    assert_eq!(
        why,
        Incurable::Useless {
            path: file.clone(),
            source: ParityError::Other
        }
    );
    for len in [0, 127, 128, 1000] {
        fs::write(&file, &bytes[..len]).unwrap();
        let (why, _) = uncured(extract(&packed, &packed.source()));
        assert_eq!(
            why,
            Incurable::Useless {
                path: file.clone(),
                source: ParityError::Short
            },
            "{len} bytes"
        );
    }
    // A list of checksums that is said to be long takes no memory before it is there.
    let (_, damage) = uncured(extract(&packed, &packed.source()));
    assert!(damage.to_string().contains("is damaged at byte"), "{damage}");
}

#[test]
fn good_blobs_need_no_parity_and_do_not_look_at_it() {
    let packed = many();
    let name = names::parity(&packed.component.blob.name);
    let sick = Sick::new(packed.source()).with(&name, 0..u64::MAX, Ill::Dead);
    assert_eq!(extract(&packed, &sick).unwrap().repaired, 0);
    assert_eq!(sick.read_of(&name), 0);
    packed.spoil(40_000, 1);
    let (why, _) = uncured(extract(&packed, &sick));
    assert_eq!(why, Incurable::Unreadable(parity_file(&packed)));
}

#[test]
fn a_medium_that_answers_otherwise_at_the_second_time_is_harmless() {
    let packed = many();
    let name = packed.component.blob.name.clone();
    // Read rightly once by the pipeline: no second read decides anything.
    let liar = Sick::new(packed.source()).with(&name, 50_000..50_001, Ill::Liar);
    assert_eq!(extract(&packed, &liar).unwrap().repaired, 0);
    // With damage nearby the group is read again, and the lie is one more lost block of it.
    packed.spoil(40_000, 1);
    let liar = Sick::new(packed.source()).with(&name, 50_000..50_001, Ill::Liar);
    assert!(extract(&packed, &liar).unwrap().repaired >= 1);
    // Two lies and a damaged block are too much; nothing wrong is handed out.
    let liar = Sick::new(packed.source())
        .with(&name, 50_000..50_001, Ill::Liar)
        .with(&name, 60_000..60_001, Ill::Liar);
    let (why, _) = uncured(extract(&packed, &liar));
    assert_eq!(why, Incurable::Lost { most: 2, of: 32 });
}

#[test]
fn reads_that_fail_for_a_while_are_waited_for_and_the_wait_has_an_end() {
    let packed = Packed::new(tree(), &options());
    let name = packed.component.blob.name.clone();
    for ill in [Ill::Loose(3), Ill::Interrupted(50)] {
        let sick = Sick::in_pieces(packed.source(), 700).with(&name, 300_000..300_100, ill);
        assert_eq!(extract(&packed, &sick).unwrap().repaired, 0, "{ill:?}");
    }
    let started = Instant::now();
    let dead = Sick::new(packed.source()).with(&name, 300_000..300_001, Ill::Dead);
    let error = extract(&packed, &dead).unwrap_err();
    assert_eq!(error.kind(), Kind::Io);
    let took = started.elapsed().as_secs_f64();
    assert!((2.0..8.0).contains(&took), "{took} s");
}

#[test]
fn ctrl_c_ends_a_wait_for_the_medium() {
    let packed = Packed::new(tree(), &options());
    let name = packed.component.blob.name.clone();
    let dead = Sick::new(packed.source()).with(&name, 0..u64::MAX, Ill::Dead);
    let cancel = AtomicBool::new(false);
    let index = packed.index();
    let started = Instant::now();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(300));
            cancel.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let options = ExtractOptions::default();
        read::extract(
            &dead,
            &packed.component,
            &index,
            &options,
            &mut Discard,
            &Unwatched,
            &cancel,
        )
    });
    assert_eq!(outcome.unwrap_err().kind(), Kind::Cancelled);
    assert!(started.elapsed().as_secs_f64() < 1.5, "{:?}", started.elapsed());
}

#[test]
fn a_whole_parity_file_is_told_from_any_other() {
    let packed = many();
    let file = parity_file(&packed);
    let good = fs::read(&file).unwrap();
    let sha256 = packed.component.blob.sha256;
    let (layout, digest) = parity::whole(&mut &good[..], &sha256).unwrap().unwrap();
    assert_eq!((layout.file_len(), digest), (good.len() as u64, Digest::of(&good)));
    assert_eq!(
        parity::whole(&mut &good[..], &Digest::of(b"")).unwrap(),
        Err(ParityError::Other)
    );
    for at in (0..good.len()).step_by(997).chain([good.len() - 1, good.len() - 128]) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(parity::whole(&mut &bad[..], &sha256).unwrap().is_err(), "byte {at}");
    }
    for bad in [
        &good[..good.len() - 1],
        &good[..good.len() / 2],
        &[&good[..], &[0]].concat(),
    ] {
        assert!(parity::whole(&mut &bad[..], &sha256).unwrap().is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn places_add_up_for_blobs_of_any_size(size in prop_oneof![1..10_000_u64, any::<u64>().prop_map(|n| n >> 20), Just(1 << 43)], m in 1..9_u32) {
        let Ok(l) = Layout::of_blob(size, m) else {
            // Beyond what 4 million checksums cover.
            prop_assert!(size > 1 << 42);
            return Ok(());
        };
        prop_assert!(l.block() <= 4 << 20 && l.blocks() <= 32 * l.groups());
        prop_assert_eq!(u128::from(l.file_len()), 2 * (128 + 16 * u128::from(l.blocks() + l.parity_blocks())) + u128::from(l.parity_blocks()) * u128::from(l.block()));
        prop_assert_eq!(l.parity_offset(l.parity_blocks()) + l.table_len() + 128, l.file_len());
        // The share that was asked for, and what rounding to 4 KiB and a last short group add.
        let share = u128::from(size) * u128::from(m) / 32;
        prop_assert!(u128::from(l.parity_blocks() * l.block()) <= share + share / 8 + u128::from(m) * (4 << 20));
        for offset in [0, size / 3, size - 1] {
            let n = l.block_at(offset);
            prop_assert!(l.bytes_of(n).contains(&offset) && l.members(l.group_of(n)).contains(&n));
        }
        prop_assert_eq!(l.bytes_of(l.blocks() - 1).end, size);
        prop_assert_eq!(l.members(l.groups() - 1).end, l.blocks());
    }

    #[test]
    fn directories_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parity::Directory::parse(&bytes).is_err());
        prop_assert!(parity::Directory::parse(&[b"KBXPAR\r\n", &bytes[..]].concat()).is_err());
    }
}

#[test]
fn random_damage_is_repaired_or_refused_and_never_handed_out() {
    let packed = many();
    let size = packed.component.blob.size;
    let mut state = 7_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let (mut cured, mut refused) = (0, 0);
    for _ in 0..40 {
        let bursts: Vec<(u64, u64)> = (0..=random() % 6)
            .map(|_| (random() % size, 1 + random() % 9000))
            .collect();
        for (at, len) in &bursts {
            packed.spoil(*at, *len);
        }
        match extract_from(&packed.source(), &packed.component, &packed.index(), 2) {
            Ok(seen) => {
                assert!(seen.entries == Seen::expected(&tree()), "{bursts:?}");
                cured += 1;
            }
            Err(error) => {
                assert_eq!(error.kind(), Kind::Damaged, "{bursts:?}: {error}");
                refused += 1;
            }
        }
        for (at, len) in &bursts {
            packed.spoil(*at, *len);
        }
    }
    assert!(cured > 5 && refused > 5, "{cured} cured, {refused} refused");
}
