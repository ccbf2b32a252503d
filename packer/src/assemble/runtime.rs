//! Owns what a component needs of its host's C library: found by looking, compared with what the definition says.

use kojibox_packs::{Target, manifest::Runtime};

use crate::{
    definition::RuntimeKind,
    elf::{self, Elf, Machine},
};

/// A file and the highest glibc it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Need {
    version: (u32, u32),
    path: String,
}

/// Collects what the ELF files of one component need.
#[derive(Debug, Default)]
pub(super) struct Scan {
    machine: Option<Machine>,
    native: u64,
    highest: Option<Need>,
    /// A program whose loader is not glibc's.
    other_loader: Option<(String, String)>,
    /// A loader or a C library inside the tree.
    carried: Option<String>,
}

/// The tree and the definition do not agree.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Declared static, but it is not.
    #[error("`runtime = \"static\"` is declared, but `{path}` needs glibc {major}.{minor} of the host")]
    NotStatic {
        /// Path in the component.
        path: String,
        /// Needed glibc, before the dot.
        major: u32,
        /// Needed glibc, after the dot.
        minor: u32,
    },
    /// Declared to use the host's glibc, but nothing does.
    #[error("`runtime = \"host-glibc\"` is declared, but no program or library here uses glibc")]
    NoGlibc,
    /// Declared to carry its own loader, but it does not.
    #[error(
        "`runtime = \"own-loader\"` is declared, but no loader (`ld-linux-*.so.*`, `ld-musl-*.so.1`) is in the tree"
    )]
    NoLoader,
    /// A program names a loader that hosts do not have, and the tree has none.
    #[error("`{path}` needs the loader `{loader}`, which most hosts do not have")]
    ForeignLoader {
        /// Path in the component.
        path: String,
        /// Loader as the program names it.
        loader: String,
    },
}

impl Scan {
    /// Starts for a component of `target`; programs for other machines are passed over, and only Linux has glibc.
    pub(super) fn new(target: Target) -> Self {
        Self {
            machine: Machine::of(target),
            ..Self::default()
        }
    }

    /// True if the bytes of a file that starts with `head` matter here.
    pub(super) fn wants(&self, head: &[u8]) -> bool {
        self.machine.is_some() && head.starts_with(b"\x7fELF")
    }

    /// Looks at one file. What only begins like ELF is data (packages carry such files for their tests); no loader would
    /// take it.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) {
        if let Ok(Some(elf)) = elf::read(bytes) {
            self.elf(path, &elf);
        }
    }

    fn elf(&mut self, path: &str, elf: &Elf) {
        if self.machine.is_none_or(|m| m != elf.machine) {
            return;
        }
        self.native += 1;
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.starts_with("ld-linux-") || name.starts_with("ld-musl-") {
            self.carried.get_or_insert_with(|| path.to_owned());
            return;
        }
        if let Some(loader) = &elf.interpreter
            && !loader.contains("/ld-linux-")
        {
            self.other_loader.get_or_insert((path.to_owned(), loader.clone()));
        }
        let highest = elf.versions.iter().filter_map(|(_, v)| glibc(v)).max();
        if let Some(version) = highest
            && self.highest.as_ref().is_none_or(|need| need.version < version)
        {
            self.highest = Some(Need {
                version,
                path: path.to_owned(),
            });
        }
    }

    /// Says what the component needs, or how that differs from the definition.
    pub(super) fn finish(self, declared: Option<RuntimeKind>) -> Result<Option<Runtime>, RuntimeError> {
        if self.machine.is_none() {
            return Ok(None);
        }
        let glibc = |need: &Need| Runtime::MinGlibc(format!("{}.{}", need.version.0, need.version.1));
        match (declared, self.highest) {
            (Some(RuntimeKind::OwnLoader), _) if self.carried.is_some() => Ok(Some(Runtime::OwnLoader)),
            (Some(RuntimeKind::OwnLoader), _) => Err(RuntimeError::NoLoader),
            (Some(RuntimeKind::Static), Some(need)) => Err(RuntimeError::NotStatic {
                path: need.path,
                major: need.version.0,
                minor: need.version.1,
            }),
            (Some(RuntimeKind::HostGlibc), None) => Err(RuntimeError::NoGlibc),
            (_, Some(need)) => Ok(Some(glibc(&need))),
            (declared, None) => match self.other_loader {
                Some((path, loader)) => Err(RuntimeError::ForeignLoader { path, loader }),
                None if self.native > 0 || declared.is_some() => Ok(Some(Runtime::Static)),
                None => Ok(None),
            },
        }
    }
}

