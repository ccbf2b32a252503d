//! Owns what a service says through `NOTIFY_SOCKET`: one datagram of lines, read with limits, most of it not for us.
//!
//! `READY=1` and `STATUS=…` are understood. Everything else that systemd knows (`WATCHDOG=1`, `MAINPID=…`, `FDSTORE=1` …) is
//! passed over: the supervisor knows the processes of a service by itself.
//!
//! Source: `sd_notify(3)`.

/// A longer datagram is not one; what is passed over is as cheap as what is read.
pub const LONGEST: usize = 4096;
/// Lines beyond this are not looked at.
const LINES: usize = 64;
/// Characters of a status that are kept.
const STATUS: usize = 200;

/// What one datagram says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// It can serve.
    pub ready: bool,
    /// What it is doing, one line without control characters.
    pub status: Option<String>,
}

/// Reads a datagram; `None` if it is too long or says nothing that is understood.
pub fn parse(datagram: &[u8]) -> Option<Notice> {
    if datagram.len() > LONGEST {
        return None;
    }
    let mut notice = Notice::default();
    for line in datagram.split(|b| *b == b'\n').take(LINES) {
        if line == b"READY=1" {
            notice.ready = true;
        } else if let Some(text) = line.strip_prefix(b"STATUS=") {
            notice.status = Some(shown(text)).filter(|text| !text.is_empty());
        }
    }
    (notice != Notice::default()).then_some(notice)
}

/// One line that may stand in a log and on a terminal.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(STATUS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Notice, parse};

    #[test]
    fn ready_and_status_are_read_and_the_rest_is_passed_over() {
        let both = Notice {
            ready: true,
            status: Some("loading 3 of 9".to_owned()),
        };
        assert_eq!(
            parse(b"MAINPID=1\nREADY=1\nSTATUS=loading 3 of 9\nWATCHDOG=1"),
            Some(both)
        );
        for silent in [
            &b""[..],
            b"\n\n",
            b"READY=0",
            b"ready=1",
            b"XREADY=1",
            b"STATUS=",
            b"STATUS= \x1b \n",
            b"BARRIER=1",
        ] {
            assert_eq!(parse(silent), None, "{silent:?}");
        }
    }

    #[test]
    fn what_is_hostile_is_cut_cleaned_or_dropped() {
        let escape = parse(b"STATUS=\x1b[2J\xff\0gone\r").unwrap().status.unwrap();
        assert_eq!(escape, "[2J\u{fffd} gone");
        let long = [b"STATUS=".to_vec(), vec![b'x'; 1000]].concat();
        assert_eq!(parse(&long).unwrap().status.unwrap().len(), 200);
        let huge = [b"READY=1\n".to_vec(), vec![b'\n'; LONGEST]].concat();
        assert_eq!(parse(&huge), None);
        let late = [vec![b'\n'; 64], b"READY=1".to_vec()].concat();
        assert_eq!(parse(&late), None, "only the first lines count");
    }
}
