//! Selects the twin of this system.

use std::{path::PathBuf, process::Command};

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// What a listing of processes says: an id and the path of a program on each line.
fn listed(command: &mut Command) -> Vec<(u32, PathBuf)> {
    let out = command.output().map(|out| out.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&out);
    let lines = text.lines().filter_map(|line| line.trim().split_once(' '));
    lines
        .filter_map(|(id, program)| Some((id.parse().ok()?, program.trim().into())))
        .collect()
}
