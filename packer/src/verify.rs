//! Owns deciding over finished packs: signatures, then every byte that a signature covers, read once.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
};

use kojibox_packs::{
    Kind, Progress,
    index::Index,
    manifest::Component,
    names, parity,
    read::{self, Discard, ExtractOptions, ExtractReport, ReadError},
    source::{BlobSource, Section, SourceError},
    sums,
};
use kojibox_signing::Digest;

use crate::depot::{Parcel, Refused, Spoiled, Trust};

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
        for document in parcel.manifest.documents() {
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
            self.judge(&parcel, component, &index, extracted)?;
        }
        Ok(Verdict { parcel, size, shared })
    }

    /// A blob that was read whole is good if its parity is; one with damage is looked at again, to name all of it.
    fn judge(
        &self,
        parcel: &Parcel,
        component: &Component,
        index: &Index,
        extracted: Result<ExtractReport, ReadError>,
    ) -> Result<(), Refused> {
        let cause = match extracted {
            Ok(report) if report.repaired == 0 => return self.check_parity(component),
            Ok(_) => None,
            Err(e) if matches!(e.kind(), Kind::Damaged | Kind::Io) => Some(Box::new(e)),
            Err(e) => return Err(parcel.refuse(component, e)),
        };
        match (read::survey(&*self.source, component, index, self.cancel), cause) {
            (Ok(survey), cause) => Err(Refused::Spoiled {
                component: component.id.clone(),
                pack: parcel.name.clone(),
                source: Box::new(Spoiled { survey, cause }),
            }),
            (Err(_), Some(cause)) => Err(parcel.refuse(component, *cause)),
            (Err(e), None) => Err(parcel.refuse(component, e)),
        }
    }

    /// Parity needs no trust, but it should be whole before somebody counts on it.
    fn check_parity(&self, component: &Component) -> Result<(), Refused> {
        let name = names::parity(&component.blob.name);
        let path = self.source.locate(&Section::Parity, &name);
        let unreadable = |source| Refused::Source {
            path: path.clone(),
            source,
        };
        let Some(mut file) = self.source.open(&Section::Parity, &name).map_err(unreadable)? else {
            return Ok(());
        };
        let looked = parity::whole(&mut file, &component.blob.sha256);
        let looked = looked.map_err(|source| {
            let path = path.clone();
            unreadable(SourceError::Io { path, source })
        })?;
        looked.map(drop).map_err(|source| Refused::Parity { path, source })
    }

    /// Files below `blobs/` and `parity/`, with their folder, that none of `parcels` names.
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
        let whole = |file: &String| file.rsplit_once('.').map_or(String::new(), |(stem, _)| stem.to_owned());
        let is_named = |file: &String| named.contains(file.as_str()) || named.contains(whole(file).as_str());
        let mut strays: Vec<_> = files
            .into_iter()
            .filter(|f| !is_named(f))
            .map(|f| format!("blobs/{f}"))
            .collect();
        let parity = self.source.list(&Section::Parity).map_err(|source| Refused::Source {
            path: self.source.describe().into(),
            source,
        })?;
        let lists: BTreeSet<_> = parcels.iter().map(|p| p.manifest.sums.name.as_str()).collect();
        let belongs = |file: &String| lists.contains(file.as_str()) || named.contains(whole(file).as_str());
        strays.extend(
            parity
                .into_iter()
                .filter(|f| !belongs(f))
                .map(|f| format!("parity/{f}")),
        );
        Ok(strays)
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
