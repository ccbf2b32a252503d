//! Owns the order of a build: everything that can fail early comes first, the manifest of each pack last.

use std::path::{Path, PathBuf};

use kojibox_console::{Exit, Outcome, Phase, Report, Ui};

use super::{
    Args, sign,
    told::{Summary, Told},
};
use crate::{
    assemble::{Issued, Job, Made, Order, Publisher},
    cache::Cache,
    commands::sources::{self, Shown},
    definition::ResolvedPack,
    depot::Claim,
    interrupt,
    lock::{Lock, LockError},
    source::{self, FetchEnv, SourceError},
    tools::{Program, Tools},
};

/// What all packs of one build share.
struct Build<'a> {
    args: &'a Args,
    ui: &'a Ui,
    cache: Cache,
    env: FetchEnv,
    publisher: Publisher,
    lock: Lock,
    lock_path: PathBuf,
}

/// Builds every pack that was asked for.
pub(super) fn run(args: &Args, ui: &Ui) -> Outcome<()> {
    let definition = sources::load(ui, &args.stack)?;
    let mut packs = Vec::new();
    for target in sources::targets(&definition, &args.target) {
        packs.push(sources::resolve(ui, &args.stack, &definition, &target)?);
    }
    let publisher = sign::publisher(args, ui)?;
    let launchers = launchers(args, &packs)?;
    let lock_path = Lock::path_for(&args.stack);
    let mut build = Build {
        args,
        ui,
        cache: args.sources.cache()?,
        env: args.sources.env(),
        publisher,
        lock: open_lock(args, &lock_path)?,
        lock_path,
    };
    build.pin(&packs)?;
    let _claim = Claim::take(&args.depot)?;
    let mut told = Told::new(ui);
    for (pack, launcher) in packs.iter().zip(launchers) {
        build.one(pack, launcher, &mut told)?;
    }
    told.finish(&args.depot, &build.lock_path);
    Ok(())
}

/// The launcher of each pack; packs with services need one.
fn launchers(args: &Args, packs: &[ResolvedPack]) -> Outcome<Vec<Option<PathBuf>>> {
    let tools = Tools::new(match &args.tools {
        Some(dir) => dir.clone(),
        None => own_folder()?,
    });
    let find = |pack: &ResolvedPack| {
        if args.without_launcher || pack.services.is_empty() {
            return Ok(None);
        }
        tools.find(Program::Launcher, pack.target).map(Some)
    };
    let found = packs.iter().map(find).collect::<Result<_, _>>();
    found.map_err(|error| {
        let possible = packs.iter().filter(|pack| find(pack).is_ok());
        let targets: Vec<_> = possible.map(|pack| format!("--target {}", pack.target)).collect();
        let fewer = if targets.is_empty() {
            String::new()
        } else {
            format!("build without it: `{}`, ", targets.join(" "))
        };
        let hint = format!("{fewer}name a folder that has it with `--tools DIR`, or pass `--without-launcher`");
        Report::new(Exit::Usage, error).hint(hint)
    })
}

/// The folder of this program.
pub(crate) fn own_folder() -> Outcome<PathBuf> {
    let fail = |error| Report::new(Exit::FileSystem, error).hint("name a folder with `--tools DIR`");
    let program = std::env::current_exe().map_err(fail)?;
    Ok(program.parent().unwrap_or(Path::new(".")).to_owned())
}

fn open_lock(args: &Args, path: &Path) -> Outcome<Lock> {
    match Lock::load(path).map_err(SourceError::from)? {
        Some(lock) => Ok(lock),
        None if args.locked => Err(SourceError::from(LockError::Absent { path: path.to_owned() }).into()),
        None => Ok(Lock::new(&sources::now())),
    }
}

