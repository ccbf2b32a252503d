//! Owns holding this program in memory while it is run from a medium, which may be pulled.
//!
//! A system brings a program into memory piece by piece, as it is run, and a piece that is not there when the stick is pulled ends
//! the process without a word. So the whole file is read once, in the background, while a person is asked for the last word.
//!
//! *Limitations*: a system that runs short of memory may drop what was read. Windows keeps the pieces of a running program apart
//! from what is read of its file.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    thread,
};

use super::Session;
use crate::medium::Medium;

/// Reads this program once, beside everything else, if it lies where `medium` does. Nobody waits for it: a medium that hangs is
/// told of by whoever needs it.
pub(crate) fn hold_program(session: &Session<'_>, medium: &Medium) {
    let program = session.world.program.clone();
    let places: Vec<PathBuf> = medium.paths().map(Path::to_owned).collect();
    thread::spawn(move || drop(read_through(&program, &places)));
}

/// Bytes that were read of `program`: all, or none if it is not on one of `places`.
fn read_through(program: &Path, places: &[PathBuf]) -> io::Result<u64> {
    let program = program.canonicalize()?;
    let is_on = |place: &PathBuf| {
        // A single file is on the medium, not the medium.
        let medium = if place.is_dir() { Some(&**place) } else { place.parent() };
        medium.is_some_and(|medium| program.starts_with(medium))
    };
    if !places.iter().any(is_on) {
        return Ok(0);
    }
    io::copy(&mut File::open(&program)?, &mut io::sink())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::read_through;

    #[test]
    fn what_lies_beside_the_packs_is_read_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let stick = dir.path().canonicalize().unwrap().join("stick");
        fs::create_dir(&stick).unwrap();
        fs::write(stick.join("install"), [7; 3000]).unwrap();
        fs::write(stick.join("one.kpack"), "").unwrap();
        fs::write(dir.path().join("install"), [7; 3000]).unwrap();
        let read = |program: &str, place: &str| read_through(&dir.path().join(program), &[stick.join(place)]).unwrap();
        assert_eq!(
            (read("stick/install", ""), read("stick/install", "one.kpack")),
            (3000, 3000)
        );
        assert_eq!((read("install", ""), read("install", "one.kpack")), (0, 0));
    }
}
