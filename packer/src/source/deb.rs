//! Owns Debian packages: `apt-get` with a state folder of its own, so any architecture can be asked for and the system is
//! not touched. Packages are unpacked, never installed; maintainer scripts are not looked at.
//!
//! A closure is what `apt-get` would install on a machine that has nothing: it is only asked for, then each package is
//! fetched by name and version.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

use kojibox_signing::Digest;

use super::{
    Job,
    client::{APT, Call},
    error::{SourceError, failed},
    unpack,
};
use crate::{definition::Origin, lock::LockedInput};

/// Most packages of one closure.
const MAX_PACKAGES: usize = 4096;

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
    let apt = Apt::new(job, architecture)?;
    apt.update()?;
    let wanted = match version {
        Some(version) => format!("{name}={version}"),
        None => name.clone(),
    };
    let packages = match closure {
        None => apt.resolve(&["download"], &[wanted])?,
        Some(closure) => {
            let mut all = vec![wanted];
            all.extend(closure.with.iter().cloned());
            apt.resolve(&["--yes", "install"], &all)?
        }
    };
    apt.pin(packages)
}

pub(super) fn fetch(job: &Job<'_>, origin: &Origin, inputs: &[LockedInput]) -> Result<(), SourceError> {
    let Origin::Deb { architecture, .. } = origin else {
        return Ok(());
    };
    let apt = Apt::new(job, architecture)?;
    let packages: Vec<Package> = inputs.iter().map(Package::locked).collect();
    // The lists may be older than the lock, or not there.
    let folder = match apt.download(&packages) {
        Err(SourceError::ClientFailed { .. }) => {
            apt.update()?;
            apt.download(&packages)?
        }
        other => other?,
    };
    for package in &packages {
        let (_, size) = job.adopt(&package.file_in(&folder)?, &package.file, package.sha256.as_ref())?;
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

    /// Finds out which packages `wanted` are, with all that is needed beside them if they are to be installed.
    fn resolve(&self, verb: &[&str], wanted: &[String]) -> Result<Vec<Package>, SourceError> {
        let what = wanted.join(" ");
        let answer = self
            .call(&what, self.job.scratch)
            .args(["-o", "Acquire::ForceHash=SHA256", "--print-uris"])
            .args(verb)
            .args(wanted)
            .run()?;
        let odd = |got: String, expected: &str| SourceError::ClientAnswer {
            client: APT.name().to_owned(),
            what: what.clone(),
            got,
            expected: expected.to_owned(),
        };
        let text = String::from_utf8_lossy(&answer.stdout);
        let mut packages = Vec::new();
        for line in text.lines().filter(|line| line.starts_with('\'')) {
            let package = Package::parse(line).ok_or_else(|| odd(format!("`{line}`"), "an address and a file"))?;
            packages.push(package);
            if packages.len() > MAX_PACKAGES {
                return Err(odd(format!("more than {MAX_PACKAGES} packages"), "less"));
            }
        }
        for one in wanted {
            let is = |p: &Package| match one.split_once('=') {
                Some((name, version)) => p.name == name && p.version == version,
                None => p.name == *one,
            };
            if !packages.iter().any(is) {
                return Err(odd(
                    format!("{} other packages", packages.len()),
                    &format!("`{one}` among them"),
                ));
            }
        }
        Ok(packages)
    }

    /// Fetches what the cache lacks and pins all of it.
    fn pin(&self, packages: Vec<Package>) -> Result<Vec<LockedInput>, SourceError> {
        let mut missing = Vec::new();
        for package in &packages {
            let cached = match &package.sha256 {
                Some(sha256) => self.job.cache.get(sha256)?.is_some(),
                None => false,
            };
            if !cached {
                missing.push(package.clone());
            }
        }
        let folder = match missing[..] {
            [] => None,
            _ => Some(self.download(&missing)?),
        };
        let mut inputs = Vec::with_capacity(packages.len());
        for package in packages {
            let pinned = match (&folder, package.sha256) {
                (Some(folder), _) if missing.contains(&package) => {
                    let path = package.file_in(folder)?;
                    package.check(&path)?;
                    let (sha256, size) = self.job.adopt(&path, &package.locator(), package.sha256.as_ref())?;
                    self.job.progress.add(size);
                    (sha256, size)
                }
                (_, Some(sha256)) => (sha256, package.size),
                (_, None) => continue,
            };
            inputs.push(package.pinned(pinned));
        }
        Ok(inputs)
    }

    /// Fetches packages into a new folder.
    fn download(&self, packages: &[Package]) -> Result<PathBuf, SourceError> {
        let what = match packages {
            [one] => one.locator().trim_start_matches("deb:").to_owned(),
            all => format!("{} Debian packages", all.len()),
        };
        let size = packages.iter().map(|p| p.size).sum();
        self.job.progress.begin(&what, Some(size).filter(|size| *size > 0));
        let folder = self.job.folder("apt-")?;
        let wanted = packages.iter().map(|p| format!("{}={}", p.name, p.version));
        self.call(&what, &folder).args(["download"]).args(wanted).run()?;
        Ok(folder)
    }
}

/// One package as `apt-get` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Package {
    name: String,
    version: String,
    /// Name of its file.
    file: String,
    size: u64,
    /// As the signed index of its archive has it.
    sha256: Option<Digest>,
}

impl Package {
    /// Reads `'ADDRESS' FILE SIZE [HASH]`.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.strip_prefix('\'')?.split_once("' ")?;
        let mut words = rest.split(' ');
        let (file, size) = (words.next()?, words.next()?.parse().ok()?);
        let sha256 = words.next().and_then(|hash| hash.strip_prefix("SHA256:")?.parse().ok());
        let mut parts = file.strip_suffix(".deb")?.split('_');
        let (name, version, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        Some(Self {
            name: name.to_owned(),
            version: version.replace("%3a", ":"),
            file: file.to_owned(),
            size,
            sha256,
        })
    }

    fn locked(input: &LockedInput) -> Self {
        let locator = input.locator.trim_start_matches("deb:");
        Self {
            name: locator.split('=').next().unwrap_or(locator).to_owned(),
            version: input.version.clone(),
            file: input.name.clone(),
            size: input.size,
            sha256: Some(input.sha256),
        }
    }

    fn locator(&self) -> String {
        format!("deb:{}={}", self.name, self.version)
    }

    fn pinned(self, (sha256, size): (Digest, u64)) -> LockedInput {
        LockedInput {
            locator: self.locator(),
            name: self.file,
            version: self.version,
            sha256,
            size,
            integrity: None,
            signature: None,
            built_by: None,
        }
    }

    /// The file that the client left for it.
    fn file_in(&self, folder: &Path) -> Result<PathBuf, SourceError> {
        let path = folder.join(&self.file);
        if self.file.contains(['/', '\\']) || !path.is_file() {
            return Err(self.odd("no file", &format!("`{}`", self.file)));
        }
        Ok(path)
    }

    /// The file must be the package that it is called.
    fn check(&self, path: &Path) -> Result<(), SourceError> {
        let mut file = File::open(path).map_err(failed("read", path))?;
        let control = unpack::control(&mut file, &self.file)?;
        if control.package == self.name && control.version == self.version {
            return Ok(());
        }
        Err(self.odd(&format!("`{}={}`", control.package, control.version), "exactly that"))
    }

    fn odd(&self, got: &str, expected: &str) -> SourceError {
        SourceError::ClientAnswer {
            client: APT.name().to_owned(),
            what: self.locator(),
            got: got.to_owned(),
            expected: expected.to_owned(),
        }
    }
}
