//! Owns `<root>/kojibox[.exe]`, the front door: a copy of the active generation's launcher, which hands over to it.
//!
//! Never needed for correctness: any launcher version finds the one that the pointer names.

use kojibox_state::{
    RootPath, launcher_in,
    layout::place,
    store::{FileMode, compose},
};

use super::{error::Cause, tx::Tx};

/// Makes the front door a copy of the active generation's launcher, if it has one and the front door is not that yet.
pub(super) fn refresh(tx: &Tx<'_>) -> Result<(), Cause> {
    let Some(record) = tx.root.current()? else {
        return Ok(());
    };
    let Some(launcher) = launcher_in(&record) else {
        return Ok(());
    };
    let door = place::front_door();
    let Some(wanted) = compose::hash(tx.root.dir(), &launcher)? else {
        return Ok(());
    };
    if compose::hash(tx.root.dir(), &door)? == Some(wanted) {
        return Ok(());
    }
    let beside = tx.staged("door")?;
    compose::create_dirs(tx.store, &tx.staging())?;
    compose::remove_tree(tx.store, &beside)?;
    compose::copy(tx.store, &launcher, &beside, FileMode::FrontDoor)?;
    tx.store.sync_file(&beside)?;
    tx.store.replace_program(&beside, &door, &tx.staged("door.old")?)?;
    Ok(tx.store.sync_dir(&RootPath::ROOT)?)
}
