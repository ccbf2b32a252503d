//! Owns where the programs under test are: `KOJIBOX_BIN_DIR`, or built by cargo into the profile of this test.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Failure, Outcome};

/// The packages whose programs are driven.
pub(crate) const PACKAGES: [&str; 4] = ["kojibox-packer", "kojibox-installer", "kojibox", "demo-service"];

/// A directory that holds the programs.
#[derive(Clone, Debug)]
pub struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// Takes the programs of `KOJIBOX_BIN_DIR`, or lets cargo bring those of this profile up to date.
    pub fn locate() -> Outcome<Self> {
        if let Some(dir) = env::var_os("KOJIBOX_BIN_DIR") {
            return Self::at(PathBuf::from(dir));
        }
        let dir = profile_dir()?;
        let release = dir.file_name().is_some_and(|name| name == "release");
        let programs = Self { dir };
        programs.build(&[], release)?;
        Self::at(programs.dir)
    }

    /// The program `name` of this system.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}{}", env::consts::EXE_SUFFIX))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The target directory and profile that this very program was built into.
    pub fn of_this_build() -> Outcome<Self> {
        Ok(Self { dir: profile_dir()? })
    }

    /// Lets cargo bring the programs of `packages` up to date; none means the whole workspace, which needs nothing
    /// compiled anew after its tests were built.
    pub fn build(&self, packages: &[&str], release: bool) -> Outcome {
        let target = self.dir.parent().unwrap_or(&self.dir);
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
        command.args(["build", "--quiet", "--bins", "--target-dir"]).arg(target);
        if packages.is_empty() {
            command.arg("--workspace");
        }
        command.args(packages.iter().flat_map(|package| ["--package", package]));
        command.current_dir(workspace());
        if release {
            command.arg("--release");
        }
        let output = command.output().map_err(Failure::doing("could not run cargo"))?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failure::new(format!("could not build `{}`", packages.join("`, `")))
            .with(&String::from_utf8_lossy(&output.stderr)))
    }

    /// Takes whatever is in `dir`.
    pub(crate) fn in_dir(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Takes the programs in `dir`; all must be there.
    pub(crate) fn at(dir: PathBuf) -> Outcome<Self> {
        let programs = Self { dir };
        for name in [
            "kojibox-packer",
            "kojibox-installer",
            "kojibox",
            "guestbook-1",
            "guestbook-2",
        ] {
            let path = programs.path(name);
            if !path.is_file() {
                return Err(Failure::new(format!("there is no program `{}`", path.display())));
            }
        }
        Ok(programs)
    }
}

/// The root of the source tree.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate stands in the workspace")
}

/// `target/<profile>`: the folder of this program, or the one above `deps` for a test.
fn profile_dir() -> Outcome<PathBuf> {
    let exe = env::current_exe().map_err(Failure::doing("could not find this program"))?;
    let dir = exe.parent().unwrap_or(&exe);
    let dir = if dir.file_name().is_some_and(|name| name == "deps") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    Ok(dir.to_owned())
}
