//! Owns deciding over finished packs: signatures, then every byte that a signature covers, read once.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
};

use kojibox_packs::{
    Progress,
    read::{self, Discard, ExtractOptions},
    source::{BlobSource, Section},
    sums,
};
use kojibox_signing::Digest;

use crate::depot::{Parcel, Refused, Trust};

/// Verifies packs of one source; a blob that several share is read once.
pub struct Verifier<'a> {
    source: Arc<dyn BlobSource>,
    trust: &'a Trust,
    threads: usize,
    cancel: &'a AtomicBool,
    blobs: BTreeSet<(String, Digest, Digest)>,
}

/// What was found out about one pack.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The pack.
    pub parcel: Parcel,
    /// Bytes of its blobs.
    pub size: u64,
    /// Blobs that had been read for another pack already.
    pub shared: usize,
}

impl<'a> Verifier<'a> {
    /// Takes a source and whom its packs are held against.
    pub fn new(source: Arc<dyn BlobSource>, trust: &'a Trust, threads: usize, cancel: &'a AtomicBool) -> Self {
        Self {
            source,
            trust,
            threads,
            cancel,
            blobs: BTreeSet::new(),
        }
    }

    /// Decides over the signatures of `manifest`.
    pub fn open(&self, manifest: &str) -> Result<Parcel, Refused> {
        Parcel::open(&self.source, manifest, self.trust)
    }

    /// Reads everything that the manifest of `parcel` hashes. `progress` counts compressed bytes.
    pub fn read(&mut self, parcel: Parcel, progress: &dyn Progress) -> Result<Verdict, Refused> {
        let m = &parcel.manifest;
        for document in parcel.documents() {
            let bytes = parcel.document(document)?;
            if document.name == m.sums.name {
                check_sums(&parcel, &bytes)?;
            }
        }
        let (mut size, mut shared) = (0, 0);
        let options = ExtractOptions {
            threads: self.threads,
            ..ExtractOptions::default()
        };
        for component in &m.components {
            let refuse = |source| parcel.refuse(component, source);
            let index = read::read_index(&*self.source, component).map_err(refuse)?;
            size += component.blob.size;
            let key = (
                component.blob.name.clone(),
                component.blob.sha256,
                component.index.sha256,
            );
            if !self.blobs.insert(key) {
                shared += 1;
                progress.add(index.frames_size());
                continue;
            }
            let extracted = read::extract(
                &*self.source,
                component,
                &index,
                &options,
                &mut Discard,
                progress,
                self.cancel,
            );
            let _ = extracted.map_err(refuse)?;
        }
        Ok(Verdict { parcel, size, shared })
    }

    /// Files below `blobs/` that none of `parcels` names.
    pub fn strays(&self, parcels: &[Parcel]) -> Result<Vec<String>, Refused> {
        let mut named = BTreeSet::new();
        for component in parcels.iter().flat_map(|p| &p.manifest.components) {
            named.insert(component.blob.name.as_str());
            named.insert(component.index.name.as_str());
        }
        let files = self.source.list(&Section::Blobs).map_err(|source| Refused::Source {
            path: self.source.describe().into(),
            source,
        })?;
        let is_named = |file: &String| {
            let whole = file.rsplit_once('.').map_or("", |(stem, _)| stem);
            named.contains(file.as_str()) || named.contains(whole)
        };
        Ok(files.into_iter().filter(|f| !is_named(f)).collect())
    }
}

/// The list for plain tools names the documents and indexes with the digests that the manifest states.
fn check_sums(parcel: &Parcel, bytes: &[u8]) -> Result<(), Refused> {
    let m = &parcel.manifest;
    let path = || parcel.source.locate(&Section::Packs, &m.sums.name);
    let listed = std::str::from_utf8(bytes).ok().and_then(|text| sums::parse(text).ok());
    let listed = listed.ok_or_else(|| Refused::Sums { path: path() })?;
    let of = |name: &str| listed.iter().find(|(path, _)| path == name).map(|(_, digest)| digest);
    let documents = [&m.sbom, &m.provenance].map(|d| (format!("packs/{}", d.name), d.sha256));
    let indexes = m
        .components
        .iter()
        .map(|c| (format!("blobs/{}", c.index.name), c.index.sha256));
    for (name, sha256) in documents.into_iter().chain(indexes) {
        if of(&name) != Some(&sha256) {
            return Err(Refused::Sums { path: path() });
        }
    }
    Ok(())
}
