//! The pack format: what a pack is made of, how it is written and how it is read.

pub mod manifest;
