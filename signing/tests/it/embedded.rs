//! Owns the tests of the trailer that carries roots behind a program.

use kojibox_signing::embedded::{EmbeddedError, MAX_TRAILER, append, find, len};

fn program(roots: &[Vec<u8>]) -> Vec<u8> {
    [b"\x7fELF and so on".to_vec(), append(roots).unwrap()].concat()
}

#[test]
fn what_is_appended_is_found_and_measured() {
    for roots in [
        vec![],
        vec![b"one".to_vec()],
        vec![b"one".to_vec(), vec![], vec![b'x'; 5000]],
    ] {
        let file = program(&roots);
        assert_eq!(find(&file).unwrap(), Some(roots.clone()));
        assert_eq!(&file[..file.len() - len(&file).unwrap()], b"\x7fELF and so on");
    }
    assert_eq!(find(b"\x7fELF and so on"), Ok(None));
    assert_eq!(len(b""), Ok(0));
}

#[test]
fn the_end_of_the_file_is_enough_to_find_it() {
    let roots = vec![vec![b'r'; 3000]];
    let file = [vec![0; 2 * MAX_TRAILER], append(&roots).unwrap()].concat();
    assert_eq!(find(&file[file.len() - MAX_TRAILER..]), Ok(Some(roots)));
    assert_eq!(append(&[vec![b'r'; MAX_TRAILER]]), Err(EmbeddedError::TooLarge));
}

#[test]
fn a_damaged_trailer_is_never_taken_for_another_one() {
    let roots = vec![b"first".to_vec(), b"second".to_vec()];
    let file = program(&roots);
    let start = file.len() - len(&file).unwrap();
    for bit in start * 8..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!matches!(find(&flipped), Ok(Some(_))), "bit {bit}");
    }
    for from in 1..file.len() {
        let cut = find(&file[from..]);
        assert!(
            from <= start || cut == Err(EmbeddedError::Damaged) || cut == Ok(None),
            "from {from}"
        );
    }
}
