//! Black box: build, sign, carry, install, verify, roll back, uninstall; without services, without a network.

mod life;
mod medium;
mod plain;
mod recipes;
mod speech;
