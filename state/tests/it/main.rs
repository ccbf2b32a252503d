//! The install root as its users see it: real directories, faults, power cuts.

mod journal;
mod lock;
mod power;
mod records;
mod roots;
mod store;
mod support;
