//! Owns what names and versions may look like: ids, semantic versions, names in registries, placeholders for paths.

/// Longest id and version.
const MAX: usize = 40;

/// An id of ours: `[a-z0-9-]`, at most 40 bytes, starting and ending with a letter or digit.
pub(super) fn id(text: &str) -> Result<String, String> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    let ends = bytes.first().is_some_and(|b| word(*b)) && bytes.last().is_some_and(|b| word(*b));
    if ends && bytes.len() <= MAX && bytes.iter().all(|b| word(*b) || *b == b'-') {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is no id; expected `a-z`, `0-9` and `-` inside, at most {MAX} characters"
    ))
}

/// An id of a question, secret or port: as [`id`], with `_` too.
pub(super) fn word(text: &str) -> Result<String, String> {
    match id(&text.replace('_', "-")) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!(
            "`{text}` is no name; expected `a-z`, `0-9`, `-` and `_` inside, at most {MAX} characters"
        )),
    }
}

/// A semantic version in lower case, at most 40 bytes.
pub(super) fn version(text: &str) -> Result<String, String> {
    if text.len() > MAX {
        return Err(format!("`{text}` is longer than {MAX} characters"));
    }
    if let Err(e) = semver::Version::parse(text) {
        return Err(format!("`{text}` is no semantic version such as `1.4.0`: {e}"));
    }
    if text.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(format!("`{text}` has upper-case letters; versions are lower-case"));
    }
    Ok(text.to_owned())
}

/// A data format or channel: `[a-z0-9._-]`, at most 40 bytes, starting with a letter or digit.
pub(super) fn label(text: &str) -> Result<String, String> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    let bytes = text.as_bytes();
    let start = bytes.first().is_some_and(u8::is_ascii_alphanumeric);
    if start && bytes.len() <= MAX && bytes.iter().all(|b| fine(*b)) && !text.ends_with('.') {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{text}` is no label; expected `a-z`, `0-9`, `.`, `_`, `-`, at most {MAX} characters"
    ))
}

/// A licence as an SPDX expression, by its alphabet.
pub(super) fn license(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-.+() :".contains(c);
    if !text.trim().is_empty() && text.len() <= 256 && text.chars().all(fine) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no SPDX expression such as `MIT OR Apache-2.0`"))
}

/// The name of a package in a registry. It becomes an argument of a client: nothing that starts like a flag, a path or a URL.
pub(super) fn package(kind: &str, text: &str) -> Result<(), String> {
    let start = |b: &u8| b.is_ascii_alphanumeric() || (kind == "npm" && *b == b'_');
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"._+-".contains(b);
    let plain = |s: &str| s.as_bytes().first().is_some_and(start) && s.as_bytes().iter().all(inner);
    let fine = match (kind, text.strip_prefix('@')) {
        ("npm", Some(scoped)) => scoped
            .split_once('/')
            .is_some_and(|(scope, name)| plain(scope) && plain(name)),
        // `apt-get` takes a name with `-` at its end for something to remove.
        ("deb", _) => plain(text) && !text.ends_with('-'),
        _ => plain(text),
    };
    if fine && text.len() <= 214 {
        return Ok(());
    }
    let what = match kind {
        "npm" => "an npm package",
        "pypi" => "a Python project",
        "deb" => "a Debian package",
        _ => "a crate",
    };
    Err(format!("`{text}` is no name of {what}"))
}

/// One exact upstream version: no range, no tag such as `latest`.
pub(super) fn exact(kind: &str, text: &str) -> Result<(), String> {
    let fine = match kind {
        "npm" | "crate" => semver::Version::parse(text).is_ok(),
        _ => {
            let inner = |c: char| c.is_ascii_alphanumeric() || ".+~:!_-".contains(c);
            text.starts_with(|c: char| c.is_ascii_digit()) && text.len() <= 100 && text.chars().all(inner)
        }
    };
    if fine {
        return Ok(());
    }
    Err(format!(
        "`{text}` is not one exact version; ranges and tags such as `latest` change without notice"
    ))
}

/// An address that something is fetched from.
pub(super) fn address(text: &str) -> Result<(), String> {
    let scheme = text.split_once("://").map(|(s, rest)| (s, !rest.is_empty()));
    let known = matches!(scheme, Some(("http" | "https" | "file", true)));
    if known && !text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Ok(());
    }
    Err(format!(
        "`{text}` is no address; expected `https://…`, `http://…` or `file:///…`"
    ))
}

/// Where an ELF file looks for its libraries: folders divided by `:`, each relative to the file.
pub(super) fn rpath(text: &str) -> Result<(), String> {
    let own = |folder: &str| {
        folder
            .strip_prefix("$ORIGIN")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let plain = |c: char| c.is_ascii_graphic() && c != '\\';
    if text.len() <= 256 && text.chars().all(plain) && text.split(':').all(own) {
        return Ok(());
    }
    Err(format!(
        "`{text}` does not move with the tree; expected folders such as `$ORIGIN/../lib`, divided by `:`"
    ))
}

/// A path inside a tree: relative, `/`, no empty, `.` or `..` segments.
pub(super) fn inner_path(text: &str) -> Result<(), String> {
    kojibox_packs::path::PackPath::new(text)
        .map(drop)
        .map_err(|e| e.to_string())
}
