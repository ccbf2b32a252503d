//! Owns choices as pure functions over verified manifests: which pack, which components, which answers and ports.

mod answers;
mod components;
mod packs;

pub(crate) use answers::{Mistake, Settings, check_answer, settle};
pub(crate) use components::{Chosen, SelectError, close, preselected, selectable};
pub(crate) use packs::{PackError, Want, choose, choose_update};
