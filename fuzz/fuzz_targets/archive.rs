//! Archives from upstream, tar, zip and Debian packages: no path of the tree leads out of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::{Seek as _, Write as _};

fuzz_target!(|data: &[u8]| {
    let scratch = tempfile::tempdir_in("/dev/shm").expect("memory is writable");
    let mut file = tempfile::tempfile_in(scratch.path()).expect("memory is writable");
    file.write_all(data).expect("memory is writable");
    file.rewind().expect("a file can be rewound");
    for path in kojibox_packer::source::fuzzed(&mut file, scratch.path()).into_iter().flatten() {
        assert!(path.split('/').all(|s| !matches!(s, "" | "." | "..")), "{path}");
    }
});
