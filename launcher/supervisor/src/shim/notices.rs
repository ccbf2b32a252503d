//! Owns listening to what a service says of itself: only its own processes are heard, and not more often than a person can read.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Shared, mask::Mask, pump::Pump};
use crate::{notice, platform::Notices};

/// How often a new status is passed on; the newest one always is in the end.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens as long as the shim lives.
pub(super) fn listen(shared: &Arc<Shared>, pump: &Arc<Pump>, notices: &Notices) {
    let secrets = shared.spec.secrets.iter();
    let mask = Mask::new(secrets.map(|(name, value)| (name.as_str(), value.as_str())));
    let mut buffer = [0; notice::LONGEST + 1];
    let (mut open, mut told): (Option<String>, Option<Instant>) = (None, None);
    loop {
        let Ok(len) = notices.next(&mut buffer, std::process::id(), PAUSE) else {
            // Out of memory, for example; it will pass.
            std::thread::sleep(PAUSE);
            continue;
        };
        let heard = len.and_then(|len| notice::parse(&buffer[..len])).unwrap_or_default();
        if let Some(status) = heard.status {
            open = Some(String::from_utf8_lossy(&mask.apply(b"", status.as_bytes())).into_owned());
        }
        let due = told.is_none_or(|at| at.elapsed() >= PAUSE);
        if let Some(status) = open.take_if(|_| due || heard.ready) {
            told = Some(Instant::now());
            pump.say(format!("status: {status}"));
            shared.change(|s| s.said = Some(status));
        }
        if heard.ready && !shared.lock().notified {
            pump.say("it says that it is ready");
            shared.change(|s| s.notified = true);
        }
    }
}
