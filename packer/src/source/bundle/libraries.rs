//! Owns the walk over `NEEDED`: which libraries of the system the programs of a bundle need, and where they go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Kept, System};
use crate::{
    elf::{self, Elf, Machine},
    source::{
        error::SourceError,
        tree::{Content, Node},
    },
};

/// Longest program that is looked into.
const MAX_PROGRAM: u64 = 1 << 30;

/// The package of glibc, and so of the loader.
const GLIBC: &str = "libc6";

/// Libraries that glibc opens while it runs: to end threads, and to look up names of users and hosts.
const OPENED_BY_GLIBC: [&str; 4] = [
    "libgcc_s.so.1",
    "libnss_compat.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
];

/// Adds what the programs and plugins in `kept` need.
pub(super) fn add(system: &System, kept: &mut Kept, machine: Machine) -> Result<(), SourceError> {
    let mut walk = Walk {
        system,
        machine,
        placed: BTreeMap::new(),
        missing: BTreeMap::new(),
        queue: VecDeque::new(),
        loaders: BTreeSet::new(),
    };
    for (path, real) in &kept.sources {
        walk.queue.push_back((path.clone(), real.clone()));
    }
    walk.run()?;
    walk.finish(kept)
}

struct Walk<'s> {
    system: &'s System,
    machine: Machine,
    /// Name that a library is asked for as, and the file that answers.
    placed: BTreeMap<String, String>,
    /// Name, and who asked first.
    missing: BTreeMap<String, String>,
    /// Name in messages, and file; still to be looked into.
    queue: VecDeque<(String, String)>,
    /// Loaders that programs name.
    loaders: BTreeSet<String>,
}

impl Walk<'_> {
    fn run(&mut self) -> Result<(), SourceError> {
        let mut glibc = false;
        loop {
            while let Some((who, real)) = self.queue.pop_front() {
                if let Some(elf) = self.read(&who, &real)? {
                    glibc |= !elf.needed.is_empty();
                    self.one(&who, &real, &elf)?;
                }
            }
            if !std::mem::take(&mut glibc) {
                return Ok(());
            }
            for name in OPENED_BY_GLIBC {
                if !self.placed.contains_key(name)
                    && let Some(found) = self.find(name, &[])?
                {
                    self.place(name, found);
                }
            }
        }
    }

    /// Looks for everything that one file names.
    fn one(&mut self, who: &str, real: &str, elf: &Elf) -> Result<(), SourceError> {
        self.loaders.extend(elf.interpreter.clone());
        let own = own_folders(real, elf.runpath.as_deref());
        for name in elf.needed.iter().filter(|name| !name.is_empty()) {
            if self.placed.contains_key(name) || self.missing.contains_key(name) {
                continue;
            }
            match self.find(name, &own)? {
                Some(found) => self.place(name, found),
                None => drop(self.missing.insert(name.clone(), who.to_owned())),
            }
        }
        Ok(())
    }

    fn place(&mut self, name: &str, real: String) {
        self.queue.push_back((real.clone(), real.clone()));
        self.placed.insert(name.to_owned(), real);
    }

    /// The file that a loader would take for `name`: the first one for this machine.
    fn find(&self, name: &str, own: &[String]) -> Result<Option<String>, SourceError> {
        let triplet = match self.machine {
            Machine::X86_64 => "x86_64-linux-gnu",
            _ => "aarch64-linux-gnu",
        };
        let standard = [
            format!("usr/lib/{triplet}"),
            "usr/lib".to_owned(),
            "usr/lib64".to_owned(),
        ];
        // A name with a slash is a path of its own.
        let folders: &[String] = if name.contains('/') { &[String::new()] } else { own };
        let rest: &[String] = if name.contains('/') { &[] } else { &standard };
        for folder in folders.iter().chain(rest) {
            let Some(real) = self.system.real(&format!("{folder}/{name}")) else {
                continue;
            };
            if self.read(&real, &real)?.is_some() {
                return Ok(Some(real));
            }
        }
        Ok(None)
    }

    /// What the file says to a loader of this machine; None: nothing.
    fn read(&self, who: &str, real: &str) -> Result<Option<Elf>, SourceError> {
        let Some(Node::File { content, .. }) = self.system.files().get(real) else {
            return Ok(None);
        };
        let elf = read_elf(content).map_err(|e| SourceError::Entry {
            path: who.to_owned(),
            reason: e.to_string(),
        })?;
        Ok(elf.filter(|elf| elf.machine == self.machine))
    }

    fn finish(self, kept: &mut Kept) -> Result<(), SourceError> {
        if !self.missing.is_empty() {
            return Err(SourceError::MissingLibraries {
                libraries: self.missing.into_iter().collect(),
            });
        }
        for (name, real) in &self.placed {
            let core = self.system.owner(real) == Some(GLIBC);
            let folder = if core { "lib/core" } else { "lib" };
            let name = name.rsplit('/').next().unwrap_or(name);
            kept.put(self.system, &format!("{folder}/{name}"), real);
        }
        for loader in &self.loaders {
            if let Some(real) = self.system.real(loader) {
                let name = loader.rsplit('/').next().unwrap_or(loader);
                kept.put(self.system, &format!("lib/core/{name}"), &real);
                kept.put(self.system, "lib/core/ld.so", &real);
            }
        }
        Ok(())
    }
}

fn read_elf(content: &Content) -> std::io::Result<Option<Elf>> {
    if content.size() > MAX_PROGRAM || content.head(4)? != b"\x7fELF" {
        return Ok(None);
    }
    // What only begins like ELF is data.
    Ok(elf::read(&content.head(MAX_PROGRAM)?).ok().flatten())
}

/// The folders that the file `real` itself names for its libraries.
fn own_folders(real: &str, runpath: Option<&str>) -> Vec<String> {
    let origin = real.rsplit_once('/').map_or("", |(folder, _)| folder);
    let folders = runpath.unwrap_or_default().split(':').filter(|f| !f.is_empty());
    folders
        .map(|f| f.replace("${ORIGIN}", origin).replace("$ORIGIN", origin))
        .collect()
}
