//! Owns single npm packages: `npm pack` per exact version, the registry's sha512 checked, no install script.

use std::path::{Path, PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha512};

use super::{
    Job,
    client::{Call, NPM},
    error::{SourceError, failed},
};
use crate::{interrupt::Stoppable, lock::LockedInput};

/// Packages per call of the client.
const BATCH: usize = 40;

/// One exact package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Package {
    fn spec(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// The file that `npm pack` leaves.
    fn file(&self) -> String {
        let name = self.name.trim_start_matches('@').replace('/', "-");
        format!("{name}-{}.tgz", self.version)
    }

    pub(crate) fn locator(&self) -> String {
        format!("npm:{}", self.spec())
    }

    /// The package behind a locator.
    fn of(input: &LockedInput) -> Option<Self> {
        let (name, version) = input.locator.strip_prefix("npm:")?.rsplit_once('@')?;
        Some(Self {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    }
}

/// A call of npm that touches nothing but the cache folder and `folder`.
pub(crate) fn npm<'a>(job: &Job<'a>, what: &str, folder: &Path) -> Result<Call<'a>, SourceError> {
    let cache = job.cache.sub("clients/npm")?;
    let quiet = [
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--no-update-notifier",
        "--loglevel=error",
    ];
    Ok(Call::new(NPM, job.env, what, folder)
        .option("--cache", &cache)
        .args(quiet)
        .args(["--logs-max=0"]))
}

pub(super) fn lock(job: &Job<'_>, name: &str, version: &str) -> Result<Vec<LockedInput>, SourceError> {
    let package = Package {
        name: name.to_owned(),
        version: version.to_owned(),
    };
    let folder = job.folder("npm-")?;
    let promised = view(job, &package, &folder)?;
    let path = pack(job, std::slice::from_ref(&package), &folder)?.remove(0);
    check_integrity(&path, &package.spec(), &promised)?;
    let (sha256, size) = job.adopt(&path, &package.spec(), None)?;
    Ok(vec![LockedInput {
        name: package.file(),
        locator: package.locator(),
        version: version.to_owned(),
        sha256,
        size,
        integrity: Some(promised),
        signature: None,
        built_by: None,
    }])
}

/// The digest that the registry promises for a package.
fn view(job: &Job<'_>, package: &Package, folder: &Path) -> Result<String, SourceError> {
    let spec = package.spec();
    let call = npm(job, &spec, folder)?.args(["view", "--json", &spec, "version", "dist.integrity"]);
    let answer: serde_json::Value = serde_json::from_slice(&call.run()?.stdout).unwrap_or_default();
    let field = |key: &str| answer.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let (version, integrity) = (field("version"), field("dist.integrity"));
    if version != package.version || !integrity.starts_with("sha512-") {
        return Err(SourceError::ClientAnswer {
            client: NPM.name().to_owned(),
            what: spec,
            got: format!("version `{version}` with digest `{integrity}`"),
            expected: "this exact version with a sha512 digest".to_owned(),
        });
    }
    Ok(integrity)
}

/// Fetches packages into new folders; the paths are in the order of `packages`.
pub(crate) fn pack(job: &Job<'_>, packages: &[Package], folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut paths = Vec::new();
    for batch in packages.chunks(BATCH) {
        // Two scopes may give the same file name (`@a/b-c`, `@a-b/c`): one folder for each name of a kind.
        let mut rounds: Vec<Vec<&Package>> = Vec::new();
        for package in batch {
            match rounds.iter_mut().find(|r| r.iter().all(|p| p.file() != package.file())) {
                Some(round) => round.push(package),
                None => rounds.push(vec![package]),
            }
        }
        let mut found = Vec::new();
        for round in rounds {
            let out = tempfile::Builder::new().prefix("pack-").tempdir_in(folder);
            let out = out.map(tempfile::TempDir::keep).map_err(failed("write in", folder))?;
            let what = match round[..] {
                [only] => only.spec(),
                [first, ..] => format!("{} and {} more", first.spec(), round.len() - 1),
                [] => continue,
            };
            job.progress.begin(&what, None);
            let call = npm(job, &what, folder)?
                .args(["pack", "--silent"])
                .option("--pack-destination", &out);
            call.args(round.iter().map(|p| p.spec())).run()?;
            for package in round {
                let path = out.join(package.file());
                let Ok(metadata) = path.metadata() else {
                    return Err(SourceError::ClientAnswer {
                        client: NPM.name().to_owned(),
                        what: package.spec(),
                        got: "no such file".to_owned(),
                        expected: format!("`{}`", package.file()),
                    });
                };
                job.progress.add(metadata.len());
                found.push((package.clone(), path));
            }
        }
        for package in batch {
            let (_, path) = found
                .iter()
                .find(|(p, _)| p == package)
                .expect("every package of the batch was fetched");
            paths.push(path.clone());
        }
    }
    Ok(paths)
}

/// Fetches the packages that `inputs` pin.
pub(super) fn fetch(job: &Job<'_>, inputs: &[LockedInput]) -> Result<(), SourceError> {
    let mut packages: Vec<_> = inputs.iter().filter_map(Package::of).collect();
    packages.sort();
    packages.dedup();
    let folder = job.folder("npm-")?;
    for batch in packages.chunks(BATCH) {
        for (package, path) in batch.iter().zip(pack(job, batch, &folder)?) {
            let locator = package.locator();
            let pinned = inputs.iter().find(|i| i.locator == locator);
            job.adopt(&path, &package.spec(), pinned.map(|p| &p.sha256))?;
        }
    }
    Ok(())
}

/// Compares a file with a subresource-integrity text; one matching digest of the strongest kind suffices.
pub(crate) fn check_integrity(path: &Path, what: &str, promised: &str) -> Result<(), SourceError> {
    let file = std::fs::File::open(path).map_err(failed("read", path))?;
    let mut hasher = Hash512::default();
    std::io::copy(&mut Stoppable(file), &mut hasher).map_err(failed("read", path))?;
    let got = format!("sha512-{}", STANDARD.encode(hasher.0.finalize()));
    if promised
        .split_whitespace()
        .any(|p| p.split('?').next() == Some(got.as_str()))
    {
        return Ok(());
    }
    Err(SourceError::Integrity {
        what: what.to_owned(),
        expected: promised.to_owned(),
        got,
    })
}

#[derive(Default)]
struct Hash512(Sha512);

impl std::io::Write for Hash512 {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.update(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