impl Build<'_> {
    /// Holds the lock against the definition, or brings it up to date.
    fn pin(&mut self, packs: &[ResolvedPack]) -> Outcome<()> {
        if self.args.locked {
            for pack in packs {
                for component in &pack.components {
                    self.lock.require(component, &pack.target).map_err(SourceError::from)?;
                }
            }
            return Ok(());
        }
        let pinned = sources::pin(self.ui, packs, &mut self.lock, &self.cache, &self.env, false)?;
        if pinned.changed {
            self.lock.issued = sources::now();
            // Before the build: a repeated one has the same time then.
            self.lock.save(&self.lock_path).map_err(SourceError::from)?;
        }
        Ok(())
    }

    /// Builds, compares and publishes one pack.
    fn one(&mut self, pack: &ResolvedPack, launcher: Option<PathBuf>, told: &mut Told<'_>) -> Outcome<()> {
        let made = self.make(
            pack,
            launcher.clone(),
            Some(&self.args.depot),
            self.args.threads(),
            "packing",
        )?;
        if self.args.locked {
            made.compare_with_lock(&self.lock, pack.target, &self.cache)?;
        }
        if self.args.check {
            let second = self.make(pack, launcher, None, self.args.threads() + 1, "packing again")?;
            made.compare(&second)?;
            self.ui
                .status(&format!("Two builds of {} gave the same bytes.", name(pack)));
        }
        let recorded = made
            .record(&mut self.lock, pack.target, &self.cache)
            .map_err(SourceError::from)?;
        if recorded && !self.args.locked {
            self.lock.save(&self.lock_path).map_err(SourceError::from)?;
        }
        let summary = Summary::of(&made);
        let published = made.publish(&self.args.depot, &self.publisher)?;
        told.pack(&summary, &published);
        Ok(())
    }

    fn make(
        &self,
        pack: &ResolvedPack,
        launcher: Option<PathBuf>,
        depot: Option<&Path>,
        threads: usize,
        verb: &str,
    ) -> Outcome<Made> {
        // Read until the blobs are written.
        let scratch = self.cache.scratch().map_err(SourceError::from)?;
        let mut trees = Vec::new();
        for component in &pack.components {
            if interrupt::asked() {
                return Err(interrupt::report());
            }
            let entry = self.lock.require(component, &pack.target).map_err(SourceError::from)?;
            let shown = Shown::new(self.ui);
            let tree = source::prepare(
                component,
                &pack.target,
                entry,
                &self.cache,
                scratch.path(),
                &self.env,
                &shown,
            )?;
            shown.finish();
            for note in &tree.notes {
                self.ui.detail(&format!("{}: {note}", component.id));
            }
            trees.push(tree);
        }
        let order = Order {
            pack,
            issued: self.issued(pack)?,
            publisher: &self.publisher.chain,
            launcher,
            effort: self.args.effort(),
            threads,
        };
        let job = Job::new(order, trees)?;
        let phase = self.ui.bytes(&format!("{verb} {}", name(pack)), Some(job.size()));
        let made = job.make(depot, &Watch(&phase))?;
        phase.finish("");
        Ok(made)
    }

    /// From the definition if it says so, else from the lock.
    fn issued(&self, pack: &ResolvedPack) -> Outcome<Issued> {
        let fail = |text: &str| Report::new(Exit::Usage, format!("`{text}` is no time that a pack can be issued at"));
        let time = match pack.pack.source_date_epoch {
            Some(epoch) => {
                let epoch = i64::try_from(epoch)
                    .ok()
                    .and_then(|e| jiff::Timestamp::from_second(e).ok());
                epoch.ok_or_else(|| fail("source_date_epoch"))?
            }
            None => self.lock.issued.parse().map_err(|_| fail(&self.lock.issued))?,
        };
        let epoch = u64::try_from(time.as_second()).map_err(|_| fail(&time.to_string()))?;
        Ok(Issued {
            text: time.to_string(),
            epoch,
        })
    }
}

fn name(pack: &ResolvedPack) -> String {
    format!("{} {} for {}", pack.pack.name, pack.pack.version, pack.target)
}

/// Tells a phase how many bytes were read.
pub(crate) struct Watch<'a>(pub(crate) &'a Phase);

impl kojibox_packs::Progress for Watch<'_> {
    fn add(&self, bytes: u64) {
        self.0.add(bytes);
    }
}
