//! Starts, watches and stops the services of an installed tree: daemon, shims, state machine, checks, logs and ports.

pub mod api;
pub mod client;
mod clock;
pub mod daemon;
mod data;
pub mod diagnosis;
pub mod environment;
mod files;
mod fill;
mod instance;
pub mod level;
pub mod logs;
pub mod machine;
pub mod notice;
mod place;
mod platform;
pub mod ports;
mod probe;
mod render;
pub mod secrets;
pub mod shim;
pub mod stack;
mod wire;

pub use clock::{Clock, Steady, show};
pub use data::{DataStatus, Kept, data_of, point_names};
pub use files::FileError;
pub use fill::FillError;
pub use platform::{close_inherited, replace_process};
#[cfg(fuzzing)]
pub use probe::fuzzed;
pub use wire::WireError;
