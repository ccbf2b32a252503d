//! Owns the front door: `<root>/kojibox` hands over to the launcher of the active generation.
//!
//! It may be of any version, so that a person's shortcut stays what it is; which launcher works is the pointer's word.

use std::{path::Path, process::Command};

use kojibox_console::Ui;
use kojibox_state::{InstallRoot, StateError};

use crate::{Outside, place::Place};

/// Where the launcher of the active generation is, if this program is the front door and that is another file.
fn behind(place: &Place) -> Result<Option<std::path::PathBuf>, StateError> {
    // Either may be named through links.
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if !place.exe.parent().is_some_and(|dir| same(dir, &place.root)) {
        return Ok(None);
    }
    let root = InstallRoot::open(&place.root)?;
    let Some(current) = root.current()? else {
        return Ok(None);
    };
    Ok(root.launcher(&current).filter(|p| p.is_file() && !same(p, &place.exe)))
}

/// Becomes the launcher of the active generation, with the same arguments. Returns if there is none to become.
pub(crate) fn pass(place: &Place, outside: &Outside, ui: &Ui) {
    let behind = match behind(place) {
        Ok(Some(behind)) => behind,
        Ok(None) => return,
        Err(error) => {
            let why = format!("This is the front door, but the active launcher could not be found: {error}.");
            return ui.detail(&why);
        }
    };
    let mut command = Command::new(&behind);
    command.args(&outside.arguments);
    let error = kojibox_supervisor::replace_process(&mut command);
    ui.warn(&format!(
        "`{}` could not be started ({error}); going on with this one.",
        behind.display()
    ));
}
