//! Owns the level of a log line: what the program says in JSON, else the first word of the line that names one.

use std::str::FromStr;

use serde_json::Value;

use crate::shim::Record;

/// A level is looked for in so many characters at the beginning of a line.
const HEAD: usize = 160;
/// Keys of JSON lines that hold a level.
const KEYS: [&str; 4] = ["level", "severity", "lvl", "levelname"];

/// How much a line matters; later ones matter more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whom looks for a defect.
    Debug,
    /// What happens. Also what does not say its level.
    Info,
    /// Something may go wrong.
    Warn,
    /// Something went wrong.
    Error,
}

/// It is not a level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a level: `debug`, `info`, `warn` or `error`")]
pub struct LevelError(String);

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        word(text).ok_or_else(|| LevelError(text.to_owned()))
    }
}

/// The words of syslog, PostgreSQL, MariaDB, Node and the rest.
fn word(text: &str) -> Option<Level> {
    Some(match text.to_ascii_lowercase().as_str() {
        "trace" | "debug" | "debug1" | "debug2" | "debug3" | "debug4" | "debug5" | "verbose" => Level::Debug,
        "info" | "information" | "log" | "notice" | "note" | "hint" => Level::Info,
        "warn" | "warning" => Level::Warn,
        "error" | "err" | "fatal" | "panic" | "crit" | "critical" | "alert" | "emerg" | "emergency" => Level::Error,
        _ => return None,
    })
}

/// The level of a record: said, guessed, or [`Level::Info`].
pub fn level_of(record: &Record) -> Level {
    let text = record.msg.trim_start();
    let said = if text.starts_with('{') { in_json(text) } else { None };
    said.or_else(|| guessed(text)).unwrap_or(Level::Info)
}

fn in_json(text: &str) -> Option<Level> {
    let line: Value = serde_json::from_str(text).ok()?;
    match KEYS.iter().find_map(|key| line.get(key))? {
        Value::String(text) => word(text),
        // As pino and bunyan count them.
        Value::Number(number) => Some(match number.as_u64()? {
            0..=20 => Level::Debug,
            21..=30 => Level::Info,
            31..=40 => Level::Warn,
            _ => Level::Error,
        }),
        _ => None,
    }
}

/// A word stands for a level if it is in capitals, in brackets, or before a colon: `no error` is none.
fn guessed(text: &str) -> Option<Level> {
    let end = text.char_indices().nth(HEAD).map_or(text.len(), |(at, _)| at);
    let head = &text[..end];
    let mut at = 0;
    for part in head.split(|c: char| !c.is_ascii_alphanumeric()) {
        let (start, stop) = (at, at + part.len());
        at = stop + head[stop..].chars().next().map_or(0, char::len_utf8);
        let bracketed = head[..start].ends_with('[') && head[stop..].starts_with(']');
        let capitals = part.len() > 2 && part.bytes().all(|b| !b.is_ascii_lowercase());
        let labels = head[stop..].starts_with(':') || head[..start].ends_with("level=");
        if (bracketed || capitals || labels)
            && let Some(level) = word(part)
        {
            return Some(level);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Level, level_of};
    use crate::shim::Record;

    fn level(msg: &str) -> Level {
        level_of(&Record {
            ts: String::new(),
            svc: "s".to_owned(),
            generation: 1,
            seq: 1,
            s: "err".to_owned(),
            msg: msg.to_owned(),
            trunc: false,
        })
    }

    #[test]
    fn levels_are_read_as_programs_write_them() {
        for (line, expected) in [
            (
                "2026-01-01 00:00:00 UTC [12] LOG:  database system is ready",
                Level::Info,
            ),
            (
                "2026-01-01 00:00:00 UTC [12] FATAL:  role \"x\" does not exist",
                Level::Error,
            ),
            ("2026-01-01  0:00:00 0 [Warning] Aborted connection", Level::Warn),
            ("2026-01-01  0:00:00 0 [ERROR] InnoDB: no", Level::Error),
            ("[01-Jan-2026 00:00:00] NOTICE: fpm is running", Level::Info),
            ("npm warn: deprecated", Level::Warn),
            (r#"{"level":"warn","msg":"ERROR in the text"}"#, Level::Warn),
            (r#"{"severity":"CRITICAL","msg":"x"}"#, Level::Error),
            (r#"{"level":50,"msg":"x"}"#, Level::Error),
            (r#"{"level":20,"msg":"x"}"#, Level::Debug),
            ("time=now level=debug msg=x", Level::Debug),
            ("finished with no error and one warning", Level::Info),
            ("Ünïcode ☃ ERROR at the end", Level::Error),
            ("", Level::Info),
            ("{not json ERROR", Level::Error),
        ] {
            assert_eq!(level(line), expected, "{line}");
        }
    }
}
