//! Owns the invariants of this tree: what ARCHITECTURE.md promises about its files is checked here, file by file.

mod dependencies;
mod docs;
mod files;
mod source;

use std::{fs, path::{Path, PathBuf}};

use walkdir::WalkDir;

/// One source file, path relative to the top of the tree.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The text without its `#[cfg(test)]` modules at the end, which is where this tree keeps them.
    pub(crate) fn prod(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default()
    }

    /// True for tests, test support, benches and build scripts.
    pub(crate) fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.contains("/benches/")
    }

    /// Name of the top folder.
    pub(crate) fn area(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }
}

/// The top of the tree.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the tree").to_owned()
}

/// Every file of the tree with this extension, build output and version control left out.
pub(crate) fn files(extension: &str) -> Vec<File> {
    let top = top();
    let walk = WalkDir::new(&top).sort_by_file_name().into_iter().filter_entry(|e| {
        let name = e.file_name().to_string_lossy();
        e.depth() == 0 || !(name == "target" || name == "node_modules" || name == ".git" || name == ".tmp")
    });
    let found: Vec<File> = walk
        .filter_map(|entry| {
            let entry = entry.expect("the tree can be read");
            let path = entry.path();
            (path.extension()? == extension).then(|| File {
                path: path.strip_prefix(&top).expect("below the top").to_string_lossy().replace('\\', "/"),
                text: fs::read_to_string(path).expect("source files are UTF-8"),
            })
        })
        .collect();
    assert!(!found.is_empty(), "no *.{extension} file found below {}", top.display());
    found
}

/// Fails with every complaint at once.
pub(crate) fn none(complaints: Vec<String>, rule: &str) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}
