//! Owns `SHA256SUMS`: the list that `sha256sum -c`, run at the top of a depot, takes.
//!
//! Source: packs/FORMAT.md, "SHA256SUMS"; GNU coreutils, `sha256sum`.

use std::fmt::Write as _;

use kojibox_signing::Digest;

use crate::source::Section;

/// The text: one line per file, `<64 hex>  <folder>/<name>`, sorted by path.
pub fn to_text<'a>(files: impl IntoIterator<Item = (&'a Section, &'a str, Digest)>) -> String {
    let mut lines: Vec<(String, Digest)> = files
        .into_iter()
        .map(|(section, name, digest)| (format!("{}/{name}", section.folder()), digest))
        .collect();
    lines.sort();
    lines.iter().fold(String::new(), |mut out, (path, digest)| {
        writeln!(out, "{digest}  {path}").expect("a string takes every text");
        out
    })
}

/// The text is no list of the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {0} is not `<64 hex>  <folder>/<name>`, or not after the line before it")]
pub struct SumsError(pub usize);

/// Reads the text back: paths and digests in order.
pub fn parse(text: &str) -> Result<Vec<(String, Digest)>, SumsError> {
    let mut out: Vec<(String, Digest)> = Vec::new();
    for (i, line) in text.split_inclusive('\n').enumerate() {
        let fields = line.strip_suffix('\n').and_then(|line| line.split_once("  "));
        let entry = fields.and_then(|(hex, path)| Some((path, hex.parse::<Digest>().ok()?)));
        match entry {
            Some((path, digest)) if out.last().is_none_or(|(last, _)| last.as_str() < path) => {
                crate::path::PackPath::new(path).map_err(|_| SumsError(i + 1))?;
                out.push((path.to_owned(), digest));
            }
            _ => return Err(SumsError(i + 1)),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use kojibox_signing::Digest;

    use super::{parse, to_text};
    use crate::source::Section;

    #[test]
    fn lists_round_trip_sorted_and_nothing_else_is_read() {
        let d = Digest::of(b"x");
        let text = to_text([(&Section::Packs, "b", d), (&Section::Blobs, "a", d)]);
        assert_eq!(text, format!("{d}  blobs/a\n{d}  packs/b\n"));
        assert_eq!(parse(&text).unwrap()[1].0, "packs/b");
        for bad in [
            format!("{d}  a"),
            format!("{d} a\n"),
            format!("{d}  b\n{d}  a\n"),
            format!("{d}  ../a\n"),
            "\n".into(),
        ] {
            assert!(parse(&bad).is_err(), "`{bad}` must be refused");
        }
    }
}
