//! Journals, as a carried root may bring them: what counts lies before what is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::fs;

use kojibox_state::{journal, store::RootDir};

fuzz_target!(|data: &[u8]| {
    let root = tempfile::tempdir_in("/dev/shm").expect("memory is writable");
    fs::create_dir(root.path().join("state")).expect("memory is writable");
    fs::write(root.path().join("state/journal"), data).expect("memory is writable");
    let dir = RootDir::open(root.path()).expect("it is a directory");
    if let Ok(found) = journal::read(&dir) {
        assert_eq!(found.intact + found.torn, data.len() as u64);
    }
});
