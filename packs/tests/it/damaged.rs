//! Bytes that are not the signed ones: refused before they are decoded, with the place named.

use std::fs;

use kojibox_packs::{
    Kind,
    read::{Damage, ReadError},
    write::{BlobOptions, InputEntry},
};

use crate::fixture::{Packed, file, flip, noise, options, path, tree, verify};

/// A tree whose blob and index are a few hundred bytes in three frames.
fn tiny() -> Packed {
    let entries = vec![
        file("a", 0o755, b"hello\n"),
        file("b", 0o644, &[0; 20_000]),
        InputEntry::link(path("c"), "a"),
        file("d", 0o644, &noise(3, 50)),
    ];
    let packed = Packed::new(entries, &options());
    assert_eq!(packed.index().frames().len(), 3);
    packed
}

fn split() -> Packed {
    let part_size = 70 << 10;
    let packed = Packed::new(tree(), &BlobOptions { part_size, ..options() });
    assert!(packed.parts.len() > 5, "{} parts", packed.parts.len());
    packed
}

#[test]
fn every_flipped_byte_of_blob_and_index_is_found() {
    let packed = tiny();
    for name in [&packed.component.blob.name, &packed.component.index.name] {
        let file = packed.blobs().join(name);
        let len = fs::read(&file).unwrap().len();
        for at in 0..len {
            flip(&file, at);
            let error = verify(&packed.source(), &packed.component).expect_err("a flipped byte");
            assert_eq!(error.kind(), Kind::Damaged, "byte {at} of {len} of `{name}`: {error}");
            flip(&file, at);
        }
    }
    verify(&packed.source(), &packed.component).unwrap();
}

#[test]
fn damage_names_the_part_the_place_and_the_frame() {
    let packed = split();
    let name = &packed.parts[3];
    let file = packed.blobs().join(name);
    let index = packed.index();
    let before: u64 = packed.written.parts[..3].iter().map(|part| part.size).sum();
    let number = index.frames().iter().position(|f| f.comp_off == before).unwrap();
    flip(&file, 100);
    let error = verify(&packed.source(), &packed.component).unwrap_err();
    let ReadError::Damaged {
        path,
        offset: 0,
        frame,
        source: Damage::Hash { .. },
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!((path, *frame), (&file, Some(number as u64)));
    assert!(
        error
            .to_string()
            .ends_with(&format!("is damaged at byte 0 (frame {number})")),
        "{error}"
    );
}

#[test]
fn the_first_damage_in_order_is_reported_whatever_the_threads_do() {
    let packed = split();
    for part in [2, 4, 6] {
        flip(&packed.blobs().join(&packed.parts[part]), 500);
    }
    let index = packed.index();
    for threads in [1, 2, 8] {
        for _ in 0..10 {
            let error = crate::fixture::extract_from(&packed.source(), &packed.component, &index, threads).unwrap_err();
            assert!(error.to_string().contains(&packed.parts[2]), "{error}");
        }
    }
}

#[test]
fn a_truncated_blob_is_damaged() {
    let packed = tiny();
    let file = packed.blobs().join(&packed.component.blob.name);
    let bytes = fs::read(&file).unwrap();
    for len in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&file, &bytes[..len]).unwrap();
        let error = verify(&packed.source(), &packed.component).unwrap_err();
        assert!(
            matches!(
                &error,
                ReadError::Damaged {
                    source: Damage::Size { .. },
                    ..
                }
            ),
            "{len} bytes: {error:?}"
        );
    }
    fs::write(&file, [&bytes[..], b"more"].concat()).unwrap();
    assert_eq!(
        verify(&packed.source(), &packed.component).unwrap_err().kind(),
        Kind::Damaged
    );
}

#[test]
fn a_missing_part_is_named_and_one_cut_short_is_damaged() {
    let packed = split();
    for number in [1, 4, packed.parts.len()] {
        let file = packed.blobs().join(&packed.parts[number - 1]);
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        let error = verify(&packed.source(), &packed.component).unwrap_err();
        assert_eq!(error.kind(), Kind::MediumMissing);
        let named = &packed.parts[number - 1];
        assert!(error.to_string().contains(&format!("{named}` is missing")), "{error}");
        fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
        let error = verify(&packed.source(), &packed.component).unwrap_err();
        assert!(
            matches!(
                &error,
                ReadError::Damaged {
                    source: Damage::Border { .. },
                    ..
                }
            ),
            "{error:?}"
        );
        fs::write(&file, &bytes).unwrap();
    }
    // Two parts changed places: both end where a frame ends, or not; the hashes know.
    fs::rename(packed.blobs().join(&packed.parts[1]), packed.blobs().join("x")).unwrap();
    fs::rename(
        packed.blobs().join(&packed.parts[2]),
        packed.blobs().join(&packed.parts[1]),
    )
    .unwrap();
    fs::rename(packed.blobs().join("x"), packed.blobs().join(&packed.parts[2])).unwrap();
    assert_eq!(
        verify(&packed.source(), &packed.component).unwrap_err().kind(),
        Kind::Damaged
    );
}

#[test]
fn a_missing_or_exchanged_index_is_refused() {
    let packed = tiny();
    let other = Packed::new(vec![file("x", 0o644, b"x")], &options());
    let place = packed.blobs().join(&packed.component.index.name);
    fs::write(&place, &other.written.index_bytes).unwrap();
    assert_eq!(
        verify(&packed.source(), &packed.component).unwrap_err().kind(),
        Kind::Damaged
    );
    let whole = packed.written.index_bytes.clone();
    for more in [1, 100, 100_000] {
        fs::write(&place, [whole.clone(), vec![0; more]].concat()).unwrap();
        let error = verify(&packed.source(), &packed.component).unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{more} bytes were added on the medium");
        assert!(error.to_string().contains(&packed.component.index.name), "{error}");
    }
    fs::remove_file(&place).unwrap();
    assert_eq!(
        verify(&packed.source(), &packed.component).unwrap_err().kind(),
        Kind::MediumMissing
    );
}
