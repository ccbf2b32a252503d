//! Starts, watches and stops the services of an installed tree: daemon, shims, state machine, checks, logs and ports.

pub mod machine;
