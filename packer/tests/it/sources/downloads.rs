//! Owns the tests of downloads: resume, mirrors, checksums, offline, a damaged cache.

use std::{fs, net::TcpListener, time::Duration};

use kojibox_console::Exit;
use kojibox_packer::cache::Cache;
use kojibox_signing::Digest;

use super::{
    desk::{Desk, chain, file_url, listing, url},
    server::{Answer, Server},
};

fn body() -> Vec<u8> {
    (0..300_000_u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let (desk, body) = (Desk::new(), body());
    let server = Server::new(&body, &[Answer::Cut(400_000), Answer::Cut(500_000), Answer::Good]);
    let entry = desk.lock(&url(&[&server.url("a/data.bin?x=1")], None)).unwrap();
    assert_eq!(server.ranges(), ["-", "bytes=400000-", "bytes=900000-"]);
    let input = &entry.inputs[0];
    assert_eq!(
        (input.name.as_str(), input.sha256, input.size),
        ("data.bin", Digest::of(&body), body.len() as u64)
    );
}

#[test]
fn a_pinned_download_goes_on_in_the_next_run() {
    let (mut desk, body) = (Desk::new(), body());
    desk.env.retry.rounds = 1;
    let server = Server::new(&body, &[Answer::Cut(400_000), Answer::Good]);
    let thing = url(&[&server.url("data.bin")], Some(Digest::of(&body)));
    let error = desk.lock(&thing).unwrap_err();
    assert!(
        chain(&error).contains("the answer broke off after 400000 of 1200000 bytes"),
        "{}",
        chain(&error)
    );
    assert_eq!(error.exit(), Exit::MediumMissing);
    desk.lock(&thing).unwrap();
    assert_eq!(server.ranges(), ["-", "bytes=400000-"]);
    assert_eq!(
        fs::read_dir(desk.cache.dir().join("partial")).unwrap().count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn a_server_that_cannot_resume_starts_over() {
    let (desk, body) = (Desk::new(), body());
    let server = Server::new(&body, &[Answer::Cut(400_000), Answer::Whole]);
    let entry = desk.lock(&url(&[&server.url("data.bin")], None)).unwrap();
    assert_eq!(entry.inputs[0].sha256, Digest::of(&body));
}

#[test]
fn a_silent_server_is_given_up_and_asked_again_for_the_rest() {
    let (mut desk, body) = (Desk::new(), body());
    desk.env.retry.answer = Duration::from_millis(400);
    let server = Server::new(&body, &[Answer::Stall(400_000), Answer::Good]);
    let entry = desk.lock(&url(&[&server.url("data.bin")], None)).unwrap();
    assert_eq!(entry.inputs[0].sha256, Digest::of(&body));
    assert_eq!(server.ranges(), ["-", "bytes=400000-"]);
}

#[test]
fn mirrors_are_tried_in_order_and_a_refusal_is_final() {
    let (desk, body) = (Desk::new(), body());
    let gone = Server::new(b"", &[Answer::Status(404)]);
    let busy = Server::new(&body, &[Answer::Status(503)]);
    let good = Server::new(&body, &[Answer::Status(500), Answer::Good]);
    let urls = [gone.url("x"), busy.url("x"), good.url("x")];
    desk.lock(&url(&[&urls[0], &urls[1], &urls[2]], Some(Digest::of(&body))))
        .unwrap();
    assert_eq!(
        (gone.ranges().len(), busy.ranges().len(), good.ranges().len()),
        (1, 2, 2)
    );
}

#[test]
fn other_bytes_than_pinned_are_refused_and_forgotten() {
    let (desk, body) = (Desk::new(), body());
    let server = Server::new(&body, &[Answer::Good]);
    let expected = Digest::of(b"else");
    let error = desk.lock(&url(&[&server.url("data.bin")], Some(expected))).unwrap_err();
    let text = chain(&error);
    assert!(
        text.starts_with("could not lock component `thing` for `linux-x86_64`\n"),
        "{text}"
    );
    assert!(text.contains(&format!(
        "got sha256 `{}` with 1200000 bytes, expected `{expected}`",
        Digest::of(&body)
    )));
    assert_eq!(
        (error.exit(), server.ranges().len()),
        (Exit::Damaged, 1),
        "asking again would not help"
    );
    assert!(!desk.cache.has(&Digest::of(&body)));

    // A mirror that has the pinned bytes helps.
    let liar = Server::new(b"lies", &[Answer::Good]);
    desk.lock(&url(&[&liar.url("x"), &server.url("x")], Some(Digest::of(&body))))
        .unwrap();
}

#[test]
fn an_address_that_nobody_answers_is_told_with_the_number_of_tries() {
    let desk = Desk::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("http://127.0.0.1:{port}/x");
    let error = desk.lock(&url(&[&address], None)).unwrap_err();
    assert!(
        chain(&error).contains(&format!("could not fetch `{address}` in 3 tries")),
        "{}",
        chain(&error)
    );
    assert_eq!(error.exit(), Exit::MediumMissing);
}

#[test]
fn a_filled_cache_needs_no_network_and_an_empty_one_says_so() {
    let (mut desk, body) = (Desk::new(), body());
    let server = Server::new(&body, &[Answer::Good]);
    let thing = url(&[&server.url("data.bin")], None);
    let entry = desk.lock(&thing).unwrap();
    desk.env.offline = true;
    assert_eq!(desk.fetch(&thing, &entry).unwrap(), 0);
    assert_eq!(desk.prepare(&thing, &entry).unwrap().entries.len(), 1);
    assert_eq!(server.ranges().len(), 1);

    desk.cache = Cache::new(&desk.path("other"));
    let error = desk.prepare(&thing, &entry).map(|_| ()).unwrap_err();
    assert!(chain(&error).ends_with("`data.bin` is not in the download cache, and `--offline` forbids to fetch it"));
    assert_eq!(error.exit(), Exit::MediumMissing);
}

#[test]
fn a_damaged_entry_of_the_cache_is_fetched_again() {
    let (desk, body) = (Desk::new(), body());
    let server = Server::new(&body, &[Answer::Good]);
    let thing = url(&[&server.url("data.bin")], None);
    let entry = desk.lock(&thing).unwrap();
    let path = desk.cache.path_of(&entry.inputs[0].sha256);
    fs::write(&path, b"rotten").unwrap();
    assert_eq!(desk.fetch(&thing, &entry).unwrap(), body.len() as u64);
    assert_eq!((fs::read(&path).unwrap(), server.ranges().len()), (body, 2));
}

#[test]
fn a_file_address_with_a_blank_in_it_is_a_download_too() {
    let desk = Desk::new();
    let path = desk.write("some folder/note.txt", "hello");
    let tree = desk
        .make(&url(&["file:///no/such/file", &file_url(&path)], None))
        .unwrap();
    assert_eq!(listing(&tree), ["file hello"]);
    let error = desk.lock(&url(&["file:///no/such/file"], None)).unwrap_err();
    assert!(
        chain(&error).contains("in 1 try"),
        "a file that is not there does not come: {}",
        chain(&error)
    );
}
