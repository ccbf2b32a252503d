//! Windows: a program is known by its extension; for other systems' programs there is the step `exec`.

use std::{fs::Metadata, path::Path};

/// True if the file is a program.
pub(crate) fn is_executable(path: &Path, _metadata: &Metadata) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    ["exe", "dll", "bat", "cmd"]
        .iter()
        .any(|e| extension.eq_ignore_ascii_case(e))
}
