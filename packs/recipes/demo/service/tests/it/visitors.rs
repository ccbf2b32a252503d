//! What a visitor, a script and a foreign page get.

use std::{fs, io::Write as _, net::TcpStream, time::Duration};

use crate::{
    book::{KEY, ONE, Place, SERVE, TWO},
    client::{get, post_form, post_json, request},
};

#[test]
fn a_signed_book_survives_a_graceful_stop() {
    for program in [ONE, TWO] {
        let place = Place::new();
        place.ok(program, &["init", "data"]);
        let book = place.serve(program, "data");
        let made = post_json(book.address, "Ani", "Selamat pagi");
        assert_eq!((made.status, &made.json()["id"]), (201, &1.into()));
        assert_eq!(post_form(book.address, "Budi", "dari formulir").status, 303);
        assert_eq!(book.stop(), "Stopping: TERM.\nStopped.\n");

        let book = place.serve(program, "data");
        let notes = get(book.address, "/api/notes").json();
        assert_eq!(notes[0]["text"], "dari formulir");
        assert_eq!(notes[1]["author"], "Ani");
        assert_eq!(notes[1].get("created").is_some(), program == TWO, "{notes}");
    }
}

#[test]
fn a_request_that_has_begun_is_answered_before_the_end() {
    let place = Place::new();
    place.ok(ONE, &["init", "data"]);
    let book = place.serve(ONE, "data");
    let body = r#"{"text":"late"}"#;
    let mut slow = TcpStream::connect(book.address).unwrap();
    let head = format!(
        "POST /api/notes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    get(book.address, "/healthz");
    let address = book.address;
    let stopping = std::thread::spawn(move || book.stop());
    std::thread::sleep(Duration::from_millis(300));
    assert!(
        TcpStream::connect(address).is_err() || cfg!(windows),
        "it must not take new visitors"
    );
    slow.write_all(body.as_bytes()).unwrap();
    stopping.join().unwrap();
    let book = place.serve(ONE, "data");
    assert_eq!(get(book.address, "/api/notes").json()[0]["text"], "late");
}

#[test]
fn the_page_shows_text_never_markup_and_speaks_two_languages() {
    let place = Place::new();
    place.ok(TWO, &["init", "data"]);
    let book = place.serve(TWO, "data");
    post_form(
        book.address,
        "<img src=x onerror=alert(1)>",
        "{{title}} <script>alert(1)</script>",
    );
    let page = get(book.address, "/");
    assert!(
        page.body.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{}",
        page.body
    );
    assert!(page.body.contains("{{title}} &lt;script"), "a note is not a template");
    assert!(page.body.contains("<h1>Tom &amp; &lt;Jerry&gt;</h1>"));
    assert!(!page.body.contains("<script") && !page.body.contains("<img"));
    assert!(
        page.head.contains("content-security-policy: default-src 'none'"),
        "{}",
        page.head
    );
    assert!(page.body.contains("Sign the book"));

    let page = request(book.address, "GET /", &["Accept-Language: id-ID,id;q=0.9,en;q=0.5"], "");
    assert!(
        page.body.contains("<html lang=\"id\">") && page.body.contains("Isi buku tamu"),
        "{}",
        page.body
    );
    assert!(
        !page.body.contains("{{intro}}"),
        "every word of the page is there in Indonesian"
    );
    let style = get(book.address, "/static/style.css");
    assert_eq!((style.status, style.head.contains("text/css")), (200, true));
}

#[test]
fn every_word_of_the_page_is_there_in_both_languages() {
    let place = Place::new();
    let words = |file| -> Vec<String> {
        let text = fs::read_to_string(place.path("pages").join(file)).unwrap();
        let words: std::collections::BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        words.into_keys().collect()
    };
    assert_eq!(words("en.json"), words("id.json"));
}

#[test]
fn what_is_too_long_or_empty_is_sent_back() {
    let place = Place::new();
    place.ok(ONE, &["init", "data"]);
    let book = place.serve(ONE, "data");
    assert_eq!(
        post_json(book.address, "", "   ").json()["error"],
        "the text of a note must not be empty"
    );
    assert_eq!(post_json(book.address, "", &"é".repeat(2000)).status, 201);
    assert_eq!(post_json(book.address, "", &"é".repeat(2001)).status, 422);
    assert_eq!(post_json(book.address, &"x".repeat(81), "x").status, 422);
    assert_eq!(post_json(book.address, "", &"x".repeat(40_000)).status, 413);
    let page = post_form(book.address, "<Ani>", " ");
    assert_eq!(page.status, 422);
    assert!(page.body.contains("A note needs some text.") && page.body.contains("value=\"&lt;Ani&gt;\""));
    assert_eq!(get(book.address, "/api/notes").json().as_array().unwrap().len(), 1);
}

#[test]
fn foreign_pages_and_foreign_names_are_refused() {
    let place = Place::new();
    place.ok(ONE, &["init", "data"]);
    let book = place.serve(ONE, "data");
    let json = "Content-Type: application/json";
    let body = r#"{"text":"x"}"#;
    assert_eq!(
        request(book.address, "GET /api/notes", &["Host: evil.example"], "").status,
        421
    );
    assert_eq!(
        request(
            book.address,
            "POST /api/notes",
            &[json, "Origin: http://evil.example"],
            body
        )
        .status,
        403
    );
    assert_eq!(
        request(book.address, "POST /api/notes", &[json, "Origin: null"], body).status,
        403
    );
    for path in [
        "/static/..%2Fkey",
        "/static/en.json",
        "/static/..",
        "/static/start.html",
    ] {
        assert_eq!(get(book.address, path).status, 404, "{path}");
    }
    assert_eq!(get(book.address, "/api/notes").json(), serde_json::json!([]));
}

#[test]
fn only_the_key_deletes() {
    let place = Place::new();
    place.ok(TWO, &["init", "data"]);
    let book = place.serve(TWO, "data");
    post_json(book.address, "Ani", "to go");
    let delete = |id: u8, key: &str| {
        request(
            book.address,
            &format!("DELETE /api/notes/{id}"),
            &[&format!("Authorization: Bearer {key}")],
            "",
        )
        .status
    };
    assert_eq!(delete(1, "0123456789abcdef0123456789abcdeX"), 401);
    assert_eq!(delete(1, ""), 401);
    assert_eq!((delete(1, KEY), delete(1, KEY)), (204, 404));
}

#[test]
fn health_names_the_missing_start_page() {
    let place = Place::new();
    place.ok(TWO, &["init", "data"]);
    let book = place.serve(TWO, "data");
    assert_eq!(get(book.address, "/healthz").status, 200);
    fs::remove_file(place.path("pages/start.html")).unwrap();
    let health = get(book.address, "/healthz");
    assert_eq!(health.status, 503);
    let reason = health.json()["reason"].as_str().unwrap().to_owned();
    assert!(
        reason.starts_with("start page `") && reason.ends_with("start.html` is missing"),
        "{reason}"
    );
    assert_eq!(
        get(book.address, "/version").json(),
        serde_json::json!({ "version": "2.0.0", "format": "2" })
    );
}

#[test]
fn a_taken_port_and_a_bad_configuration_are_named() {
    let place = Place::new();
    place.ok(ONE, &["init", "data"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    fs::write(place.path("guestbook.toml"), format!("port = {port}\ntitle = \"x\"\n")).unwrap();
    let serve: Vec<&str> = SERVE.into_iter().chain(["--data", "data"]).collect();
    let said = place.fails(ONE, &serve);
    assert!(
        said.starts_with(&format!("error: could not listen on `127.0.0.1:{port}`\n  caused by: ")),
        "{said}"
    );
    fs::write(place.path("guestbook.toml"), "port = 1\ntitel = \"x\"\n").unwrap();
    assert!(place.fails(ONE, &serve).contains("titel"));
}
