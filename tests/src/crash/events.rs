//! Owns [`Event`]: what the recorded calls of a program did to its root, path by path.
//!
//! A call on the root that is not understood is a failure: a recorder that overlooks a change proves nothing.

use std::{collections::BTreeMap, path::Path};

use super::trace::{self, Call};
use crate::{Failure, Outcome};

/// One change, or one promise of the file system. Paths are relative to the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A directory is made.
    Dir(String),
    /// An empty file is made.
    Create(String, u32),
    /// Bytes are written at an offset.
    Write(String, usize, Vec<u8>),
    /// The length is set.
    Truncate(String, usize),
    /// The permission bits are set.
    Mode(String, u32),
    /// A name is moved, over another one if that is there.
    Rename(String, String),
    /// A second name.
    Link(String, String),
    /// A symbolic link to the first at the second.
    Symlink(String, String),
    /// A name is gone.
    Remove(String),
    /// A file or a directory is durable.
    Sync(String),
    /// Everything is durable.
    SyncAll,
}

/// An open file: where the next write goes.
struct Open {
    at: usize,
    append: bool,
}

/// Reads calls of one program in order.
pub(crate) struct Reader<'a> {
    root: &'a str,
    open: BTreeMap<i64, Open>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(root: &'a Path) -> Self {
        Self {
            root: root.to_str().unwrap_or_default(),
            open: BTreeMap::new(),
        }
    }

    /// The events of `call`, which returned without an error and tells of the root.
    pub(crate) fn read(&mut self, call: &Call, exists: impl Fn(&str) -> bool) -> Outcome<Vec<Event>> {
        let lost = || Failure::new(format!("a call is not understood: {}({})", call.name, call.args));
        let args = arguments(&call.raw);
        let arg = |n: usize| args.get(n).map(String::as_str).unwrap_or_default();
        let at = |n: usize| self.below(&args, n).ok_or_else(lost);
        let fd = |n: usize| self.path(&described(arg(n))).ok_or_else(lost);
        let whole = |n: usize| self.path(&quoted(arg(n))).ok_or_else(lost);
        Ok(match call.name.as_str() {
            "openat" => return Ok(self.opened(&at(0)?, arg(2), arg(3), call.result, exists)),
            "mkdirat" => Some(at(0)?)
                .filter(|path| !path.is_empty())
                .into_iter()
                .map(Event::Dir)
                .collect(),
            "renameat" | "renameat2" => vec![Event::Rename(at(0)?, at(2)?)],
            "linkat" => vec![Event::Link(at(0)?, at(2)?)],
            "symlinkat" => vec![Event::Symlink(quoted(arg(0)), at(1)?)],
            "unlinkat" => vec![Event::Remove(at(0)?)],
            // By their whole path: what tries out the file system before anything is written.
            "mkdir" => vec![Event::Dir(whole(0)?)],
            "symlink" => vec![Event::Symlink(quoted(arg(0)), whole(1)?)],
            "link" => vec![Event::Link(whole(0)?, whole(1)?)],
            "chmod" => vec![Event::Mode(whole(0)?, octal(arg(1)))],
            "unlink" | "rmdir" => vec![Event::Remove(whole(0)?)],
            "fchmod" => vec![Event::Mode(fd(0)?, octal(arg(1)))],
            "write" => {
                let bytes = written(arg(1), call.result);
                let path = fd(0)?;
                vec![self.write(number(arg(0)), path, bytes)]
            }
            "pwrite64" => {
                let offset = usize::try_from(number(arg(3))).map_err(|_| lost())?;
                vec![Event::Write(fd(0)?, offset, written(arg(1), call.result))]
            }
            "ftruncate" => {
                let len = usize::try_from(number(arg(1))).map_err(|_| lost())?;
                vec![Event::Truncate(fd(0)?, len)]
            }
            "lseek" => {
                if let (Some(open), Ok(to)) = (self.open.get_mut(&number(arg(0))), usize::try_from(call.result)) {
                    open.at = to;
                }
                Vec::new()
            }
            "fsync" | "fdatasync" => vec![Event::Sync(fd(0)?)],
            "syncfs" => vec![Event::SyncAll],
            _ => return Err(lost()),
        })
    }

    fn opened(&mut self, path: &str, flags: &str, mode: &str, fd: i64, exists: impl Fn(&str) -> bool) -> Vec<Event> {
        let append = flags.contains("O_APPEND");
        self.open.insert(fd, Open { at: 0, append });
        if flags.contains("O_CREAT") && !exists(path) {
            return vec![Event::Create(path.to_owned(), octal(mode))];
        }
        if flags.contains("O_TRUNC") {
            return vec![Event::Truncate(path.to_owned(), 0)];
        }
        Vec::new()
    }

    fn write(&mut self, fd: i64, path: String, bytes: Vec<u8>) -> Event {
        let open = self.open.entry(fd).or_insert(Open { at: 0, append: false });
        let at = if open.append { usize::MAX } else { open.at };
        if !open.append {
            open.at += bytes.len();
        }
        Event::Write(path, at, bytes)
    }

    /// The path that the directory argument `n` and the name after it make; empty for the root itself.
    fn below(&self, args: &[String], n: usize) -> Option<String> {
        let (dir, name) = (described(args.get(n)?), quoted(args.get(n + 1)?));
        self.path(&if name.starts_with('/') {
            name
        } else {
            format!("{dir}/{name}")
        })
    }

    /// Relative to the root; the root itself is empty.
    fn path(&self, full: &str) -> Option<String> {
        let rest = full.strip_prefix(self.root)?;
        if rest.is_empty() {
            return Some(String::new());
        }
        rest.strip_prefix('/').map(str::to_owned)
    }
}

/// Splits at commas: text is hexadecimal, so none is inside.
fn arguments(raw: &str) -> Vec<String> {
    raw.split(", ").map(str::to_owned).collect()
}

/// The path in `5<…>`.
fn described(arg: &str) -> String {
    let hex = arg
        .split_once('<')
        .and_then(|(_, rest)| rest.rsplit_once('>'))
        .map_or("", |(hex, _)| hex);
    String::from_utf8_lossy(&trace::bytes(hex)).into_owned()
}

/// The text in `"…"`.
fn quoted(arg: &str) -> String {
    String::from_utf8_lossy(&trace::bytes(arg.trim_matches('"'))).into_owned()
}

fn written(arg: &str, n: i64) -> Vec<u8> {
    let mut bytes = trace::bytes(arg.trim_matches('"'));
    bytes.truncate(usize::try_from(n).unwrap_or(0));
    bytes
}

fn number(arg: &str) -> i64 {
    let digits: String = arg.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(-1)
}

fn octal(arg: &str) -> u32 {
    u32::from_str_radix(arg, 8).unwrap_or(0)
}