/// The glibc that brought a symbol version: `GLIBC_2.28` is 2.28; the marker for packed relocations came with 2.36.
fn glibc(version: &str) -> Option<(u32, u32)> {
    let rest = version.strip_prefix("GLIBC_")?;
    if rest == "ABI_DT_RELR" {
        return Some((2, 36));
    }
    let mut numbers = rest.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return None;
    };
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use kojibox_packs::manifest::Runtime;

    use super::{RuntimeError, Scan};
    use crate::{
        definition::RuntimeKind,
        elf::{Elf, Machine},
    };

    fn scan(files: &[(&str, Option<&str>, &[&str])]) -> Scan {
        let mut scan = Scan::new("linux-x86_64".parse().unwrap());
        for (path, interpreter, versions) in files {
            let elf = Elf {
                interpreter: interpreter.map(str::to_owned),
                versions: versions
                    .iter()
                    .map(|v| ("libc.so.6".to_owned(), (*v).to_owned()))
                    .collect(),
                ..Elf::new(Machine::X86_64)
            };
            scan.elf(path, &elf);
        }
        scan
    }

    const GLIBC_LOADER: Option<&str> = Some("/lib64/ld-linux-x86-64.so.2");

    #[test]
    fn the_highest_symbol_decides_by_number_not_by_text() {
        let found = scan(&[
            ("bin/a", GLIBC_LOADER, &["GLIBC_2.9", "GLIBC_PRIVATE", "GLIBC_2.2.5"]),
            ("lib/b.so", None, &["GLIBC_2.17", "CXXABI_1.3"]),
        ]);
        assert_eq!(found.finish(None).unwrap(), Some(Runtime::MinGlibc("2.17".to_owned())));
        let marked = scan(&[("bin/a", GLIBC_LOADER, &["GLIBC_2.17", "GLIBC_ABI_DT_RELR"])]);
        assert_eq!(
            marked.finish(Some(RuntimeKind::HostGlibc)).unwrap(),
            Some(Runtime::MinGlibc("2.36".to_owned()))
        );
    }

    #[test]
    fn static_programs_data_and_foreign_programs_are_told_apart() {
        assert_eq!(
            scan(&[("bin/a", None, &[])]).finish(None).unwrap(),
            Some(Runtime::Static)
        );
        assert_eq!(scan(&[]).finish(None).unwrap(), None);
        let mut foreign = Scan::new("linux-aarch64".parse().unwrap());
        foreign.elf(
            "bin/a",
            &Elf {
                versions: vec![("libc.so.6".to_owned(), "GLIBC_2.99".to_owned())],
                ..Elf::new(Machine::X86_64)
            },
        );
        assert_eq!(foreign.finish(None).unwrap(), None);
    }

    #[test]
    fn a_declaration_that_is_not_true_is_refused_with_the_file() {
        let glibc = || scan(&[("bin/a", GLIBC_LOADER, &["GLIBC_2.28"])]);
        assert_eq!(
            glibc().finish(Some(RuntimeKind::Static)).unwrap_err().to_string(),
            "`runtime = \"static\"` is declared, but `bin/a` needs glibc 2.28 of the host"
        );
        assert!(matches!(
            glibc().finish(Some(RuntimeKind::OwnLoader)),
            Err(RuntimeError::NoLoader)
        ));
        assert!(matches!(
            scan(&[]).finish(Some(RuntimeKind::HostGlibc)),
            Err(RuntimeError::NoGlibc)
        ));
        let musl = scan(&[("bin/m", Some("/lib/ld-musl-x86_64.so.1"), &[])]);
        assert!(matches!(musl.finish(None), Err(RuntimeError::ForeignLoader { .. })));
        let own = scan(&[
            ("lib/ld-linux-x86-64.so.2", None, &[]),
            ("bin/a", GLIBC_LOADER, &["GLIBC_2.40"]),
        ]);
        assert_eq!(
            own.finish(Some(RuntimeKind::OwnLoader)).unwrap(),
            Some(Runtime::OwnLoader)
        );
    }
}
