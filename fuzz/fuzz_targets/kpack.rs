//! Single-file packs: the directory of members is read before any signature can be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Write as _;

use kojibox_packs::source::Kpack;

fuzz_target!(|data: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").expect("memory is writable");
    file.write_all(data).expect("memory is writable");
    if let Ok(pack) = Kpack::open(file.path()) {
        assert!(pack.members().all(|(_, name, size)| !name.is_empty() && size <= data.len() as u64));
    }
});
