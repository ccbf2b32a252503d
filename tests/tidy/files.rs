//! Owns the rules about the size and shape of files.

use crate::{files, none};

#[test]
fn every_file_says_in_its_first_line_what_it_owns() {
    let bad = files("rs").iter().filter(|f| !f.text.starts_with("//! ")).map(|f| f.path.clone()).collect();
    none(bad, "these files do not open with `//! `");
}

#[test]
fn files_stay_small() {
    let limit = |path: &str| match path {
        p if p.ends_with("/main.rs") && !p.contains("tests/") && !p.contains("tidy/") => 40,
        p if p.contains("/commands/") && !p.contains("tests/") => 150,
        _ => 500,
    };
    let bad = files("rs")
        .iter()
        .filter_map(|f| {
            let lines = f.prod().lines().count();
            (lines > limit(&f.path)).then(|| format!("{}: {lines} lines, at most {}", f.path, limit(&f.path)))
        })
        .collect();
    none(bad, "these files outgrew their room");
}

#[test]
fn nothing_is_left_unfinished_or_silenced() {
    // Spelled in pieces, so that this file does not accuse itself.
    let words: Vec<String> =
        [("to", "do!"), ("unimple", "mented!"), ("FIX", "ME"), ("X", "XX "), ("#[ig", "nore"), ("#[al", "low("), ("HA", "CK")]
            .map(|(a, b)| format!("{a}{b}"))
            .into();
    let mut bad = Vec::new();
    for file in files("rs") {
        for (n, line) in file.text.lines().enumerate() {
            if words.iter().any(|w| line.contains(w.as_str())) {
                bad.push(format!("{}:{}: {}", file.path, n + 1, line.trim()));
            }
        }
    }
    none(bad, "unfinished or silenced");
}
