//! From format 1 to format 2, and what each release does with the data of the other.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    book::{ONE, Place, SERVE, TWO},
    client::{get, post_json},
};

/// Every file below `dir` with its bytes and the time it was last written.
fn picture(dir: &Path) -> BTreeMap<String, (Vec<u8>, std::time::SystemTime)> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            let written = entry.metadata().unwrap().modified().unwrap();
            (
                entry.file_name().into_string().unwrap(),
                (fs::read(entry.path()).unwrap(), written),
            )
        })
        .collect()
}

#[test]
fn notes_move_to_format_2_and_the_old_directory_is_not_touched() {
    let place = Place::new();
    place.ok(ONE, &["init", "1"]);
    let book = place.serve(ONE, "1");
    for (author, text) in [("Ani", "first"), ("Budi", "second"), ("Ani", "third"), ("", "nobody's")] {
        assert_eq!(post_json(book.address, author, text).status, 201);
    }
    book.stop();
    let before = picture(&place.path("1"));
    assert!(
        place
            .ok(TWO, &["migrate", "1", "2"])
            .starts_with("Moved 4 notes to format 2 in `2`.")
    );
    assert_eq!(picture(&place.path("1")), before);
    assert_eq!(
        picture(&place.path("2")).keys().collect::<Vec<_>>(),
        ["guestbook.sqlite"]
    );

    let book = place.serve(TWO, "2");
    let notes = get(book.address, "/api/notes").json();
    assert_eq!(
        notes[3],
        serde_json::json!({ "id": 1, "author": "Ani", "text": "first" })
    );
    let new = post_json(book.address, "Ani", "fifth").json();
    assert_eq!(new["id"], 5, "numbers go on");
    assert!(new["created"].as_str().unwrap().ends_with('Z'));
    book.stop();

    let book = place.serve(ONE, "1");
    assert_eq!(
        get(book.address, "/api/notes").json().as_array().unwrap().len(),
        4,
        "version 1 still works"
    );
}

/// A book of format 1 as `kill -9` leaves it in the middle of a commit: half of the new pages are in the database,
/// the pages they replaced are in its journal.
fn killed_in_a_commit(place: &Place) {
    place.ok(ONE, &["init", "1"]);
    let book = place.serve(ONE, "1");
    for n in 0..20 {
        post_json(book.address, "Ani", &format!("note {n} {}", "x".repeat(1500)));
    }
    book.stop();
    let db = rusqlite::Connection::open(place.path("1").join("guestbook.sqlite")).unwrap();
    db.execute_batch("PRAGMA cache_size = 2; BEGIN; UPDATE notes SET text = 'lost' || text;")
        .unwrap();
    fs::create_dir(place.path("crashed")).unwrap();
    for name in ["guestbook.sqlite", "guestbook.sqlite-journal"] {
        fs::copy(place.path("1").join(name), place.path("crashed").join(name)).unwrap();
    }
}

#[test]
fn a_book_that_a_crash_left_with_a_journal_moves_as_if_the_last_change_never_began() {
    let place = Place::new();
    killed_in_a_commit(&place);
    let before = picture(&place.path("crashed"));
    assert!(
        before["guestbook.sqlite"].0.windows(8).any(|w| w == b"lostnote"),
        "the crash must have left its mark"
    );
    place.ok(TWO, &["migrate", "crashed", "2"]);
    assert_eq!(picture(&place.path("crashed")), before);
    let book = place.serve(TWO, "2");
    let notes = get(book.address, "/api/notes").json();
    assert_eq!(notes.as_array().unwrap().len(), 20);
    assert!(
        notes
            .as_array()
            .unwrap()
            .iter()
            .all(|note| note["text"].as_str().unwrap().starts_with("note "))
    );
}

#[test]
fn each_release_refuses_the_data_of_the_other() {
    let place = Place::new();
    place.ok(ONE, &["init", "1"]);
    place.ok(TWO, &["init", "2"]);
    let serve = |data| SERVE.into_iter().chain(["--data", data]).collect::<Vec<_>>();
    let said = place.fails(TWO, &serve("1"));
    assert!(
        said.contains("guestbook.sqlite` has format 1, this program reads format 2"),
        "{said}"
    );
    let said = place.fails(ONE, &serve("2"));
    assert!(
        said.contains("guestbook.sqlite` has format 2, this program reads format 1"),
        "{said}"
    );
    assert!(
        place
            .fails(TWO, &["migrate", "2", "3"])
            .contains("has format 2, this program reads format 1")
    );
    assert!(
        place
            .fails(ONE, &["migrate", "1", "3"])
            .contains("format 1 have no predecessor")
    );
}

#[test]
fn what_is_not_a_guest_book_is_refused_and_nothing_is_overwritten() {
    let place = Place::new();
    let serve = |data| SERVE.into_iter().chain(["--data", data]).collect::<Vec<_>>();
    assert!(place.fails(ONE, &serve("none")).contains("there is no guest book at"));
    fs::create_dir(place.path("other")).unwrap();
    rusqlite::Connection::open(place.path("other/guestbook.sqlite"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    assert!(place.fails(ONE, &serve("other")).contains("is not a guest book"));
    place.ok(ONE, &["init", "1"]);
    assert!(place.fails(ONE, &["init", "1"]).contains("already"));
    place.ok(TWO, &["migrate", "1", "2"]);
    assert!(place.fails(TWO, &["migrate", "1", "2"]).contains("already"));
}
