//! Verbs of these tests.

use std::path::Path;

use kojibox_state::{
    Holder, RootPath,
    doc::Versioned as _,
    journal::TxKind,
    receipts::{Receipt, ReceiptBytes, TxOutcome},
};
use tempfile::TempDir;

pub(crate) fn dir() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

pub(crate) fn path(text: &str) -> RootPath {
    RootPath::new(text).expect("a valid path")
}

pub(crate) fn holder(command: &str) -> Holder {
    Holder {
        pid: std::process::id(),
        command: command.to_owned(),
        started: "14:02:11".to_owned(),
    }
}

pub(crate) fn receipt(txid: &str) -> Receipt {
    Receipt {
        schema: Receipt::SCHEMA.to_owned(),
        txid: txid.to_owned(),
        kind: TxKind::Install,
        outcome: TxOutcome::Done,
        reason: None,
        command: "kojibox-installer install".to_owned(),
        started: "2026-01-01T00:00:00Z".to_owned(),
        finished: "2026-01-01T00:00:09Z".to_owned(),
        from: None,
        to: Some(1),
        packs: Vec::new(),
        verdicts: Vec::new(),
        bytes: ReceiptBytes::default(),
        notes: Vec::new(),
        previous: None,
    }
}

/// Every name below `root` with what it is and, for files, its bytes.
pub(crate) fn snapshot(root: &Path) -> Vec<(String, Option<Vec<u8>>)> {
    let mut out = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let at = entry.unwrap().path();
            let name = at.strip_prefix(root).unwrap().display().to_string();
            let meta = std::fs::symlink_metadata(&at).unwrap();
            if meta.is_dir() {
                out.push((name, None));
                todo.push(at);
            } else {
                out.push((name, Some(std::fs::read(&at).unwrap_or_default())));
            }
        }
    }
    out.sort();
    out
}

/// Answers of an exhaustive walk: every combination once, as an odometer with wheels of different sizes.
#[derive(Default)]
pub(crate) struct Odometer {
    wheels: Vec<(u32, u32)>,
    at: usize,
}

impl Odometer {
    pub(crate) fn choose(&mut self, n: u32) -> u32 {
        if self.at == self.wheels.len() {
            self.wheels.push((0, n));
        }
        let (value, size) = self.wheels[self.at];
        assert_eq!(size, n, "the same questions in the same order");
        self.at += 1;
        value
    }

    /// Turns to the next combination; false after the last.
    pub(crate) fn next(&mut self) -> bool {
        self.wheels.truncate(self.at);
        self.at = 0;
        while let Some((value, size)) = self.wheels.pop() {
            if value + 1 < size {
                self.wheels.push((value + 1, size));
                return true;
            }
        }
        false
    }
}
