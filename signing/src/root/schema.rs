//! Owns the small steps by which a strict JSON value becomes typed fields, each failure naming its place.

use std::fmt::Write as _;

use super::error::RootError;
use crate::json::{Json, Map};

pub(super) fn field(at: impl Into<String>, expected: &'static str) -> RootError {
    RootError::Field {
        at: at.into(),
        expected,
    }
}

pub(super) fn map(json: Json, at: &str) -> Result<Map, RootError> {
    match json {
        Json::Map(map) => Ok(map),
        _ => Err(field(at, "an object")),
    }
}

pub(super) fn list(json: Json, at: &str) -> Result<Vec<Json>, RootError> {
    match json {
        Json::List(list) => Ok(list),
        _ => Err(field(at, "a list")),
    }
}

pub(super) fn take_map(from: &mut Map, at: &str, key: &str) -> Result<Map, RootError> {
    map(from.remove(key).unwrap_or(Json::Null), &format!("{at}.{key}"))
}

pub(super) fn take_text(from: &mut Map, at: &str, key: &str) -> Result<String, RootError> {
    match from.remove(key) {
        Some(Json::Text(text)) => Ok(text),
        _ => Err(field(format!("{at}.{key}"), "a text")),
    }
}

/// A version or a threshold.
pub(super) fn take_count(from: &mut Map, at: &str, key: &str) -> Result<u32, RootError> {
    let count = match from.remove(key) {
        Some(Json::Int(n)) => u32::try_from(n).ok(),
        _ => None,
    };
    count.ok_or_else(|| field(format!("{at}.{key}"), "a whole number of 32 bits"))
}

/// Bytes from lower-case hex digits.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
            _ => None,
        })
        .collect()
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        write!(out, "{b:02x}").expect("writing to a string cannot fail");
        out
    })
}
