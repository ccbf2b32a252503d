//! Owns where the cache lies when nobody says so.

use std::{ffi::OsString, path::PathBuf};

/// The folder for downloads: `KOJIBOX_CACHE`, else the platform's place for caches. None: the environment names no home.
///
/// `var` looks up the environment; the caller owns it.
pub fn default_dir(var: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| var(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(dir) = path("KOJIBOX_CACHE") {
        return Some(dir);
    }
    let base = match std::env::consts::OS {
        "windows" => path("LOCALAPPDATA")?,
        "macos" => path("HOME")?.join("Library/Caches"),
        _ => path("XDG_CACHE_HOME")
            .filter(|p| p.is_absolute())
            .or_else(|| path("HOME").map(|home| home.join(".cache")))?,
    };
    Some(base.join("kojibox"))
}
