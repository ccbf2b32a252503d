//! Owns `stack.toml`: what a builder writes, every mistake in it with its position, and what it means for one target.
//!
//! [`Definition::load`] reads the file and what it includes; [`Definition::resolve`] answers for one target. Both collect
//! all mistakes before they fail. Relative paths start from the file they stand in.
//!
//! Source: `docs/stack.md`.

mod component;
mod declared;
mod mistake;
mod names;
mod origin;
mod pack;
mod pattern;
mod placeholder;
mod probe;
mod reader;
mod references;
mod resolve;
mod resolved;
mod service;
mod signature;
mod source;
mod steps;

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use kojibox_packs::{
    Target,
    manifest::{Question, Secret},
};
use toml::de::{DeTable, DeValue};

use component::RawComponent;
use declared::RawTemplate;
use mistake::{Files, Located, Notes, Place};
use pack::RawPack;
use reader::Table;
use service::{RawMigration, RawService};

pub(crate) use mistake::nearest;
pub use mistake::{Mistake, Mistakes};
pub use resolved::{
    Closure, Origin, PackFacts, PackFile, ResolvedComponent, ResolvedPack, RuntimeKind, Signature, SourceSpec, Steps,
};

/// Longest definition file in bytes; people write them.
const MAX_BYTES: u64 = 4 << 20;

/// A definition that was read without a mistake.
#[derive(Clone, Debug)]
pub struct Definition {
    files: Files,
    facts: PackFacts,
    declared: Declared,
}

/// What the files declare, in their order.
#[derive(Clone, Debug, Default)]
struct Declared {
    components: Vec<RawComponent>,
    services: Vec<RawService>,
    migrations: Vec<RawMigration>,
    templates: Vec<RawTemplate>,
    secrets: Vec<Located<Secret>>,
    questions: Vec<Located<Question>>,
}

impl Definition {
    /// Reads the definition `path` and the files it includes, and checks it for every target it names.
    ///
    /// # Errors
    /// Every mistake of every file, sorted.
    pub fn load(path: &Path) -> Result<Self, Mistakes> {
        let mut files = Files::default();
        let notes = Notes::default();
        let mut declared = Declared::default();
        let main = add_file(&mut files, path)
            .map_err(|why| Mistakes::unreadable(path, format!("could not read the definition: {why}")))?;
        let pack = read_file(&files, main, &notes, &mut declared);
        let include = pack.as_ref().map(|p| p.include.clone()).unwrap_or_default();
        for written in include {
            let included = files.base(main).join(&written.value);
            if files.contains(&included) {
                notes.add(written.at, format!("`{}` is included twice", written.value));
                continue;
            }
            match add_file(&mut files, &included) {
                Ok(file) => drop(read_file(&files, file, &notes, &mut declared)),
                Err(message) => notes.add(
                    written.at,
                    format!("could not include `{}`: {message}", included.display()),
                ),
            }
        }
        let facts = pack.map(|p| p.facts);
        if let Some(facts) = &facts {
            references::check(&declared, &notes);
            references::check_notify(&declared, &facts.targets, &notes);
            for target in &facts.targets {
                resolve::resolve(facts, &declared, *target, false, &notes);
            }
        }
        notes.finish(&files)?;
        let facts = facts.expect("a file without `[pack]` is a mistake");
        Ok(Self { files, facts, declared })
    }

    /// What `[pack]` says.
    pub fn pack(&self) -> &PackFacts {
        &self.facts
    }

    /// What is built without `--target`, in the order of the file; `any` if the file names none.
    pub fn targets(&self) -> &[Target] {
        &self.facts.targets
    }

    /// True if the definition has a component `id`, for whatever target.
    pub fn has_component(&self, id: &str) -> bool {
        self.declared.components.iter().any(|c| c.id.value == id)
    }

    /// The files that were read: the main file first.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.paths()
    }

    /// What the definition means for `target`, which need not be one that it names.
    ///
    /// # Errors
    /// Every mistake that only this target brings out, e.g. a component without a source for it.
    pub fn resolve(&self, target: &Target) -> Result<ResolvedPack, Mistakes> {
        let notes = Notes::default();
        let pack = resolve::resolve(&self.facts, &self.declared, *target, true, &notes);
        notes.finish(&self.files)?;
        Ok(pack)
    }
}

fn add_file(files: &mut Files, path: &Path) -> Result<usize, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    let mut text = String::new();
    // The size that a device or a pipe tells is no bound.
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
    if read.map_err(|e| e.to_string())? as u64 > MAX_BYTES {
        return Err(format!("the file has more than {MAX_BYTES} bytes"));
    }
    Ok(files.add(PathBuf::from(path), text))
}

/// Reads one file into `declared`; gives `[pack]` of the main file.
fn read_file(files: &Files, file: usize, notes: &Notes, declared: &mut Declared) -> Option<RawPack> {
    let text = files.text(file);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let at = Place {
            file,
            start: span.start,
            end: span.end,
        };
        notes.add(at, error.message().replace('\n', "; "));
    }
    if !errors.is_empty() {
        return None;
    }
    let top = Place { file, start: 0, end: 0 };
    let table = Table::new(notes, file, "the file", top, table.get_ref());
    let pack = if file == 0 { read_pack(&table) } else { None };
    declared.read(&table, files.base(file));
    if file != 0 && table.values().iter().any(|v| v.key == "pack") {
        let at = table.get("pack").map_or(top, |v| v.key_at);
        notes.add(
            at,
            "`[pack]` stands in an included file, expected in the main file only",
        );
    }
    table.finish();
    pack
}

fn read_pack(table: &Table<'_>) -> Option<RawPack> {
    match table.get("pack") {
        None => {
            table.notes.add(
                table.at,
                "the file has no `[pack]`, expected `name` and `version` there",
            );
            None
        }
        Some(v) if !matches!(v.toml, DeValue::Table(_)) => table.wrong(v, "a table (`[pack]`)"),
        Some(v) => table.as_table(v, "[pack]").map(RawPack::read),
    }
}

impl Declared {
    fn read(&mut self, table: &Table<'_>, base: &Path) {
        let components = table.tables("component");
        self.components
            .extend(components.into_iter().filter_map(|t| RawComponent::read(t, base)));
        self.services
            .extend(table.tables("service").into_iter().filter_map(RawService::read));
        self.migrations
            .extend(table.tables("migration").into_iter().filter_map(RawMigration::read));
        let templates = table.tables("template");
        self.templates
            .extend(templates.into_iter().filter_map(|t| RawTemplate::read(t, base)));
        self.secrets
            .extend(table.tables("secret").into_iter().filter_map(declared::secret));
        self.questions
            .extend(table.tables("question").into_iter().filter_map(declared::question));
    }
}
