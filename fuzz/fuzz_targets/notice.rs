//! Datagrams that a service says of itself: what is kept of them is short and may stand on a terminal.
#![no_main]

use kojibox_supervisor::notice::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(status) = parse(data).and_then(|notice| notice.status) {
        assert!(!status.is_empty() && status.chars().count() <= 200);
        assert!(!status.chars().any(char::is_control));
    }
});
