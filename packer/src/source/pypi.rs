//! Owns wheels: `pip download` for any target, without dependencies and without building.

use std::{ffi::OsStr, fs, path::PathBuf};

use super::{
    Job,
    client::{Call, PIP},
    error::{SourceError, failed},
};
use crate::{definition::Origin, lock::LockedInput};

pub(super) fn lock(job: &Job<'_>, origin: &Origin) -> Result<Vec<LockedInput>, SourceError> {
    let Origin::Pypi {
        name,
        version,
        platforms,
        python,
    } = origin
    else {
        return Ok(Vec::new());
    };
    let locator = origin.locator();
    let (file, path) = download(job, name, version, platforms, python.as_deref())?;
    let (sha256, size) = job.adopt(&path, &locator, None)?;
    job.progress.add(size);
    Ok(vec![LockedInput {
        name: file,
        locator,
        version: version.clone(),
        sha256,
        size,
        integrity: None,
        signature: None,
        built_by: None,
    }])
}

pub(super) fn fetch(job: &Job<'_>, origin: &Origin, input: &LockedInput) -> Result<(), SourceError> {
    let Origin::Pypi {
        name, version, python, ..
    } = origin
    else {
        return Ok(());
    };
    // Exactly the pinned wheel: only its own platforms are asked for.
    let platforms: Vec<String> = match wheel_tags(&input.name) {
        Some((_, platforms)) => platforms.split('.').map(str::to_owned).collect(),
        None => Vec::new(),
    };
    let (file, path) = download(job, name, version, &platforms, python.as_deref())?;
    if file != input.name {
        return Err(SourceError::ClientAnswer {
            client: PIP.name().to_owned(),
            what: origin.locator(),
            got: format!("`{file}`"),
            expected: format!("the pinned `{}`", input.name),
        });
    }
    let (_, size) = job.adopt(&path, &input.name, Some(&input.sha256))?;
    job.progress.add(size);
    Ok(())
}

/// ABI and platform tag of a wheel's file name.
pub(super) fn wheel_tags(file: &str) -> Option<(&str, &str)> {
    let mut parts = file.strip_suffix(".whl")?.rsplitn(4, '-');
    let platform = parts.next()?;
    let abi = parts.next()?;
    Some((abi, platform))
}

fn download(
    job: &Job<'_>,
    name: &str,
    version: &str,
    platforms: &[String],
    python: Option<&str>,
) -> Result<(String, PathBuf), SourceError> {
    let what = format!("{name}=={version}");
    let folder = job.folder("pip-")?;
    let cache = job.cache.sub("clients/pip")?;
    job.progress.begin(&what, None);
    let mut call = Call::new(PIP, job.env, &what, &folder)
        .args([
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "--no-input",
            "--disable-pip-version-check",
        ])
        .args(["--progress-bar", "off"])
        .option("--cache-dir", &cache)
        .option("--dest", &folder);
    for platform in platforms {
        call = call.args(["--platform", platform]);
    }
    if let Some(python) = python {
        let abi = format!("cp{}", python.replace('.', ""));
        call = call.args(["--python-version", python, "--implementation", "cp"]);
        call = call.args(["--abi", &abi, "--abi", "abi3", "--abi", "none"]);
    }
    call.args([&what]).run()?;
    let mut wheels = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
        let path = entry.map_err(failed("read", &folder))?.path();
        if path.extension() == Some(OsStr::new("whl")) {
            wheels.push(path);
        }
    }
    let name_of = |path: &PathBuf| path.file_name().and_then(OsStr::to_str).map(str::to_owned);
    match &wheels[..] {
        [path] if name_of(path).is_some() => Ok((name_of(path).unwrap_or_default(), path.clone())),
        _ => Err(SourceError::ClientAnswer {
            client: PIP.name().to_owned(),
            what,
            got: format!("{} wheels", wheels.len()),
            expected: "one".to_owned(),
        }),
    }
}
