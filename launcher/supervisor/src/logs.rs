//! Owns reading logs: several services merged by time, from files, so that it works without a daemon.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use regex_lite::Regex;

use crate::{
    FileError,
    files::failed,
    level::{Level, level_of},
    shim::{CURRENT, Record, rotated},
};

/// Which records are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Not before this time, RFC 3339 in UTC with microseconds.
    pub since: Option<String>,
    /// The line matches.
    pub grep: Option<Regex>,
    /// At least this level.
    pub level: Option<Level>,
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        self.since.as_ref().is_none_or(|s| record.ts >= *s)
            && self.grep.as_ref().is_none_or(|g| g.is_match(&record.msg))
            && self.level.is_none_or(|l| level_of(record) >= l)
    }
}

/// Reads the logs of some services, and goes on reading.
#[derive(Debug)]
pub struct Reader {
    cursors: Vec<Cursor>,
    filter: Filter,
}

impl Reader {
    /// Reads from the beginning of what is kept. `logs` is the directory of all logs.
    pub fn new(logs: &Path, services: &[String], filter: Filter) -> Self {
        let cursors = services.iter().map(|s| Cursor::new(logs.join(s))).collect();
        Self { cursors, filter }
    }

    /// Gives everything that is new, in the order of time.
    pub fn read(&mut self, mut take: impl FnMut(Record)) -> Result<(), FileError> {
        for cursor in &mut self.cursors {
            cursor.open()?;
        }
        loop {
            for cursor in &mut self.cursors {
                cursor.fill(&self.filter)?;
            }
            let key = |c: &Cursor| c.head.as_ref().map(|r| (r.ts.clone(), r.svc.clone(), r.seq));
            let first = self
                .cursors
                .iter_mut()
                .filter(|c| c.head.is_some())
                .min_by_key(|c| key(c));
            match first.and_then(|c| c.head.take()) {
                Some(record) => take(record),
                None => return Ok(()),
            }
        }
    }
}

/// A place in the log of one service.
#[derive(Debug)]
struct Cursor {
    dir: PathBuf,
    last_seq: u64,
    /// Bytes read of the current file, and the newest closed file at that time.
    offset: u64,
    behind: Option<String>,
    files: Vec<(PathBuf, u64)>,
    open: Option<BufReader<File>>,
    head: Option<Record>,
}

impl Cursor {
    fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            last_seq: 0,
            offset: 0,
            behind: None,
            files: Vec::new(),
            open: None,
            head: None,
        }
    }

    /// Lists what may hold something new: closed files with later numbers, then the current one.
    fn open(&mut self) -> Result<(), FileError> {
        let closed = match rotated(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(failed("list", &self.dir))?,
        };
        let newest = closed.last().cloned();
        if newest != self.behind {
            (self.offset, self.behind) = (0, newest);
        }
        let number = |n: &String| n.strip_suffix(".jsonl").and_then(|n| n.parse::<u64>().ok());
        let later = closed.iter().filter(|n| number(n) > Some(self.last_seq));
        self.files = later.map(|n| (self.dir.join(n), 0)).collect();
        self.files.push((self.dir.join(CURRENT), self.offset));
        self.files.reverse();
        self.open = None;
        Ok(())
    }

    /// Makes `head` the next wanted record, if there is one.
    fn fill(&mut self, filter: &Filter) -> Result<(), FileError> {
        while self.head.is_none() {
            let Some(reader) = self.open.as_mut() else {
                let Some((path, offset)) = self.files.pop() else {
                    return Ok(());
                };
                match File::open(&path) {
                    Ok(mut file) => {
                        file.seek(SeekFrom::Start(offset)).map_err(failed("read", &path))?;
                        self.open = Some(BufReader::new(file));
                    }
                    // Removed by a rotation in between: its lines are over the limit.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                    Err(e) => return Err(failed("open", &path)(e)),
                }
                continue;
            };
            let mut line = Vec::new();
            let n = reader.read_until(b'\n', &mut line).map_err(failed("read", &self.dir))?;
            if !line.ends_with(b"\n") {
                // The end, or a line that is being written just now.
                self.open = None;
                continue;
            }
            if self.files.is_empty() {
                self.offset += n as u64;
            }
            let record = serde_json::from_slice::<Record>(&line).ok();
            if let Some(record) = record.filter(|r| r.seq > self.last_seq) {
                self.last_seq = record.seq;
                self.head = Some(record).filter(|r| filter.takes(r));
            }
        }
        Ok(())
    }
}

/// Services that have a log, those of the launcher itself left out.
pub fn logged(logs: &Path) -> Result<Vec<String>, FileError> {
    let names = crate::files::names(logs)?;
    Ok(names.into_iter().filter(|n| !n.starts_with(['_', '.'])).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Filter, Level, Reader};

    fn line(ts: u32, svc: &str, seq: u64, msg: &str) -> String {
        format!(
            "{{\"ts\":\"2026-01-01T00:00:{ts:02}.000000Z\",\"svc\":\"{svc}\",\"gen\":1,\"seq\":{seq},\"s\":\"out\",\"msg\":\"{msg}\"}}\n"
        )
    }

    fn read(reader: &mut Reader) -> Vec<String> {
        let mut out = Vec::new();
        reader.read(|r| out.push(r.msg)).unwrap();
        out
    }

    #[test]
    fn services_are_merged_by_time_and_nothing_is_lost_or_doubled_by_a_rotation() {
        let dir = tempfile::tempdir().unwrap();
        for svc in ["a", "b"] {
            fs::create_dir(dir.path().join(svc)).unwrap();
        }
        let (a, b) = (dir.path().join("a/current.jsonl"), dir.path().join("b/current.jsonl"));
        fs::write(&a, line(1, "a", 1, "a1") + &line(3, "a", 2, "a2")).unwrap();
        fs::write(&b, line(2, "b", 1, "b1") + "{\"half").unwrap();
        let mut reader = Reader::new(dir.path(), &["a".into(), "b".into()], Filter::default());
        assert_eq!(read(&mut reader), ["a1", "b1", "a2"]);
        assert!(read(&mut reader).is_empty());

        let more = fs::read_to_string(&a).unwrap() + &line(4, "a", 3, "a3");
        fs::write(dir.path().join(format!("a/{:020}.jsonl", 3)), more).unwrap();
        fs::write(&a, line(5, "a", 4, "a4")).unwrap();
        assert_eq!(read(&mut reader), ["a3", "a4"]);

        fs::rename(&a, dir.path().join(format!("a/{:020}.jsonl", 4))).unwrap();
        fs::write(&a, line(6, "a", 5, "a5")).unwrap();
        assert_eq!(read(&mut reader), ["a5"]);
    }

    #[test]
    fn filters_by_time_and_text() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        let text: String = (1..=5)
            .map(|n| line(u32::try_from(n).unwrap(), "a", n, &format!("line {n}")))
            .collect();
        fs::write(dir.path().join("a/current.jsonl"), text).unwrap();
        let filter = Filter {
            since: Some("2026-01-01T00:00:03.000000Z".to_owned()),
            grep: Some(regex_lite::Regex::new("[35]$").unwrap()),
            level: Some(Level::Info),
        };
        assert_eq!(
            read(&mut Reader::new(dir.path(), &["a".into()], filter)),
            ["line 3", "line 5"]
        );
        let filter = Filter {
            level: Some(Level::Warn),
            ..Filter::default()
        };
        assert!(read(&mut Reader::new(dir.path(), &["a".into()], filter)).is_empty());
    }
}
