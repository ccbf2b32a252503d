//! Owns the check of a wheel against its own `RECORD`: every file, its size and its sha256.

use std::{collections::BTreeMap, io};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use kojibox_signing::{Digest, Hasher};

use super::{
    error::SourceError,
    tree::{Content, Node, Tree},
    unpack::archive_error,
};

/// Longest record in bytes.
const MAX_RECORD: u64 = 64 << 20;

/// Checks `tree`, unpacked from the wheel `name`.
///
/// Source: the binary distribution format of Python packages, "The .dist-info directory".
pub(super) fn check(tree: &Tree, name: &str) -> Result<(), SourceError> {
    let refuse = |member: &str, reason: &str| SourceError::Member {
        archive: name.to_owned(),
        member: member.to_owned(),
        reason: reason.to_owned(),
    };
    let is_record = |path: &str| path.strip_suffix(".dist-info/RECORD").is_some_and(|p| !p.contains('/'));
    let record = tree.iter().find_map(|(path, node)| match node {
        Node::File { content, .. } if is_record(path) => Some((path, content)),
        _ => None,
    });
    let Some((record_path, record)) = record else {
        return Err(refuse("RECORD", "the wheel has none"));
    };
    let text = record.head(MAX_RECORD).map_err(|e| archive_error(name, e))?;
    let text = String::from_utf8(text).map_err(|e| archive_error(name, e))?;
    let mut listed = read(&text, name)?;
    for (path, node) in tree.iter() {
        let Node::File { content, .. } = node else { continue };
        let promised = listed.remove(path);
        // A record cannot list its own digest; signatures of the record come after it.
        if path == record_path || matches!(path.strip_prefix(record_path.as_str()), Some(".jws" | ".p7s")) {
            continue;
        }
        let Some(Some((digest, size))) = promised else {
            return Err(refuse(path, "its `RECORD` has no digest for it"));
        };
        let got = hash(content).map_err(|e| archive_error(name, e))?;
        if got != digest || content.size() != size {
            return Err(SourceError::Checksum {
                what: format!("{path}` in `{name}"),
                expected: digest,
                got,
                size: content.size(),
            });
        }
    }
    match listed.into_keys().find(|path| !path.ends_with('/')) {
        Some(path) => Err(refuse(&path, "its `RECORD` lists it, but it is not there")),
        None => Ok(()),
    }
}

type Listed = BTreeMap<String, Option<(Digest, u64)>>;

fn read(text: &str, name: &str) -> Result<Listed, SourceError> {
    let mut listed = Listed::new();
    for line in text.lines().filter(|l| !l.trim().is_empty()) {
        let row = row(line);
        let [path, digest, size] = &row[..] else {
            return Err(archive_error(
                name,
                format!("a line of its `RECORD` has {} fields, expected 3", row.len()),
            ));
        };
        let promised = match digest.strip_prefix("sha256=") {
            Some(text) => {
                let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
                let bytes: Option<[u8; 32]> = bytes.and_then(|b| b.try_into().ok());
                bytes.map(Digest::from_bytes).zip(size.parse().ok())
            }
            None => None,
        };
        listed.insert(path.trim_start_matches("./").to_owned(), promised);
    }
    Ok(listed)
}

/// The fields of a line of comma-separated values.
fn row(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                fields.last_mut().expect("there is a field").push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("there is a field").push(c),
        }
    }
    fields
}

/// Digest of a file of a tree.
pub(crate) fn hash(content: &Content) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    io::copy(&mut content.open()?, &mut hasher)?;
    Ok(hasher.finish())
}
