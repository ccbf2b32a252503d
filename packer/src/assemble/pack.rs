//! Owns making every byte of one pack: blobs and indexes, the documents beside the manifest, the manifest itself.
//!
//! The bytes follow from the definition, the trees and the effort; threads, folders, host and clock leave no trace.

use std::path::{Path, PathBuf};

use kojibox_packs::{
    Progress, Target,
    manifest::{Component, Compressor, DataFile, Kind, Manifest, Space, schema, sequence_of},
    names,
    source::Section,
    sums,
    write::BlobOptions,
};
use kojibox_signing::{Digest, Document as _};

use super::{
    AssembleError, Effort,
    blob::{Destination, Maker},
    component::{Input, Packed},
    implicit, provenance,
    sbom::{self, Listed, Subject},
    stock::Stock,
};
use crate::{
    definition::{ResolvedComponent, ResolvedPack},
    depot::Chain,
    source::PreparedTree,
};

/// The lowest installer that understands what is built here.
const MIN_INSTALLER: &str = "0.1.0";

/// What a pack is made from, besides its trees.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The definition for one target.
    pub pack: &'a ResolvedPack,
    /// When the pack was issued.
    pub issued: Issued,
    /// Whose packs in a depot are believed, so that their blobs are not made again.
    pub publisher: &'a Chain,
    /// The launcher for this target, if the pack carries one.
    pub launcher: Option<PathBuf>,
    /// How hard blobs are compressed.
    pub effort: Effort,
    /// Workers that compress.
    pub threads: usize,
}

/// When a pack was issued; from the definition or the lock, never from the clock of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// RFC 3339 in UTC, whole seconds.
    pub text: String,
    /// The same in seconds since 1970.
    pub epoch: u64,
}

/// A pack that is ready to be made.
#[derive(Debug)]
pub struct Job<'a> {
    order: Order<'a>,
    inputs: Vec<Input>,
    sequence: u64,
}

