//! Owns what only Linux has: the glibc of the host, read from its file, because a static program has none of its own to ask.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use rustix::{
    fs::{AtFlags, CWD, StatVfsMountFlags, StatxFlags, statvfs, statx},
    io::Errno,
};

use super::{HostLibc, PathLimit};

/// `PATH_MAX` and `NAME_MAX`.
pub(crate) const PATH_LIMIT: PathLimit = PathLimit {
    path: 4095,
    segment: 255,
};

/// Where distributions keep the C library.
const PLACES: [&str; 8] = [
    "/lib64/libc.so.6",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/aarch64-linux-gnu/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/usr/lib/aarch64-linux-gnu/libc.so.6",
    "/usr/lib/libc.so.6",
    "/lib/libc.so.6",
];

/// A C library is about 2 MiB; more than this is something else.
const LIBC_MAX: u64 = 32 << 20;

/// True if programs may not be run from the volume of `path`.
pub(super) fn noexec(path: &Path) -> io::Result<bool> {
    Ok(statvfs(path)?.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// The mount that `path` is on: one file system may be mounted twice, and no rename leads from one to the other.
pub(super) fn mount(path: &Path) -> io::Result<u64> {
    match statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID) {
        Ok(found) => Ok(found.stx_mnt_id),
        // Linux before 4.11; the device has to do.
        Err(Errno::NOSYS) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Finds the version of the host's glibc.
pub(crate) fn host_libc() -> HostLibc {
    PLACES
        .iter()
        .find_map(|place| newest_symbol_version(Path::new(place)).ok().flatten())
        .map_or(HostLibc::NotFound, |(major, minor)| HostLibc::Glibc(major, minor))
}

/// Highest `GLIBC_<major>.<minor>` that the library defines; that is what programs are linked against.
fn newest_symbol_version(path: &Path) -> io::Result<Option<(u32, u32)>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIBC_MAX).read_to_end(&mut bytes)?;
    Ok(newest_in(&bytes))
}

fn newest_in(bytes: &[u8]) -> Option<(u32, u32)> {
    const MARK: &[u8] = b"GLIBC_";
    let mut newest = None;
    let mut rest = bytes;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        rest = &rest[at + MARK.len()..];
        newest = newest.max(version_at(rest));
    }
    newest
}

/// Reads `2.36` up to the NUL that ends a symbol version; three-part ones (`2.2.5`) count by their first two.
fn version_at(bytes: &[u8]) -> Option<(u32, u32)> {
    let end = bytes.iter().take(16).position(|b| *b == 0)?;
    let mut parts = std::str::from_utf8(&bytes[..end]).ok()?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_newest_symbol_version_wins_and_private_ones_do_not_count() {
        let bytes = b"..GLIBC_2.2.5\0GLIBC_2.9\0x GLIBC_2.36\0GLIBC_PRIVATE\0GLIBC_2.4\0 GLIBC_9.9 without an end";
        assert_eq!(super::newest_in(bytes), Some((2, 36)));
        assert_eq!(super::newest_in(b"musl libc"), None);
    }
}
