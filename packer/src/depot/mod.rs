//! Owns depots from the packer's side: how files get in, how packs are found, the chains of trust roots.

mod chain;
mod find;
mod place;

pub use chain::{Chain, ChainError, LayOutError};
pub use find::{FindError, Found, Others, PackRef, PackRefError, all, one};
pub use place::PlaceError;
pub(crate) use place::{Claim, Pending, io_error, io_exit, make_dir, sync_dir, write_small};
