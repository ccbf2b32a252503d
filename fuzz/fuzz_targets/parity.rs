//! Parity files, which nobody signed: directories, and whole files as the packer looks at them.
#![no_main]

use libfuzzer_sys::fuzz_target;

use kojibox_packs::parity::{Directory, Head, whole};

fuzz_target!(|data: &[u8]| {
    if let Ok(directory) = Directory::parse(data) {
        let layout = directory.layout();
        assert!(layout.file_len() >= layout.table_len() && layout.blocks() >= 1);
        assert!(!directory.is_data(u64::MAX, data));
    }
    if let Ok(head) = Head::parse(data) {
        assert_eq!(data[..128], head.to_bytes());
        let _ = whole(&mut &data[..], &head.blob_sha256);
    }
});
