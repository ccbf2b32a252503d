//! Owns the tests of sources: downloads against a server of their own, archives made here, clients that are scripts.

mod archives;
#[cfg(unix)]
mod clients;
mod commands;
#[cfg(unix)]
mod debian;
mod desk;
mod downloads;
#[cfg(unix)]
mod interrupted;
#[cfg(feature = "network-sources")]
mod network;
#[cfg(target_os = "linux")]
mod rpath;
mod server;
mod signatures;
