//! Owns [`survey`]: every damaged place of a blob, and whether parity would bring all of them back.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use kojibox_signing::Digest;

use super::{ReadError, medium::Medium, parity_file::ParityFile, repair::across};
use crate::{index::Index, manifest::Component, seek, source::BlobSource};

/// What of a blob is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Damaged stretches, in the order of the blob.
    pub places: Vec<Place>,
    /// They are blocks, as parity counts them; else frames.
    pub blocks: bool,
    /// Parity brings all of them back; `None`: there is no parity.
    pub curable: Option<bool>,
}

/// A damaged stretch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Blob or part in which it begins.
    pub path: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
    /// Which block or frame of the blob, counted from 0.
    pub number: u64,
}

/// Looks at every byte of a blob, and goes on after damage. What cannot be read counts as damaged.
///
/// Without parity a stretch is a frame (the seek table counts as the last one); with parity it is a block, unless the parity does not
/// know of damage that a signed hash tells.
pub fn survey(
    source: &dyn BlobSource,
    component: &Component,
    index: &Index,
    cancel: &AtomicBool,
) -> Result<Survey, ReadError> {
    let medium = Medium::open_whole(source, &component.blob, index, cancel)?;
    let parity = ParityFile::open(source, &component.blob, cancel);
    if let Ok(Some(file)) = &parity {
        let (places, curable) = blocks(source, &medium, file, cancel)?;
        if !places.is_empty() {
            return Ok(Survey {
                places,
                blocks: true,
                curable: Some(curable),
            });
        }
    }
    Ok(Survey {
        places: frames(&medium, index, cancel)?,
        blocks: false,
        curable: if matches!(parity, Ok(None)) { None } else { Some(false) },
    })
}

fn blocks(
    source: &dyn BlobSource,
    medium: &Medium<'_>,
    file: &ParityFile,
    cancel: &AtomicBool,
) -> Result<(Vec<Place>, bool), ReadError> {
    let layout = file.layout();
    let mut reader = medium.reader();
    let mut bytes = Vec::new();
    let (mut places, mut curable) = (Vec::new(), true);
    for group in 0..layout.groups() {
        let before = places.len();
        for n in layout.members(group) {
            go_on(cancel)?;
            let range = layout.bytes_of(n);
            let there = across(&mut reader, medium, range.clone(), &mut bytes);
            if !there || !file.directory().is_data(n, &bytes) {
                places.push(medium.place(range, n));
            }
        }
        let lost = places.len() - before;
        if lost > 0 {
            let rows = (0..layout.parity()).filter(|row| file.block(source, group, *row, cancel).is_some());
            curable &= lost <= rows.count();
        }
    }
    Ok((places, curable))
}

fn frames(medium: &Medium<'_>, index: &Index, cancel: &AtomicBool) -> Result<Vec<Place>, ReadError> {
    let mut reader = medium.reader();
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    for (n, frame) in (0..).zip(index.frames()) {
        go_on(cancel)?;
        let range = frame.comp_off..frame.comp_off + frame.comp_len;
        let there = across(&mut reader, medium, range.clone(), &mut bytes);
        if !there || Digest::of(&bytes) != frame.comp_sha256 {
            places.push(medium.place(range, n));
        }
    }
    let range = index.frames_size()..index.blob_size();
    let there = across(&mut reader, medium, range.clone(), &mut bytes);
    if !there || bytes != seek::table(index.frames()) {
        places.push(medium.place(range, index.frames().len() as u64));
    }
    Ok(places)
}

fn go_on(cancel: &AtomicBool) -> Result<(), ReadError> {
    if cancel.load(Ordering::Relaxed) {
        return Err(ReadError::Cancelled);
    }
    Ok(())
}
