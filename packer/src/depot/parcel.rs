//! Owns [`Parcel`]: a pack whose signatures were verified, with every file it consists of, ready to be checked or copied.

use std::{io, path::PathBuf, sync::Arc};

use kojibox_packs::{
    limits,
    manifest::{BlobRef, Component, DataFile, Manifest},
    names,
    source::{BlobSource, Section, SourceError},
};
use kojibox_signing::{Digest, Namespace, Signed, Verified};

use super::{Chain, Mismatch, Parts, PartsError, Refused};

/// Longest signature file that is looked at.
const MAX_SIGNATURE: u64 = 16 << 10;

/// Whom the packs of a source are held against.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Publishers, each with its newest verified root.
    pub chains: Vec<Chain>,
    /// The publisher was named by a person, not by the source itself.
    pub pinned: bool,
}

impl Trust {
    /// The named publisher, going on along the chain of the source; without a name, every publisher of the source.
    pub fn of(source: &dyn BlobSource, named: Option<&Chain>) -> Result<Self, Refused> {
        let Some(named) = named else {
            let publishers = source.publishers().map_err(unreadable(source))?;
            let mut chains = Vec::new();
            for root16 in publishers {
                chains.extend(Chain::read(source, &root16)?);
            }
            if chains.is_empty() {
                return Err(Refused::NoTrust {
                    place: source.describe(),
                });
            }
            return Ok(Self { chains, pinned: false });
        };
        let there = Chain::read(source, &named.root16())?;
        let chain = match there {
            Some(there) if there.continues(named) => there,
            Some(there) if !named.continues(&there) => {
                return Err(Refused::Fork {
                    publisher: named.root16(),
                    place: source.describe(),
                });
            }
            _ => named.clone(),
        };
        Ok(Self {
            chains: vec![chain],
            pinned: true,
        })
    }
}

/// A pack whose signatures were verified.
#[derive(Clone)]
pub struct Parcel {
    /// Where its files are.
    pub source: Arc<dyn BlobSource>,
    /// File name of the manifest.
    pub name: String,
    /// The manifest.
    pub manifest: Verified<Manifest>,
    /// The publisher.
    pub chain: Chain,
    /// Signature and approval files by name.
    pub signatures: Vec<(String, Vec<u8>)>,
}

impl std::fmt::Debug for Parcel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parcel({} in {})", self.name, self.source.describe())
    }
}

fn unreadable(source: &dyn BlobSource) -> impl FnOnce(SourceError) -> Refused {
    let path = PathBuf::from(source.describe());
    move |source| Refused::Source { path, source }
}

impl Parcel {
    /// Verifies the manifest `name` of `source`: signatures first, then its content, then its name.
    pub fn open(source: &Arc<dyn BlobSource>, name: &str, trust: &Trust) -> Result<Self, Refused> {
        let read = |name: &str, max| {
            let path = source.locate(&Section::Packs, name);
            match source.read_small(&Section::Packs, name, max) {
                Ok(Some(bytes)) => Ok(bytes),
                Ok(None) => Err(Refused::Missing {
                    pack: name.to_owned(),
                    path,
                }),
                Err(source) => Err(Refused::Source { path, source }),
            }
        };
        let bytes = read(name, limits::MANIFEST as u64)?;
        let mut signatures = Vec::new();
        for file in source.signatures(name).map_err(unreadable(&**source))? {
            let bytes = read(&file, MAX_SIGNATURE)?;
            signatures.push((file, bytes));
        }
        let mut signed = Signed::<Manifest>::new(bytes);
        for (file, bytes) in &signatures {
            if !file.ends_with(".approval.sshsig") {
                signed = signed.attach(bytes.clone());
            }
        }
        let (manifest, chain) = decide(&signed, trust).map_err(|source| Refused::Manifest {
            pack: name.to_owned(),
            signatures: signatures.iter().map(|(file, _)| file.clone()).collect(),
            source: Box::new(source),
        })?;
        let expected = name_of(&manifest);
        if expected != name {
            return Err(Refused::Misnamed {
                name: name.to_owned(),
                expected,
            });
        }
        Ok(Self {
            source: Arc::clone(source),
            name: name.to_owned(),
            manifest,
            chain,
            signatures,
        })
    }

