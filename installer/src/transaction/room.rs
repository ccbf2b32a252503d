//! Owns what is left in staging when a transaction is undone: what a next attempt can use, as far as the volume has room.
//!
//! A full volume is bad for everybody on the machine, the running generation first. So files are dropped, the last ones
//! by name first and the last of these only as far as needed, until the volume has its [`floor`] back; the rest stays and
//! the next attempt goes on from it. If that cannot be reached, or if the volume says that bytes are not what it lacks (a
//! quota, no more inodes), everything goes.

use kojibox_state::{
    RootPath,
    store::{Kind, compose},
};

use super::{error::Cause, tx::Tx};

/// What a volume keeps free for everybody else: a twentieth of it, within these bounds.
const FLOOR_LOW: u64 = 64 << 20;
const FLOOR_HIGH: u64 = 1 << 30;

fn floor(total: u64) -> u64 {
    (total / 20).clamp(FLOOR_LOW, FLOOR_HIGH)
}

/// Leaves only what a next attempt can use in staging, and less of it if the volume is full; gives its bytes.
pub(super) fn tidy(tx: &Tx<'_>, full: bool) -> Result<u64, Cause> {
    for name in ["packs", "generation", "repair", "door", "dead"] {
        compose::remove_tree(tx.store, &tx.staged(name)?)?;
    }
    if full && !make_room(tx)? {
        compose::remove_tree(tx.store, &tx.staging())?;
        return Ok(0);
    }
    staged_bytes(tx)
}

/// Drops staged files, as few as give the volume its floor back, else all: a recovery needs a little room, and the way back
/// asks the rest of staging what was published.
pub(super) fn release(tx: &Tx<'_>) -> Result<(), Cause> {
    if !make_room(tx)? {
        compose::remove_tree(tx.store, &tx.staged("trees")?)?;
    }
    Ok(())
}

/// Bytes of the files in staging that a next attempt may use.
pub(super) fn staged_bytes(tx: &Tx<'_>) -> Result<u64, Cause> {
    Ok(staged_files(tx)?.iter().map(|(_, len)| len).sum())
}

/// Files of staged trees and their indexes with their sizes, in a fixed order: the indexes come first and so are dropped last.
fn staged_files(tx: &Tx<'_>) -> Result<Vec<(RootPath, u64)>, Cause> {
    let root = tx.root.dir();
    let (mut files, mut todo) = (Vec::new(), vec![tx.staged("indexes")?, tx.staged("trees")?]);
    while let Some(dir) = todo.pop() {
        for entry in root.list(&dir)? {
            // What has no valid name is not ours; the next attempt removes it.
            let Ok(name) = entry.name else { continue };
            let path = dir.join(&name)?;
            match entry.kind {
                Kind::Dir => todo.push(path),
                Kind::File => {
                    let len = root.stat(&path)?.map_or(0, |s| s.len);
                    files.push((path, len));
                }
                Kind::Link | Kind::Other => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Drops staged files until the volume has its floor back; false if that cannot be reached.
fn make_room(tx: &Tx<'_>) -> Result<bool, Cause> {
    let measure = || (tx.env.space)(tx.root.path());
    let Ok(before) = measure() else { return Ok(false) };
    let floor = floor(before.total);
    let Some(lacking) = floor.checked_sub(before.free).filter(|n| *n > 0) else {
        return Ok(false);
    };
    let mut files = staged_files(tx)?;
    if files.iter().map(|(_, len)| len).sum::<u64>() <= lacking {
        return Ok(false);
    }
    let mut freed = 0;
    while freed < lacking
        && let Some((path, len)) = files.pop()
    {
        freed += shorten(tx, &path, len, lacking - freed)?;
    }
    // A file that shares its bytes with an installed one frees nothing.
    Ok(measure().is_ok_and(|after| after.free >= floor))
}

/// Cuts a file, whose beginning a next attempt can use, by `lacking` bytes, or removes it; gives what that freed.
fn shorten(tx: &Tx<'_>, path: &RootPath, len: u64, lacking: u64) -> Result<u64, Cause> {
    if len > lacking {
        match tx.store.truncate(path, len - lacking) {
            Ok(()) => return Ok(lacking),
            Err(error) if error.is_killed() => return Err(error.into()),
            // A finished file is read-only.
            Err(_) => {}
        }
    }
    tx.store.remove_file(path)?;
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::floor;

    #[test]
    fn small_volumes_keep_64_mib_and_large_ones_at_most_1_gib() {
        let mib = |n: u64| n << 20;
        assert_eq!(floor(mib(100)), mib(64));
        assert_eq!(floor(mib(4000)), mib(200));
        assert_eq!(floor(mib(1 << 20)), mib(1024));
    }
}
