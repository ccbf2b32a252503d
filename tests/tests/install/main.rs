//! Black box: build, sign, carry, install, verify, roll back, uninstall; without services, without a network.

#[cfg(target_os = "linux")]
mod filesystems;
#[cfg(target_os = "linux")]
mod interrupted;
mod life;
mod medium;
mod plain;
mod recipes;
mod repair;
mod speech;
#[cfg(target_os = "linux")]
mod wizard;