    /// `name version for target`.
    pub fn title(&self) -> String {
        format!(
            "{} {} for {}",
            self.manifest.pack, self.manifest.version, self.manifest.target
        )
    }

    /// Reads a document and compares it with its signed hash.
    pub fn document(&self, file: &DataFile) -> Result<Vec<u8>, Refused> {
        self.small(&Section::Packs, &file.name, file.size, &file.sha256)
    }

    /// Reads the index of a component and compares it with its signed hash.
    pub fn index_bytes(&self, component: &Component) -> Result<Vec<u8>, Refused> {
        let index = &component.index;
        self.small(&Section::Blobs, &index.name, index.size, &index.sha256)
    }

    fn small(&self, section: &Section, name: &str, size: u64, sha256: &Digest) -> Result<Vec<u8>, Refused> {
        let path = self.source.locate(section, name);
        // One byte more shows that a file is longer than it should be.
        let bytes = match self.source.read_small(section, name, limits::SMALL.max(size) + 1) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(self.missing(path)),
            Err(source) => return Err(Refused::Source { path, source }),
        };
        self.compare(path, Digest::of(&bytes), bytes.len() as u64, sha256, size)?;
        Ok(bytes)
    }

    /// Finds the parts of a blob.
    pub(crate) fn parts(&self, blob: &BlobRef) -> Result<Parts, Refused> {
        Parts::find(&*self.source, &blob.name, blob.size).map_err(|e| match e {
            PartsError::Missing(path) => self.missing(path),
            PartsError::Source(path, source) => Refused::Source { path, source },
        })
    }

    /// Compares what was read of a blob with what is signed.
    pub(crate) fn check_blob(&self, blob: &BlobRef, (got, size): (Digest, u64)) -> Result<(), Refused> {
        let path = self.source.locate(&Section::Blobs, &blob.name);
        self.compare(path, got, size, &blob.sha256, blob.size)
    }

    /// Wraps a failure to read a blob.
    pub(crate) fn unreadable(&self, blob: &BlobRef, source: io::Error) -> Refused {
        let path = self.source.locate(&Section::Blobs, &blob.name);
        Refused::Source {
            path: path.clone(),
            source: SourceError::Io { path, source },
        }
    }

    fn missing(&self, path: PathBuf) -> Refused {
        Refused::Missing {
            pack: self.name.clone(),
            path,
        }
    }

    fn compare(
        &self,
        path: PathBuf,
        got: Digest,
        got_size: u64,
        expected: &Digest,
        expected_size: u64,
    ) -> Result<(), Refused> {
        if (got, got_size) == (*expected, expected_size) {
            return Ok(());
        }
        Err(Refused::Damaged {
            pack: self.name.clone(),
            path,
            source: Box::new(Mismatch {
                got,
                got_size,
                expected: *expected,
                expected_size,
            }),
        })
    }

    /// Wraps an error of a component's blob.
    pub(crate) fn refuse(&self, component: &Component, source: kojibox_packs::read::ReadError) -> Refused {
        Refused::Component {
            component: component.id.clone(),
            pack: self.name.clone(),
            source: Box::new(source),
        }
    }
}

/// The first publisher whose keys signed in sufficient number; else why the last one's did not.
fn decide(
    signed: &Signed<Manifest>,
    trust: &Trust,
) -> Result<(Verified<Manifest>, Chain), kojibox_signing::VerifyError<kojibox_packs::manifest::ManifestError>> {
    let mut last = None;
    for chain in &trust.chains {
        match signed.clone().verify(&chain.newest().pack_ring(), Namespace::Pack) {
            Ok(manifest) => return Ok((manifest, chain.clone())),
            Err(e) => last = Some(e),
        }
    }
    Err(last.expect("there is at least one publisher"))
}

/// The file name that follows from a manifest.
pub(crate) fn name_of(manifest: &Manifest) -> String {
    let (pack, version, target) = (&manifest.pack, &manifest.version, &manifest.target);
    match &manifest.base {
        Some(base) => names::manifest(&format!("{pack}-{version}-{target}-from-{}", base.version)),
        None => names::manifest(&format!("{pack}-{version}-{target}")),
    }
}
