//! Owns depots from the packer's side: how files get in, how packs are found, the chains of trust roots.

mod carry;
mod chain;
mod find;
mod parcel;
mod parts;
mod place;
mod refused;
mod signatures;

pub(crate) use carry::Carried;
pub use chain::{Chain, ChainError, LayOutError};
pub use find::{FindError, Found, Others, PackRef, PackRefError, all, one};
pub(crate) use parcel::name_of;
pub use parcel::{Parcel, Trust};
pub(crate) use parts::{Parts, PartsError, cut};
pub use place::PlaceError;
pub(crate) use place::{Claim, Pending, io_error, io_exit, make_dir, sync_dir, write_small};
pub use refused::{Mismatch, Refused, Spoiled};
pub(crate) use signatures::{settle, withdraw};