/// Every byte of one pack; nothing of it is visible in the depot yet.
#[derive(Debug)]
#[must_use = "a pack that is not published is gone"]
pub struct Made {
    pub(super) packed: Vec<Packed>,
    /// File names below `packs/` with their bytes: SBOM, statement, sums.
    pub(super) documents: Vec<(String, Vec<u8>)>,
    pub(super) manifest: Manifest,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Job<'a> {
    /// Takes one tree for each component of the definition, in its order.
    pub fn new(order: Order<'a>, trees: Vec<PreparedTree>) -> Result<Self, AssembleError> {
        let facts = &order.pack.pack;
        let sequence = facts.sequence.or_else(|| sequence_of(&facts.version));
        let sequence = sequence.ok_or_else(|| AssembleError::NoSequence {
            version: facts.version.clone(),
        })?;
        assert_eq!(
            trees.len(),
            order.pack.components.len(),
            "one tree is prepared for each component"
        );
        let mut inputs: Vec<_> = order.pack.components.iter().zip(trees).map(input).collect();
        inputs.extend(implicit::pack_files(order.pack)?);
        if let Some(launcher) = &order.launcher {
            inputs.push(implicit::launcher(launcher, order.pack.target)?);
        }
        inputs.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self {
            order,
            inputs,
            sequence,
        })
    }

    /// Bytes that will be read and compressed.
    pub fn size(&self) -> u64 {
        self.inputs.iter().map(Input::size).sum()
    }

    /// Makes the pack; its blobs go into `depot`, unseen, or nowhere if only the digests are wanted.
    pub fn make(mut self, depot: Option<&Path>, progress: &dyn Progress) -> Result<Made, AssembleError> {
        let effort = self.order.effort;
        let options = BlobOptions {
            level: effort.level,
            window_log: effort.window_log(),
            frame_max: effort.frame_max,
            threads: self.order.threads,
            ..BlobOptions::default()
        };
        let stock = depot.map(|depot| Stock::of(depot, self.order.publisher, &self.compressor(), effort.frame_max));
        let maker = Maker {
            options,
            to: match (depot, &stock) {
                (Some(depot), Some(stock)) => Destination::Depot(depot, stock),
                _ => Destination::Nowhere,
            },
            progress,
        };
        let inputs = std::mem::take(&mut self.inputs);
        let packed: Result<Vec<_>, _> = inputs
            .into_iter()
            .map(|input| input.pack(self.order.pack.target, &maker))
            .collect();
        self.describe(packed?)
    }

    fn compressor(&self) -> Compressor {
        Compressor {
            name: "zstd".to_owned(),
            version: zstd::zstd_safe::version_string().to_owned(),
            level: self.order.effort.level,
            window_log: self.order.effort.window_log(),
        }
    }

    /// The documents and the manifest over what was packed.
    fn describe(&self, packed: Vec<Packed>) -> Result<Made, AssembleError> {
        let facts = &self.order.pack.pack;
        let target = self.order.pack.target;
        let stem = names::stem(&facts.name, &facts.version, target);
        let mut manifest = self.manifest(&packed, target);
        let subject = Subject {
            pack: &facts.name,
            version: &facts.version,
            target: &manifest.target,
            issued: &self.order.issued.text,
        };
        let listed: Vec<_> = packed
            .iter()
            .map(|p| Listed {
                component: &p.component,
                files: &p.files,
                packages: &p.packages,
            })
            .collect();
        let sbom = (names::sbom(&stem), sbom::document(&subject, &listed));
        let statement = (
            names::provenance(&stem),
            provenance::statement(&manifest, self.order.effort.frame_max),
        );
        let sums = (names::sums(&stem), sums(&packed, [&sbom, &statement]));
        (manifest.sbom, manifest.provenance, manifest.sums) = (file(&sbom), file(&statement), file(&sums));
        let bytes = manifest.to_canonical_json();
        // The one parser decides what is a manifest; better here than on the machine of a carrier.
        Manifest::parse(&bytes).map_err(|e| AssembleError::Manifest {
            pack: facts.name.clone(),
            source: Box::new(e),
        })?;
        Ok(Made {
            packed,
            documents: vec![sbom, statement, sums],
            manifest,
            bytes,
        })
    }

    fn manifest(&self, packed: &[Packed], target: Target) -> Manifest {
        let facts = &self.order.pack.pack;
        let components: Vec<_> = packed.iter().map(|p| p.component.clone()).collect();
        let mut services = self.order.pack.services.clone();
        for service in &mut services {
            let component = components.iter().find(|c| c.id == service.component);
            service.data_format = component.and_then(|c| c.data_format.clone());
        }
        let nothing = DataFile {
            name: String::new(),
            size: 0,
            sha256: Digest::of(b""),
        };
        Manifest {
            schema: schema(),
            readable_since: 0,
            pack: facts.name.clone(),
            title: facts.title.clone(),
            version: facts.version.clone(),
            sequence: self.sequence,
            min_sequence: facts.min_sequence,
            channel: facts.channel.clone(),
            kind: Kind::Full,
            target: target.to_string(),
            min_installer: MIN_INSTALLER.to_owned(),
            issued: self.order.issued.text.clone(),
            expires: facts.expires.clone(),
            source_date_epoch: self.order.issued.epoch,
            compressor: self.compressor(),
            space: space(&components),
            components,
            services,
            templates: self.order.pack.templates.clone(),
            secrets: self.order.pack.secrets.clone(),
            questions: self.order.pack.questions.clone(),
            migrations: self.order.pack.migrations.clone(),
            base: None,
            delta: None,
            sums: nothing.clone(),
            sbom: nothing.clone(),
            provenance: nothing,
            revokes: facts.revokes.clone(),
        }
    }
}

fn input((component, tree): (&ResolvedComponent, PreparedTree)) -> Input {
    let c = component.clone();
    Input {
        id: c.id,
        title: c.title,
        version: c.version,
        license: c.license,
        default: c.default,
        requires: c.requires,
        conflicts: c.conflicts,
        data_format: c.data_format,
        runtime: c.runtime,
        upstream: tree.upstream,
        signature: tree.signature,
        inputs_sha256: Some(tree.inputs_sha256),
        portable: tree.portable,
        packages: tree.packages,
        entries: tree.entries,
    }
}

fn sums(packed: &[Packed], documents: [&(String, Vec<u8>); 2]) -> Vec<u8> {
    let mut files: Vec<_> = documents
        .iter()
        .map(|(name, bytes)| (&Section::Packs, name.as_str(), Digest::of(bytes)))
        .collect();
    for p in packed {
        files.push((&Section::Blobs, &p.component.index.name, p.component.index.sha256));
        files.extend(
            p.blob
                .parts
                .iter()
                .map(|(name, part)| (&Section::Blobs, name.as_str(), part.sha256)),
        );
    }
    // Two components may have one blob only if they have one name, which the definition excludes.
    sums::to_text(files).into_bytes()
}

fn file((name, bytes): &(String, Vec<u8>)) -> DataFile {
    DataFile {
        name: name.clone(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    }
}

/// Trees are renamed into place, so what is staged is what stays; indexes are kept as records.
fn space(components: &[Component]) -> Space {
    let staging = components.iter().map(|c| c.installed_size + c.index.size).sum();
    Space {
        staging,
        installed: staging,
        peak: staging,
    }
}
