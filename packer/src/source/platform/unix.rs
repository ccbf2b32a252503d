//! Unix: a program is a file with an execute bit.

use std::{fs::Metadata, os::unix::fs::PermissionsExt as _, path::Path};

/// True if the file is a program.
pub(crate) fn is_executable(_path: &Path, metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}
