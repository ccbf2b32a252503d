//! Owns the log files of one service: JSON lines in `logs/<service>/current.jsonl`, rotated by size by their only writer.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{files, platform};

/// The file that is written to.
pub(crate) const CURRENT: &str = "current.jsonl";

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// RFC 3339 in UTC with microseconds.
    pub ts: String,
    /// Service.
    pub svc: String,
    /// Generation of the service.
    #[serde(rename = "gen")]
    pub generation: u64,
    /// Grows by one from line to line, across restarts; a gap means lost lines.
    pub seq: u64,
    /// `out`, `err`, or `sys` for what the launcher says.
    pub s: String,
    /// The line, secrets masked.
    pub msg: String,
    /// The line was longer and goes on in the next record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trunc: bool,
}

/// Size of a file and number of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) bytes: u64,
    pub(crate) files: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 8 << 20,
            files: 5,
        }
    }
}

/// The open log of one service.
#[derive(Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    file: File,
    size: u64,
    limits: Limits,
    pub(crate) seq: u64,
}

impl Store {
    /// Opens the log and goes on counting where it ended.
    pub(crate) fn open(dir: &Path, limits: Limits) -> io::Result<Self> {
        files::make_log_dir(dir)?;
        let path = dir.join(CURRENT);
        let (seq, whole) = last_record(&path)?;
        let mut file = platform::append_private(&path)?;
        if !whole {
            // A kill in the middle of a line must not spoil the next one.
            file.write_all(b"\n")?;
        }
        let size = file.metadata()?.len();
        let seq = seq.or_else(|| last_rotated(dir)).unwrap_or(0);
        Ok(Self {
            dir: dir.to_owned(),
            file,
            size,
            limits,
            seq,
        })
    }

    /// Writes one record; `seq` is given here.
    pub(crate) fn write(&mut self, mut record: Record) -> io::Result<()> {
        record.seq = self.seq + 1;
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        let length = line.len() as u64;
        if self.size > 0 && self.size + length > self.limits.bytes {
            self.rotate()?;
        }
        self.file.write_all(&line)?;
        self.seq = record.seq;
        self.size += length;
        Ok(())
    }

    /// Closes the file under the number of the last record in it, and removes what is over the limit. Whatever fails is tried
    /// again with the next record.
    fn rotate(&mut self) -> io::Result<()> {
        let path = self.dir.join(CURRENT);
        match fs::rename(&path, self.dir.join(format!("{:020}.jsonl", self.seq))) {
            // The last time only the new file could not be opened.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        self.file = platform::append_private(&path)?;
        self.size = 0;
        let old = rotated(&self.dir).unwrap_or_default();
        let over = (old.len() + 1).saturating_sub(self.limits.files);
        for name in old.iter().take(over) {
            drop(fs::remove_file(self.dir.join(name)));
        }
        Ok(())
    }
}

/// Names of closed log files, oldest first.
pub(crate) fn rotated(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let number = name.strip_suffix(".jsonl").unwrap_or_default();
        if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn last_rotated(dir: &Path) -> Option<u64> {
    let names = rotated(dir).ok()?;
    names.last()?.strip_suffix(".jsonl")?.parse().ok()
}

/// Number of the last whole record, and whether the file ends with a whole line.
fn last_record(path: &Path) -> io::Result<(Option<u64>, bool)> {
    let mut file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((None, true)),
        other => other?,
    };
    let size = file.metadata()?.len();
    // A record is at most a line of 64 KiB, escaped.
    let tail = size.min(1 << 20);
    file.seek(SeekFrom::Start(size - tail))?;
    let mut bytes = Vec::new();
    file.take(tail).read_to_end(&mut bytes)?;
    let whole = bytes.last().is_none_or(|b| *b == b'\n');
    let records = bytes.split(|b| *b == b'\n').rev();
    let seq = records
        .filter_map(|line| serde_json::from_slice::<Record>(line).ok())
        .map(|r| r.seq)
        .next();
    Ok((seq, whole))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Limits, Record, Store, rotated};

    fn record(msg: &str) -> Record {
        Record {
            ts: String::new(),
            svc: "s".to_owned(),
            generation: 1,
            seq: 0,
            s: "out".to_owned(),
            msg: msg.to_owned(),
            trunc: false,
        }
    }

    #[test]
    fn numbers_go_on_across_rotation_restart_and_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let limits = Limits { bytes: 400, files: 3 };
        let mut store = Store::open(dir.path(), limits).unwrap();
        for _ in 0..40 {
            store.write(record("some words")).unwrap();
        }
        assert_eq!((store.seq, rotated(dir.path()).unwrap().len()), (40, 2));
        drop(store);
        let current = dir.path().join("current.jsonl");
        let torn = [fs::read(&current).unwrap(), b"{\"ts\":\"to".to_vec()].concat();
        fs::write(&current, torn).unwrap();
        let mut store = Store::open(dir.path(), limits).unwrap();
        assert_eq!(store.seq, 40);
        store.write(record("after")).unwrap();
        let text = fs::read_to_string(&current).unwrap();
        let last: Record = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!((last.seq, last.msg.as_str()), (41, "after"));
    }

    #[test]
    fn a_file_that_could_not_be_opened_anew_is_opened_with_a_later_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Limits { bytes: 400, files: 9 }).unwrap();
        store.write(record("some words")).unwrap();
        let current = dir.path().join("current.jsonl");
        // As a rename leaves it that is followed by a new file that cannot be opened.
        fs::rename(&current, dir.path().join(format!("{:020}.jsonl", 1))).unwrap();
        for _ in 0..9 {
            store.write(record("after")).unwrap();
        }
        assert!(fs::read_to_string(&current).unwrap().contains("after"));
    }

    #[test]
    #[cfg(unix)]
    fn logs_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let top = tempfile::tempdir().unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let dir = top.path().join("db");
        let mut store = Store::open(&dir, Limits { bytes: 400, files: 3 }).unwrap();
        for _ in 0..20 {
            store.write(record("some words")).unwrap();
        }
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        assert_eq!(mode(top.path()), 0o755, "what is above is not ours to change");
        for entry in fs::read_dir(&dir).unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }
}
