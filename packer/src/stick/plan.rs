//! Owns the plan of a stick: every file with its size, what is there already, and whether the rest fits.

use std::{
    fs,
    path::{Path, PathBuf},
};

use kojibox_packs::{manifest::Component, read::read_index};

use super::{StickError, Wish, choose, installer, installer::Installer, parity, readme};
use crate::{
    depot::{Chain, Parcel, cut, io_error},
    platform,
};

/// Sticks round each file up to a cluster; 32 KiB is FAT32's largest usual one.
const CLUSTER: u64 = 32 << 10;

/// Everything that will be on a stick.
#[derive(Debug)]
pub struct Plan {
    pub(super) dir: PathBuf,
    pub(super) parcels: Vec<Parcel>,
    pub(super) publishers: Vec<Chain>,
    pub(super) blobs: Vec<Blob>,
    pub(super) installers: Vec<Installer>,
    pub(super) readme: String,
    /// Each pack.
    pub packs: Vec<PlannedPack>,
    /// Each installer.
    pub programs: Vec<PlannedInstaller>,
    /// Bytes that must be written.
    pub to_write: u64,
    /// Bytes of files that are there with the right size.
    pub there: u64,
    /// Bytes that are free on the stick.
    pub free: u64,
    /// Parity, if it is wanted.
    pub parity: Option<PlannedParity>,
    pub(super) threads: usize,
}

/// One pack of a plan.
#[derive(Clone, Debug)]
pub struct PlannedPack {
    /// `name version for target`.
    pub title: String,
    /// Bytes of all its files.
    pub size: u64,
    /// Of these, bytes that an earlier pack of the list brings along too.
    pub shared: u64,
}

/// The parity of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedParity {
    /// Parity blocks for each 32 blocks.
    pub blocks: u32,
    /// Bytes of all parity files.
    pub size: u64,
}

/// One installer of a plan.
#[derive(Clone, Debug)]
pub struct PlannedInstaller {
    /// File name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// It carries the trust root.
    pub trusted: bool,
}

/// A blob on its way to the stick.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// Position of its pack.
    pub(super) parcel: usize,
    pub(super) component: Component,
    pub(super) index: Vec<u8>,
    /// Files it will be, with their sizes.
    pub(super) layout: Vec<(String, u64)>,
    /// All of these are there, with these sizes; their bytes were not looked at yet.
    pub(super) looks_there: bool,
    /// The parts are not those that the depot has.
    pub(super) cut_anew: bool,
    /// Parity, if it is wanted.
    pub(super) parity: Option<parity::Planned>,
}

impl Plan {
    /// Verifies the packs that are wanted and plans their files; reads indexes, not blobs.
    pub fn make(wish: &Wish) -> Result<Self, StickError> {
        let parcels = choose::parcels(wish)?;
        let trust = wish.trust.as_ref().map(|_| &parcels[0].chain);
        let mut installers = Vec::new();
        if let Some(tools) = &wish.tools {
            for target in choose::machines(wish, &parcels) {
                installers.push(installer::read(tools, target, trust)?);
            }
        }
        let (blobs, packs) = blobs(wish, &parcels)?;
        let publishers = choose::publishers(&parcels);
        let readme = readme::of(&parcels, &publishers, &installers, &blobs);
        let mut plan = Self {
            dir: wish.dir.clone(),
            programs: installers.iter().map(programs).collect(),
            parcels,
            publishers,
            blobs,
            installers,
            readme,
            packs,
            to_write: 0,
            there: 0,
            free: free(&wish.dir)?,
            parity: wish.parity.map(|blocks| PlannedParity { blocks, size: 0 }),
            threads: wish.threads,
        };
        plan.count();
        Ok(plan)
    }

    /// True if what must be written fits.
    pub fn fits(&self) -> bool {
        self.to_write <= self.free
    }

    /// Bytes of the stick when it is done.
    pub fn total(&self) -> u64 {
        self.to_write + self.there
    }

    /// Bytes of all blobs: what laying out counts.
    pub fn blob_bytes(&self) -> u64 {
        self.blobs.iter().map(|b| b.component.blob.size).sum()
    }

