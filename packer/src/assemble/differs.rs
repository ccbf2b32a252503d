//! Owns the listing behind a `tree_sha256`, and where two of them differ first.

use std::collections::BTreeMap;

use kojibox_packs::index::{Entry, Index};
use kojibox_signing::Digest;

/// The lines whose SHA-256 is the `tree_sha256` of an index.
pub(super) fn listing(index: &Index) -> String {
    let mut out = String::new();
    for entry in index.entries() {
        let line = match entry {
            Entry::Dir { mode, path } => format!("dir\t{mode:04o}\t{path}\n"),
            Entry::Link { path, target } => format!("link\t{path}\t{target}\n"),
            Entry::File { mode, path, .. } | Entry::Same { mode, path, .. } => {
                let (size, sha256) = index
                    .content(path)
                    .expect("an index that was read knows each file's content");
                format!("file\t{mode:04o}\t{size}\t{sha256}\t{path}\n")
            }
        };
        out.push_str(&line);
    }
    out
}

/// How a tree differs from the locked one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// The locked listing is known.
    #[error("`{path}` {how}; {count} paths differ")]
    At {
        /// The first path that differs.
        path: String,
        /// How.
        how: String,
        /// How many differ.
        count: usize,
    },
    /// Only the digests are known.
    #[error("tree_sha256 is `{got}`, locked is `{expected}`; which file differs is not known on this machine")]
    Unknown {
        /// Of this build.
        got: Digest,
        /// In the lock.
        expected: Digest,
    },
}

/// Says where `new` differs from `old` first, by path; `None` if it does not.
pub(super) fn first(old: &str, new: &str) -> Option<Difference> {
    let (old, new) = (by_path(old), by_path(new));
    let paths = old.keys().chain(new.keys()).copied();
    let mut differing: Vec<&str> = paths.filter(|p| old.get(p) != new.get(p)).collect();
    differing.sort_unstable();
    differing.dedup();
    let path = *differing.first()?;
    let how = match (old.get(path), new.get(path)) {
        (None, _) => "is new".to_owned(),
        (_, None) => "is gone".to_owned(),
        (Some(old), Some(new)) => format!("is {new}, locked is {old}"),
    };
    Some(Difference::At {
        path: path.to_owned(),
        how,
        count: differing.len(),
    })
}

/// Path to what is there, in words.
fn by_path(listing: &str) -> BTreeMap<&str, String> {
    let mut out = BTreeMap::new();
    for line in listing.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        match fields[..] {
            ["dir", _, path] => drop(out.insert(path, "a folder".to_owned())),
            ["link", path, target] => drop(out.insert(path, format!("a link to `{target}`"))),
            ["file", mode, size, sha256, path] => {
                let short = sha256.get(..16).unwrap_or(sha256);
                drop(out.insert(path, format!("`{short}…` ({size} bytes, mode {mode})")));
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::first;

    #[test]
    fn the_first_differing_path_is_named_with_both_sides() {
        let old = "dir\t0755\tbin\nfile\t0755\t4\taaaaaaaaaaaaaaaaaaaa\tbin/a\nfile\t0644\t4\tbb\tz\n";
        assert_eq!(first(old, old), None);
        let new = "dir\t0755\tbin\nfile\t0755\t5\tcccccccccccccccccccc\tbin/a\nlink\tbin/b\ta\n";
        assert_eq!(
            first(old, new).unwrap().to_string(),
            "`bin/a` is `cccccccccccccccc…` (5 bytes, mode 0755), locked is `aaaaaaaaaaaaaaaa…` (4 bytes, mode 0755); 3 paths differ"
        );
        assert_eq!(first("", old).unwrap().to_string(), "`bin` is new; 3 paths differ");
        assert_eq!(first(old, "").unwrap().to_string(), "`bin` is gone; 3 paths differ");
    }
}
