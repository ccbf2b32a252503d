//! Owns finding our own programs for a target: the launcher that a pack carries, the installer that a stick carries.
//!
//! Shape of a folder of tools: `<target>/<program>[.exe]`, or `<program>-<target>[.exe]`, or for this machine's own target
//! `<program>[.exe]`; looked for in this order.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use kojibox_packs::{Os, Target};

/// One of our programs that goes along with packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `kojibox`.
    Launcher,
    /// `kojibox-installer`.
    Installer,
}

impl Program {
    /// Name of the program without `.exe`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Launcher => "kojibox",
            Self::Installer => "kojibox-installer",
        }
    }
}

/// A program for a target is not there, or is for another one.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// None of the places has it.
    #[error("no `{program}` for target `{target}`")]
    Missing {
        /// Name of the program.
        program: &'static str,
        /// Target.
        target: String,
        /// Where it was looked for.
        #[source]
        tried: Tried,
    },
    /// It is a program of another system or machine, or none at all.
    #[error("`{}` is {found}, expected a program for `{target}`", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// Target.
        target: String,
    },
    /// It could not be read.
    #[error("could not read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// The places where a program was looked for.
#[derive(Debug)]
pub struct Tried(Vec<PathBuf>);

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("looked for")?;
        for (i, path) in self.0.iter().enumerate() {
            write!(f, "{} `{}`", if i == 0 { "" } else { "," }, path.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Tried {}

/// A folder of our programs.
#[derive(Clone, Debug)]
pub struct Tools {
    dir: PathBuf,
}

impl Tools {
    /// Looks in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// The program for `target`, after a look at what it is.
    pub fn find(&self, program: Program, target: Target) -> Result<PathBuf, ToolError> {
        let (name, exe) = (program.name(), exe_suffix(target));
        let mut places = vec![
            self.dir.join(target.to_string()).join(format!("{name}{exe}")),
            self.dir.join(format!("{name}-{target}{exe}")),
        ];
        if Target::host() == target {
            places.push(self.dir.join(format!("{name}{exe}")));
        }
        match places.iter().find(|p| p.is_file()) {
            Some(path) => check(path, target).map(|()| path.clone()),
            None => Err(ToolError::Missing {
                program: name,
                target: target.to_string(),
                tried: Tried(places),
            }),
        }
    }
}

/// `.exe` on Windows targets.
pub fn exe_suffix(target: Target) -> &'static str {
    if target.os() == Some(Os::Windows) { ".exe" } else { "" }
}

fn check(path: &Path, target: Target) -> Result<(), ToolError> {
    let io = |source| ToolError::Io {
        path: path.to_owned(),
        source,
    };
    let mut head = Vec::new();
    File::open(path)
        .map_err(io)?
        .take(4096)
        .read_to_end(&mut head)
        .map_err(io)?;
    let found = sniff(&head);
    // ELF says nothing of the system that is told apart here, so the machine decides.
    match found {
        Some((os, arch)) if format!("{os}-{arch}") == target.to_string() => Ok(()),
        found => Err(ToolError::Other {
            path: path.to_owned(),
            found: found.map_or_else(
                || "no program known here".to_owned(),
                |(os, arch)| format!("a program for `{os}-{arch}`"),
            ),
            target: target.to_string(),
        }),
    }
}

/// System and machine of a program, by its first bytes.
fn sniff(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let word = |at: usize| {
        head.get(at..at + 4)
            .map(|b| u32::from_le_bytes(b.try_into().expect("four bytes")))
    };
    let half = |at: usize| {
        head.get(at..at + 2)
            .map(|b| u16::from_le_bytes(b.try_into().expect("two bytes")))
    };
    if head.starts_with(b"\x7fELF\x02\x01") {
        return match half(18)? {
            62 => Some(("linux", "x86_64")),
            183 => Some(("linux", "aarch64")),
            _ => None,
        };
    }
    if head.starts_with(b"MZ") {
        let at = word(0x3c)? as usize;
        return match (word(at)?, half(at.checked_add(4)?)?) {
            (0x4550, 0x8664) => Some(("windows", "x86_64")),
            (0x4550, 0xaa64) => Some(("windows", "aarch64")),
            _ => None,
        };
    }
    match (word(0)?, word(4)?) {
        (0xfeed_facf, 0x0100_0007) => Some(("macos", "x86_64")),
        (0xfeed_facf, 0x0100_000c) => Some(("macos", "aarch64")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Program, ToolError, Tools};

    fn elf(machine: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(18, 0);
        bytes.extend([machine, 0]);
        bytes
    }

    #[test]
    fn a_program_is_found_by_target_and_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let tools = Tools::new(dir.path());
        let arm = "linux-aarch64".parse().unwrap();
        let mac = "macos-aarch64".parse().unwrap();
        let missing = tools.find(Program::Launcher, arm).unwrap_err();
        assert!(matches!(missing, ToolError::Missing { .. }));

        fs::write(dir.path().join("kojibox-linux-aarch64"), elf(62)).unwrap();
        let other = tools.find(Program::Launcher, arm).unwrap_err().to_string();
        assert!(
            other.ends_with("is a program for `linux-x86_64`, expected a program for `linux-aarch64`"),
            "{other}"
        );

        // The folder of the target is looked into first.
        fs::create_dir(dir.path().join("linux-aarch64")).unwrap();
        fs::write(dir.path().join("linux-aarch64/kojibox"), elf(183)).unwrap();
        let found = tools.find(Program::Launcher, arm).unwrap();
        assert_eq!(found, dir.path().join("linux-aarch64/kojibox"));

        let mut macho = 0xfeed_facf_u32.to_le_bytes().to_vec();
        macho.extend(0x0100_000c_u32.to_le_bytes());
        fs::write(dir.path().join("kojibox-installer-macos-aarch64"), macho).unwrap();
        tools.find(Program::Installer, mac).unwrap();
    }
}
