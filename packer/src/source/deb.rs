//! Owns Debian packages: `apt-get` with a state folder of its own, so any architecture can be asked for and the system is
//! not touched. Packages are unpacked, never installed; maintainer scripts are not looked at.
//!
//! *Limitations*: `closure` (bundling the libraries that programs need) is refused.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

use super::{
    Job,
    client::{APT, Call},
    error::{SourceError, failed},
    unpack,
};
use crate::{definition::Origin, lock::LockedInput};

pub(super) fn lock(job: &Job<'_>, origin: &Origin) -> Result<Vec<LockedInput>, SourceError> {
    let Origin::Deb {
        name,
        version,
        architecture,
        closure,
    } = origin
    else {
        return Ok(Vec::new());
    };
    if closure.is_some() {
        return Err(SourceError::NotPossible {
            what: format!("`closure = true` of the Debian package `{name}`"),
            reason: "is not bundled by this version".to_owned(),
        });
    }
    let apt = Apt::new(job, architecture)?;
    apt.update()?;
    let wanted = match version {
        Some(version) => format!("{name}={version}"),
        None => name.clone(),
    };
    let path = apt.download(&wanted)?;
    let mut file = File::open(&path).map_err(failed("read", &path))?;
    let control = unpack::control(&mut file, &wanted)?;
    if control.package != *name || version.as_ref().is_some_and(|v| *v != control.version) {
        return Err(SourceError::ClientAnswer {
            client: APT.name().to_owned(),
            what: wanted,
            got: format!("`{}={}`", control.package, control.version),
            expected: "exactly that".to_owned(),
        });
    }
    let locator = format!("deb:{name}={}", control.version);
    let (sha256, size) = job.adopt(&path, &locator, None)?;
    job.progress.add(size);
    Ok(vec![LockedInput {
        name: format!(
            "{name}_{}_{}.deb",
            control.version.replace(':', "%3a"),
            control.architecture
        ),
        locator,
        version: control.version,
        sha256,
        size,
        integrity: None,
        built_by: None,
    }])
}

pub(super) fn fetch(job: &Job<'_>, origin: &Origin, inputs: &[LockedInput]) -> Result<(), SourceError> {
    let Origin::Deb { architecture, .. } = origin else {
        return Ok(());
    };
    let apt = Apt::new(job, architecture)?;
    for input in inputs {
        let wanted = input.locator.trim_start_matches("deb:");
        // The lists may be older than the lock, or not there.
        let path = match apt.download(wanted) {
            Err(SourceError::ClientFailed { .. }) => {
                apt.update()?;
                apt.download(wanted)?
            }
            other => other?,
        };
        let (_, size) = job.adopt(&path, &input.name, Some(&input.sha256))?;
        job.progress.add(size);
    }
    Ok(())
}

/// `apt-get` for one architecture, as if nothing were installed.
struct Apt<'j, 'a> {
    job: &'j Job<'a>,
    architecture: String,
    state: PathBuf,
}

impl<'j, 'a> Apt<'j, 'a> {
    fn new(job: &'j Job<'a>, architecture: &str) -> Result<Self, SourceError> {
        let state = job.cache.sub(&format!("clients/apt/{architecture}"))?;
        for folder in ["lists/partial", "cache/archives/partial"] {
            let folder = state.join(folder);
            fs::create_dir_all(&folder).map_err(failed("make", &folder))?;
        }
        let status = state.join("status");
        fs::write(&status, "").map_err(failed("write", &status))?;
        Ok(Self {
            job,
            architecture: architecture.to_owned(),
            state,
        })
    }

    fn call(&self, what: &str, folder: &Path) -> Call<'a> {
        let option = |name: &str, value: &OsStr| {
            let mut text = std::ffi::OsString::from(format!("{name}="));
            text.push(value);
            text
        };
        let architecture = OsStr::new(&self.architecture);
        let options = [
            option("APT::Architecture", architecture),
            option("APT::Architectures", architecture),
            option("Dir::State::status", self.state.join("status").as_os_str()),
            option("Dir::State::Lists", self.state.join("lists").as_os_str()),
            option("Dir::Cache", self.state.join("cache").as_os_str()),
            // The private folders belong to this user; another one could not write there.
            option("APT::Sandbox::User", OsStr::new("root")),
            option("APT::Install-Recommends", OsStr::new("false")),
            option("Debug::NoLocking", OsStr::new("1")),
        ];
        let options = options.into_iter().flat_map(|o| [std::ffi::OsString::from("-o"), o]);
        Call::new(APT, self.job.env, what, folder)
            .args(["-q"])
            .args(options)
            .var("LC_ALL", "C.UTF-8")
    }

    fn update(&self) -> Result<(), SourceError> {
        self.job
            .progress
            .step(&format!("updating the package lists for {}", self.architecture));
        self.call("the package lists", self.job.scratch)
            .args(["update"])
            .run()
            .map(drop)
    }

    /// Fetches one package; it is the only file of a new folder.
    fn download(&self, wanted: &str) -> Result<PathBuf, SourceError> {
        self.job.progress.begin(wanted, None);
        let folder = self.job.folder("apt-")?;
        self.call(wanted, &folder).args(["download", wanted]).run()?;
        for entry in fs::read_dir(&folder).map_err(failed("read", &folder))? {
            let path = entry.map_err(failed("read", &folder))?.path();
            if path.extension() == Some(OsStr::new("deb")) {
                return Ok(path);
            }
        }
        Err(SourceError::ClientAnswer {
            client: APT.name().to_owned(),
            what: wanted.to_owned(),
            got: "no file".to_owned(),
            expected: "a package".to_owned(),
        })
    }
}
