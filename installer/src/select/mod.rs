//! Owns choices as pure functions over verified manifests: which pack, which components, which answers and ports.

mod answers;
mod components;
mod packs;

pub(crate) use answers::port_names;
pub use answers::{Mistake, Settings, check_answer, settle};
pub use components::{Chosen, SelectError, close, preselected, selectable};
pub use packs::{PackError, Want, choose, choose_update};