    fn count(&mut self) {
        let small = |p: &Parcel| {
            let documents: u64 = p.manifest.documents().iter().map(|d| clusters(d.size)).sum();
            let signatures = p.signatures.iter().map(|(_, b)| clusters(b.len() as u64));
            documents + signatures.sum::<u64>() + clusters(p.manifest.bytes().len() as u64)
        };
        let mut to_write: u64 = self.parcels.iter().map(small).sum();
        to_write += self
            .installers
            .iter()
            .map(|i| clusters(i.bytes.len() as u64))
            .sum::<u64>();
        let mut there = 0;
        for blob in &self.blobs {
            let size = blob.layout.iter().map(|(_, size)| clusters(*size)).sum::<u64>();
            *(if blob.looks_there { &mut there } else { &mut to_write }) += size;
            to_write += clusters(blob.index.len() as u64);
            let Some(planned) = &blob.parity else { continue };
            let size = planned.layout.file_len();
            *(if planned.looks_there { &mut there } else { &mut to_write }) += clusters(size);
            if let Some(parity) = &mut self.parity {
                parity.size += size;
            }
        }
        (self.to_write, self.there) = (to_write, there);
    }
}

fn programs(installer: &Installer) -> PlannedInstaller {
    PlannedInstaller {
        name: installer.name.clone(),
        size: installer.bytes.len() as u64,
        trusted: installer.trusted,
    }
}

fn clusters(size: u64) -> u64 {
    size.next_multiple_of(CLUSTER)
}

/// Free bytes where `dir` is, or will be.
fn free(dir: &Path) -> Result<u64, StickError> {
    let absolute = std::path::absolute(dir).map_err(io_error("find", dir))?;
    let existing = absolute.ancestors().find(|p| p.is_dir()).unwrap_or(Path::new("."));
    Ok(platform::free_space(existing).map_err(io_error("ask for free space in", existing))?)
}

/// Blobs of all packs, each once, and what each pack adds.
fn blobs(wish: &Wish, parcels: &[Parcel]) -> Result<(Vec<Blob>, Vec<PlannedPack>), StickError> {
    let mut blobs: Vec<Blob> = Vec::new();
    let mut packs = Vec::new();
    for (at, parcel) in parcels.iter().enumerate() {
        let (mut size, mut shared) = (parcel.manifest.bytes().len() as u64, 0);
        size += parcel.manifest.documents().iter().map(|d| d.size).sum::<u64>();
        for component in &parcel.manifest.components {
            let bytes = component.blob.size + component.index.size;
            size += bytes;
            if blobs.iter().any(|b| b.component.blob == component.blob) {
                shared += bytes;
            } else {
                blobs.push(blob(wish, at, parcel, component)?);
            }
        }
        packs.push(PlannedPack {
            title: parcel.title(),
            size,
            shared,
        });
    }
    Ok((blobs, packs))
}

fn blob(wish: &Wish, at: usize, parcel: &Parcel, component: &Component) -> Result<Blob, StickError> {
    let index = read_index(&*parcel.source, component).map_err(|e| parcel.refuse(component, e))?;
    let there = parcel.parts(&component.blob)?.files;
    let layout = match wish.part_size {
        None => there.clone(),
        Some(limit) => cut(&component.blob.name, &index, limit).map_err(|source| StickError::Part {
            blob: component.blob.name.clone(),
            size: limit,
            source,
        })?,
    };
    let folder = wish.dir.join("blobs");
    let has = |(name, size): &(String, u64)| fs::metadata(folder.join(name)).is_ok_and(|m| m.len() == *size);
    let parity = match wish.parity {
        Some(blocks) => Some(parity::plan(
            &wish.dir,
            &component.blob.name,
            component.blob.size,
            blocks,
        )?),
        None => None,
    };
    Ok(Blob {
        parity,
        parcel: at,
        component: component.clone(),
        index: index.bytes().to_vec(),
        looks_there: layout.iter().all(has),
        cut_anew: layout != there,
        layout,
    })
}
