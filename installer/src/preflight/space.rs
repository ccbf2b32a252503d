//! Owns the verdicts on room: bytes and names on the volume of the root, and what data that moves to another format takes.

use std::io;

use kojibox_console::{Exit, bytes};

use super::{Demand, Facts, Finding, RootKind};
use crate::platform::Volume;

/// Bytes kept free beyond what is asked for: records, receipts, the journal and the launcher's first files.
const MARGIN: u64 = 16 << 20;

/// Files and directories of a root beside its trees.
const OWN_NAMES: u64 = 100;

/// How many files a directory is taken to hold: manifests count files only.
const FILES_OF_A_DIRECTORY: u64 = 4;

/// Compares what is asked for with the room on `volume`, which holds the root, and on the one of the data.
pub(super) fn judge(demand: &Demand, facts: &Facts, volume: Volume) -> Vec<Finding> {
    let mut findings = vec![trees(demand, facts, volume)];
    findings.extend(names(demand, volume));
    findings.extend(data(demand, facts, volume));
    findings
}

/// The volume has no room to be tried out at all.
pub(super) fn full(demand: &Demand, error: &io::Error) -> Finding {
    not_enough(demand)
        .why(error.to_string())
        .fix("free some space, or choose another volume with `--root`")
}

fn not_enough(demand: &Demand) -> Finding {
    let what = format!("not enough space to install in `{}`", demand.root.display());
    Finding::error("space", Exit::NoSpace, what)
}

fn trees(demand: &Demand, facts: &Facts, volume: Volume) -> Finding {
    let needed = space_needed(demand, volume.cluster);
    if volume.total == 0 {
        let shown = demand.root.display();
        let what = format!("the file system of `{shown}` does not say how much is free");
        return Finding::warning("space", what).why(format!("{} needed", bytes(needed)));
    }
    let figures = format!("{} needed, {} free", bytes(needed), bytes(volume.free));
    if needed > volume.free {
        return not_enough(demand).why(figures).fix(match facts.root {
            RootKind::Installed => {
                "free some space; `kojibox-installer prune --keep 1` removes old generations, and with them the way back"
            }
            _ => "free some space, or choose another volume with `--root`",
        });
    }
    Finding::ok("space", figures)
}

/// What the new trees take at most: sizes, and a cluster lost per file and directory, without what is in staging already.
pub(crate) fn space_needed(demand: &Demand, cluster: u64) -> u64 {
    let new = demand.components.iter().filter(|c| !c.present);
    let trees: u64 = new.fold(0, |sum: u64, c| {
        let tree = c.size.saturating_add(entries(c.files).saturating_mul(cluster));
        sum.saturating_add(tree.saturating_sub(c.staged.bytes))
    });
    trees.saturating_add(MARGIN)
}

/// Files, and the directories that they are taken to need.
fn entries(files: u64) -> u64 {
    files.saturating_add(files / FILES_OF_A_DIRECTORY)
}

/// A file system that was made with a fixed number of files can run out of them with every byte free. None at all is what some
/// drivers say that do not count: the probe has just made some.
fn names(demand: &Demand, volume: Volume) -> Option<Finding> {
    let free = volume.names.filter(|free| *free > 0)?;
    let new = demand.components.iter().filter(|c| !c.present);
    let needed = new.fold(OWN_NAMES, |sum, c| {
        sum.saturating_add(entries(c.files).saturating_sub(c.staged.entries))
    });
    (needed > free).then(|| {
        not_enough(demand)
            .why(format!(
                "{needed} files and directories needed, the volume takes {free} more"
            ))
            .fix("remove files that are not needed, or choose another volume with `--root`")
    })
}

/// Data that moves to another format is there twice afterwards, so that there is a way back. How much the new format takes is
/// known to the migration only, and blocks may be shared: advice, for the launcher looks again before it copies.
fn data(demand: &Demand, facts: &Facts, of_root: Volume) -> Option<Finding> {
    let moved: u64 = facts.moves.iter().fold(0, |sum, m| sum.saturating_add(m.bytes));
    let (volume, also) = match facts.data {
        Some((volume, _)) => (volume, 0),
        None => (of_root, space_needed(demand, of_root.cluster)),
    };
    if moved == 0 || volume.total == 0 || moved.saturating_add(also) <= volume.free {
        return None;
    }
    let names: Vec<_> = facts.moves.iter().map(|m| format!("`{}`", m.service)).collect();
    let what = format!(
        "there may not be enough space to move the data of {} to its new format",
        names.join(", ")
    );
    let components = match also {
        0 => String::new(),
        also => format!(", {} for the components", bytes(also)),
    };
    let why = format!(
        "about {} needed for it{components}, {} free",
        bytes(moved),
        bytes(volume.free)
    );
    Some(
        Finding::warning("space", what)
            .why(why)
            .fix("free some space first; if the move fails, the present version goes on with its data as it is"),
    )
}
