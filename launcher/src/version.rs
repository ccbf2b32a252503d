//! Owns the version of this program, which stands in its bytes behind a mark, so that one for another system can be asked
//! too: `build` reads it from there, and the program reads it from there itself, so that both say the same.

/// The mark, the version, a line break.
static MARK: &str = concat!("kojibox-launcher-version=", env!("CARGO_PKG_VERSION"), "\n");

/// Version of the running launcher.
pub(crate) fn version() -> &'static str {
    // Looked up when it is asked for, not when this is compiled: the bytes on disk have the last word.
    let mark = std::hint::black_box(MARK);
    mark.split_once('=').map_or("", |(_, version)| version).trim_end()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_mark_holds_a_version_and_nothing_else() {
        assert_eq!(super::version(), env!("CARGO_PKG_VERSION"));
    }
}
