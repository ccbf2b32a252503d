//! Owns programs from crates: `cargo install --locked` for this machine, statically linked where the system can, paths
//! remapped. The result is kept in the cache as a plain tar and pinned like a download.
//!
//! *Limitations*: only for the machine that builds; another compiler gives other bytes, which the lock then refuses. Compiling
//! runs the build scripts and macros of the crate and of its dependencies, as the person who locks or fetches.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use kojibox_packs::Target;

use super::{
    Job,
    client::{CARGO, Call, RUSTC},
    error::{SourceError, failed},
};
use crate::{definition::Origin, interrupt::Stoppable, lock::LockedInput};

pub(super) fn lock(job: &Job<'_>, origin: &Origin) -> Result<Vec<LockedInput>, SourceError> {
    let Origin::Crate { name, version, .. } = origin else {
        return Ok(Vec::new());
    };
    let compiler = Compiler::ask(job)?;
    let path = build(job, origin, &compiler)?;
    let locator = origin.locator();
    let (sha256, size) = job.adopt(&path, &locator, None)?;
    Ok(vec![LockedInput {
        name: format!("{name}-{version}-{}.tar", job.target),
        locator,
        version: version.clone(),
        sha256,
        size,
        integrity: None,
        signature: None,
        built_by: Some(compiler.version),
    }])
}

pub(super) fn fetch(job: &Job<'_>, origin: &Origin, input: &LockedInput) -> Result<(), SourceError> {
    let compiler = Compiler::ask(job)?;
    if let Some(locked) = input.built_by.as_ref().filter(|b| **b != compiler.version) {
        return Err(SourceError::NotPossible {
            what: format!("`{}` was locked as built by {locked}; {}", input.name, compiler.version),
            reason: "would give other bytes: take the cache of the machine that locked it, or lock it anew".to_owned(),
        });
    }
    let path = build(job, origin, &compiler)?;
    job.adopt(&path, &input.name, Some(&input.sha256)).map(drop)
}

/// What the compiler says about itself.
struct Compiler {
    version: String,
    host: String,
}

impl Compiler {
    fn ask(job: &Job<'_>) -> Result<Self, SourceError> {
        let output = Call::new(RUSTC, job.env, "its version", job.scratch)
            .args(["-vV"])
            .run()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let host = text.lines().find_map(|l| l.strip_prefix("host: ")).unwrap_or_default();
        let words: Vec<_> = text.lines().next().unwrap_or_default().split(' ').take(2).collect();
        Ok(Self {
            version: words.join(" "),
            host: host.to_owned(),
        })
    }
}

/// Builds the programs and packs them into one tar.
fn build(job: &Job<'_>, origin: &Origin, compiler: &Compiler) -> Result<PathBuf, SourceError> {
    let Origin::Crate {
        name,
        version,
        features,
        default_features,
    } = origin
    else {
        return Err(not_possible("a source that is no crate", "cannot be built"));
    };
    let what = format!("{name}@{version}");
    if *job.target != Target::host() {
        let reason = format!(
            "is built for this machine ({}) only, not for `{}`",
            Target::host(),
            job.target
        );
        return Err(not_possible(&format!("crate `{what}`"), &reason));
    }
    let folder = job.folder("cargo-")?;
    let (root, target) = (folder.join("root"), folder.join("target"));
    job.progress.step(&format!("compiling {what}"));
    let mut call = Call::new(CARGO, job.env, &what, &folder)
        .args(["install", "--locked", "--no-track", "--quiet", "--version"])
        .args([format!("={version}")])
        .args(["--target", &compiler.host])
        .option("--root", &root)
        .var("CARGO_TARGET_DIR", target.as_os_str())
        .var("CARGO_ENCODED_RUSTFLAGS", rust_flags(job, &folder, &compiler.host))
        .var("CARGO_PROFILE_RELEASE_STRIP", "debuginfo")
        .var("CARGO_INCREMENTAL", "0");
    if !features.is_empty() {
        call = call.args(["--features", &features.join(",")]);
    }
    if !default_features {
        call = call.args(["--no-default-features"]);
    }
    call.args([name]).run()?;
    fs::remove_dir_all(&target).map_err(failed("remove", &target))?;
    let out = folder.join("programs.tar");
    pack_programs(&root.join("bin"), &out)?;
    Ok(out)
}

fn not_possible(what: &str, reason: &str) -> SourceError {
    SourceError::NotPossible {
        what: what.to_owned(),
        reason: reason.to_owned(),
    }
}

/// Flags for this call only: static, and without the folders of this machine in the result.
fn rust_flags(job: &Job<'_>, folder: &Path, host: &str) -> String {
    let var = |name: &str| job.env.vars.get(name).map(PathBuf::from);
    let home = var("CARGO_HOME").or_else(|| var("HOME").or_else(|| var("USERPROFILE")).map(|h| h.join(".cargo")));
    let mut flags = Vec::new();
    if !host.contains("apple") {
        flags.push("-Ctarget-feature=+crt-static".to_owned());
    }
    flags.push(format!("--remap-path-prefix={}=/build", folder.display()));
    if let Some(home) = home {
        flags.push(format!("--remap-path-prefix={}=/cargo", home.display()));
    }
    flags.join("\u{1f}")
}

fn pack_programs(bin: &Path, out: &Path) -> Result<(), SourceError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(bin).map_err(failed("read", bin))? {
        names.push(entry.map_err(failed("read", bin))?.file_name());
    }
    names.sort();
    let file = File::create_new(out).map_err(failed("write", out))?;
    let mut tar = tar::Builder::new(file);
    for name in names {
        let path = bin.join(&name);
        let program = File::open(&path).map_err(failed("read", &path))?;
        let mut header = tar::Header::new_ustar();
        header.set_size(program.metadata().map_err(failed("read", &path))?.len());
        header.set_mode(0o755);
        header.set_mtime(0);
        let inner = format!("bin/{}", name.to_string_lossy());
        tar.append_data(&mut header, inner, Stoppable(program))
            .map_err(failed("write", out))?;
    }
    tar.into_inner()
        .and_then(|mut file| file.flush())
        .map_err(failed("write", out))
}
