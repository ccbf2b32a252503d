//! Owns npm applications with their dependencies: npm decides which versions lie where, the lock pins each package, and the
//! tree is made from the pinned packages themselves. So no install script can run, no machine shows in the tree, and a
//! filled cache needs no npm.
//!
//! *Limitations*: development and optional dependencies are left out, and so are the links in `node_modules/.bin`;
//! packages from git or a folder are refused.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;

use super::{
    Job,
    error::{SourceError, failed},
    npm::{Package, check_integrity, npm, pack},
    tree::Tree,
    unpack,
};
use crate::lock::LockedInput;

/// The part of a `package-lock.json` (version 3) that is used.
#[derive(Debug, Deserialize)]
struct PackageLock {
    packages: BTreeMap<String, Placed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_excessive_bools, reason = "the shape of npm's file")]
struct Placed {
    /// Written where the folder has another name than the package.
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    link: bool,
    in_bundle: bool,
    dev: bool,
    optional: bool,
    dev_optional: bool,
    has_install_script: bool,
}

/// A package and the folder it lies in.
struct Wanted {
    folder: String,
    package: Package,
    integrity: String,
}

pub(super) fn lock(
    job: &Job<'_>,
    name: &str,
    version: &str,
    with: &[(String, String)],
) -> Result<Vec<LockedInput>, SourceError> {
    let what = format!("{name}@{version}");
    let folder = job.folder("npm-tree-")?;
    let lock = resolve(
        job,
        &what,
        &folder,
        [(name, version)]
            .into_iter()
            .chain(with.iter().map(|(n, v)| (n.as_str(), v.as_str()))),
    )?;
    let scripts: Vec<_> = lock
        .packages
        .iter()
        .filter(|(_, p)| p.has_install_script && !p.optional)
        .map(|(folder, _)| format!("`{}`", folder.trim_start_matches("node_modules/")))
        .collect();
    if !scripts.is_empty() {
        job.progress
            .note(&format!("install scripts were not run: {}", scripts.join(", ")));
    }
    let wanted = wanted(&what, lock)?;
    let mut packages: Vec<_> = wanted.iter().map(|w| w.package.clone()).collect();
    packages.sort();
    packages.dedup();
    let mut fetched = BTreeMap::new();
    for (package, path) in packages.iter().zip(pack(job, &packages, &folder)?) {
        let (sha256, size) = job.adopt(&path, &package.locator(), None)?;
        fetched.insert(package, (path, sha256, size));
    }
    wanted
        .iter()
        .map(|w| {
            let (path, sha256, size) = &fetched[&w.package];
            check_integrity(path, &w.package.locator(), &w.integrity)?;
            Ok(LockedInput {
                name: w.folder.clone(),
                locator: w.package.locator(),
                version: w.package.version.clone(),
                sha256: *sha256,
                size: *size,
                integrity: Some(w.integrity.clone()),
                signature: None,
                built_by: None,
            })
        })
        .collect()
}

/// Lets npm decide which packages lie where.
fn resolve<'d>(
    job: &Job<'_>,
    what: &str,
    folder: &Path,
    dependencies: impl Iterator<Item = (&'d str, &'d str)>,
) -> Result<PackageLock, SourceError> {
    let dependencies: BTreeMap<_, _> = dependencies.collect();
    let package = serde_json::json!({
        "name": "kojibox-tree", "version": "0.0.0", "private": true, "dependencies": dependencies,
    });
    let file = folder.join("package.json");
    fs::write(&file, package.to_string()).map_err(failed("write", &file))?;
    job.progress.step(&format!("choosing the packages of {what}"));
    npm(job, what, folder)?
        .args([
            "install",
            "--package-lock-only",
            "--lockfile-version=3",
            "--omit=dev",
            "--omit=optional",
        ])
        .run()?;
    let file = folder.join("package-lock.json");
    let bytes = fs::read(&file).map_err(failed("read", &file))?;
    serde_json::from_slice(&bytes).map_err(|e| SourceError::ClientAnswer {
        client: "npm".to_owned(),
        what: what.to_owned(),
        got: format!("a lock that cannot be read ({e})"),
        expected: "a `package-lock.json` of version 3".to_owned(),
    })
}

fn wanted(what: &str, lock: PackageLock) -> Result<Vec<Wanted>, SourceError> {
    let mut all = Vec::new();
    for (folder, placed) in lock.packages {
        let left_out = placed.dev || placed.optional || placed.dev_optional || placed.in_bundle;
        if folder.is_empty() || left_out {
            continue;
        }
        let refuse = |reason: &str| SourceError::NotPossible {
            what: format!("package `{folder}` of `{what}`"),
            reason: reason.to_owned(),
        };
        let from_registry = placed.resolved.as_deref().is_none_or(|r| r.starts_with("http"));
        if placed.link || !from_registry || !folder.starts_with("node_modules/") {
            return Err(refuse("does not come from a registry, so it cannot be pinned"));
        }
        let version = placed.version.ok_or_else(|| refuse("has no version"))?;
        let integrity = placed.integrity.filter(|i| i.contains("sha512-"));
        let integrity = integrity.ok_or_else(|| refuse("has no sha512 digest in its registry"))?;
        let folder_name = folder.rsplit_once("node_modules/").map_or(folder.as_str(), |(_, n)| n);
        let name = placed.name.unwrap_or_else(|| folder_name.to_owned());
        all.push(Wanted {
            package: Package { name, version },
            folder,
            integrity,
        });
    }
    Ok(all)
}

/// Makes the tree from the pinned packages: each in its folder, without the folder its archive has at the top.
pub(super) fn unpack(job: &Job<'_>, inputs: &[LockedInput]) -> Result<Tree, SourceError> {
    let mut tree = Tree::default();
    // Parents first, so that a nested package wins over what an archive claims to hold below it.
    let mut inputs: Vec<_> = inputs.iter().collect();
    inputs.sort_by_key(|i| i.name.matches("node_modules/").count());
    for input in inputs {
        let mut cached = job.cached(input)?;
        let package = unpack::unpack(&mut cached.file, &input.locator, job.scratch)?;
        // npm drops links too.
        let mut package = package.map_paths(|path| path.split_once('/').map(|(_, rest)| rest.to_owned()));
        package.retain(|_, node| !matches!(node, super::tree::Node::Link { .. }));
        tree.graft(&input.name, package);
    }
    Ok(tree)
}
