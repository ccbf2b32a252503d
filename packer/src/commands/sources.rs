//! Owns what the commands over sources share: flags, the cache, progress, and how mistakes and pins are told.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    env,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use kojibox_console::{Exit, Outcome, Phase, Report, Ui, bytes};
use kojibox_packs::Target;
use serde_json::json;

use crate::{
    cache::{self, Cache},
    definition::{Definition, Mistakes, ResolvedComponent, ResolvedPack},
    lock::{Lock, LockEntry, Standing, digest_of},
    source::{self, FetchEnv, Progress, Retry},
};

/// Where downloads are kept, and whether there may be any.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct SourceArgs {
    /// Folder for downloads [default: `KOJIBOX_CACHE`, else the cache folder of this system]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
    /// Fetch nothing; what the cache lacks is an error (exit 33)
    #[arg(long)]
    pub offline: bool,
}

impl SourceArgs {
    /// The download cache that the flags, the environment or the system name.
    pub fn cache(&self) -> Outcome<Cache> {
        let dir = self
            .cache
            .clone()
            .or_else(|| cache::default_dir(|name| env::var_os(name)));
        match dir {
            Some(dir) => Ok(Cache::new(&std::path::absolute(&dir).unwrap_or(dir))),
            None => {
                Err(Report::new(Exit::Usage, "no folder for downloads is known").hint("name one with `--cache DIR`"))
            }
        }
    }

    /// What fetching may use of this machine.
    pub fn env(&self) -> FetchEnv {
        FetchEnv {
            vars: env::vars_os().collect(),
            offline: self.offline,
            retry: Retry::default(),
        }
    }
}

/// Reads a definition, telling every mistake.
pub fn load(ui: &Ui, stack: &Path) -> Outcome<Definition> {
    Definition::load(stack).map_err(|mistakes| tell(ui, stack, &mistakes))
}

/// Resolves a definition for one target, telling every mistake.
pub fn resolve(ui: &Ui, stack: &Path, definition: &Definition, target: &Target) -> Outcome<ResolvedPack> {
    definition
        .resolve(target)
        .map_err(|mistakes| tell(ui, stack, &mistakes))
}

/// Tells every mistake and gives the report that ends the program.
pub fn tell(ui: &Ui, stack: &Path, mistakes: &Mistakes) -> Report {
    if ui.is_json() {
        ui.json(&json!({ "mistakes": mistakes }));
    }
    for mistake in mistakes {
        ui.report(Report::new(Exit::Usage, mistake.clone()));
    }
    let count = match mistakes.len() {
        1 => "one mistake".to_owned(),
        n => format!("{n} mistakes"),
    };
    Report::new(Exit::Usage, format!("`{}` has {count}", stack.display()))
}

/// The targets that were asked for, or those of the definition.
pub fn targets(definition: &Definition, asked: &[Target]) -> Vec<Target> {
    let mut targets = if asked.is_empty() {
        definition.targets().to_vec()
    } else {
        asked.to_vec()
    };
    targets.sort();
    targets.dedup();
    targets
}

/// Now, as locks carry it.
pub fn now() -> String {
    let second = Timestamp::now().as_second();
    let whole = Timestamp::from_second(second).expect("the present is a valid time");
    whole.to_string()
}

/// What pinning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Entries that were resolved now.
    pub resolved: usize,
    /// Entries that were kept.
    pub kept: usize,
    /// The lock is another one than before.
    pub changed: bool,
}

/// Brings `lock` up to date for `packs`: what is pinned already stays pinned, unless `anew`.
pub fn pin(
    ui: &Ui,
    packs: &[ResolvedPack],
    lock: &mut Lock,
    cache: &Cache,
    env: &FetchEnv,
    anew: bool,
) -> Outcome<Pinned> {
    let mut pinned = Pinned::default();
    let before = lock.clone();
    let mut done = BTreeSet::new();
    for (pack, component) in packs.iter().flat_map(|p| p.components.iter().map(move |c| (p, c))) {
        let old = lock.get(&component.id, &pack.target).cloned();
        let standing = old.as_ref().map_or(Standing::Stale, |e| e.standing(&component.source));
        match (old, standing) {
            (Some(_), Standing::Fresh) if !anew => pinned.kept += 1,
            (Some(mut entry), Standing::StepsChanged) if !anew => {
                entry.definition = digest_of(&component.source);
                entry.tree_sha256 = None;
                lock.put(entry);
                pinned.kept += 1;
            }
            (old, _) => {
                if let Some(entry) =
                    sibling(lock, component, pack.target).filter(|_| !anew || done.contains(&component.id))
                {
                    lock.put(entry);
                    pinned.resolved += 1;
                    continue;
                }
                let scratch = cache.scratch().map_err(source::SourceError::from)?;
                let shown = Shown::new(ui);
                let mut entry = source::lock(component, &pack.target, cache, scratch.path(), env, &shown)?;
                shown.finish();
                // The same inputs and the same steps make the same tree.
                let same = old.filter(|o| o.inputs == entry.inputs && o.definition == entry.definition);
                entry.tree_sha256 = same.and_then(|o| o.tree_sha256);
                lock.put(entry);
                done.insert(component.id.clone());
                pinned.resolved += 1;
            }
        }
    }
    pinned.changed = *lock != before;
    Ok(pinned)
}

/// The entry of another target, where the source is the same for all of them: so one component stays one component.
fn sibling(lock: &Lock, component: &ResolvedComponent, target: Target) -> Option<LockEntry> {
    let source = &component.source;
    if !source.for_all_targets || source.origin.depends_on_target() {
        return None;
    }
    let definition = digest_of(source);
    let entry = lock
        .entries()
        .iter()
        .find(|e| e.component == component.id && e.definition == definition)?;
    Some(LockEntry {
        target: target.to_string(),
        tree_sha256: None,
        ..entry.clone()
    })
}

/// Shows downloads, one phase each.
pub struct Shown<'u> {
    ui: &'u Ui,
    /// With the words for its end; empty: what was counted.
    phase: RefCell<Option<(Phase, String)>>,
}

impl<'u> Shown<'u> {
    /// Shows on `ui`.
    pub fn new(ui: &'u Ui) -> Self {
        Self {
            ui,
            phase: RefCell::default(),
        }
    }

    /// Ends the last phase.
    pub fn finish(&self) {
        if let Some((phase, end)) = self.phase.take() {
            phase.finish(&end);
        }
    }
}

impl Progress for Shown<'_> {
    fn begin(&self, what: &str, size: Option<u64>) {
        self.finish();
        let phase = self.ui.bytes(&format!("fetching {what}"), size);
        self.phase.replace(Some((phase, String::new())));
    }

    fn add(&self, bytes: u64) {
        if let Some((phase, _)) = self.phase.borrow().as_ref() {
            phase.add(bytes);
        }
    }

    fn step(&self, what: &str) {
        self.finish();
        let phase = self.ui.count(what, None);
        self.phase.replace(Some((phase, format!("{what}: done"))));
    }

    fn note(&self, text: &str) {
        self.ui.note(text);
    }
}

/// `3 files, 12.0 MiB`.
pub fn amount(files: usize, size: u64) -> String {
    let files = if files == 1 {
        "1 file".to_owned()
    } else {
        format!("{files} files")
    };
    format!("{files}, {}", bytes(size))
}
