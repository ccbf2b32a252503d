//! The install root: its layout and records, and the one narrow way to change them.

pub mod layout;
pub mod records;
