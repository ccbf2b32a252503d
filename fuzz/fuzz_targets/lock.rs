//! Locks: what is read and written again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Write as _;

use kojibox_packer::lock::Lock;

fn read(text: &[u8]) -> Option<Lock> {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").expect("memory is writable");
    file.write_all(text).expect("memory is writable");
    Lock::load(file.path()).ok().flatten()
}

fuzz_target!(|data: &[u8]| {
    if let Some(lock) = read(data) {
        let again = read(lock.to_text().as_bytes()).expect("a lock reads what it writes");
        assert_eq!(again.to_text(), lock.to_text());
    }
});
