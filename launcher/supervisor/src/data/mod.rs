//! Owns the data directories of services: made once, moved between formats without touching the old one.
//!
//! `data/<service>/<format>/` is one format's data, `<format>.init/` the same while it is made or moved (whatever is in it
//! is dropped at the next start), `<format>.aside-<n>/` data that a way back has left behind. `active.json` says which
//! format is used, what it was made from and what lies aside; `use.json` how the service left it. A generation that wants
//! a format that the active one was made from gets that directory back as it was; what is newer is put aside and never
//! used again by itself. Data that nobody knows a way to is refused, never replaced by empty data.
//!
//! Crash: until the rename of `<format>.init` nothing counts; until `active.json` is replaced the old format is active.
//! Source: launcher/DATA.md.

mod active;
mod disk;
mod mark;
mod report;
mod snapshot;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use kojibox_packs::manifest::Migration;

pub(crate) use self::report::size;
use self::{
    active::{Active, Former, Moving, is_plain},
    disk::Point,
};
pub use self::{
    disk::point_names,
    report::{DataStatus, Kept, data_of},
};
pub(crate) use self::{
    disk::{Disk, Real},
    mark::{End, Mark, Marker},
};
use crate::files::{self, FileError};

/// Ends the name of a directory that is being made.
const UNFINISHED: &str = ".init";
/// Stands in the name of one that a way back has left behind.
const ASIDE: &str = ".aside-";

/// The data of a service cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "the data has format `{have}`, this version needs `{want}`, and the pack says no way from one to the other"
    )]
    NoWay { have: String, want: String },
    #[error("the data of format `{format}` is not in its place, `{}`", dir.display())]
    Missing { format: String, dir: PathBuf },
    #[error("the data of format `{format}` was not left cleanly, so it is not moved to format `{want}`: {why}")]
    NotClean { format: String, want: String, why: String },
    #[error(
        "the migration works on a copy of the data, and there is no room for it: {} needed, {} free",
        size(*need),
        size(*free)
    )]
    Space { need: u64, free: u64 },
    #[error("`active.json` has schema `{0}`, which this version does not read")]
    Schema(String),
    #[error("`{0}` is not the name of a data format")]
    Name(String),
}

/// What has to be done before the data can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing.
    Use,
    /// It is new.
    Make,
    /// It has an older format.
    Move {
        from: PathBuf,
        /// Generation that used it last.
        generation: u64,
        migration: Migration,
    },
    /// It was moved, and the process ended before that was written down.
    Adopt,
    /// What the active data was made from is wanted again.
    Return,
}

/// The data directories of one service.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    base: PathBuf,
    want: String,
    generation: u64,
    active: Option<Active>,
    pub(crate) work: Work,
}

impl Data {
    /// Looks at what is there and decides; changes nothing.
    pub(crate) fn plan(base: &Path, want: &str, generation: u64, migrations: &[Migration]) -> Result<Self, DataError> {
        let reserved = ["active.json", "use.json"].contains(&want) || want.contains(UNFINISHED) || want.contains(ASIDE);
        if reserved || !is_plain(want) {
            return Err(DataError::Name(want.to_owned()));
        }
        let mut data = Self {
            base: base.to_owned(),
            want: want.to_owned(),
            generation,
            active: Active::read(base)?,
            work: Work::Use,
        };
        data.work = data.decide(migrations)?;
        Ok(data)
    }

    fn decide(&self, migrations: &[Migration]) -> Result<Work, DataError> {
        let there = self.dir().is_dir();
        let Some(active) = &self.active else {
            return if there { Ok(Work::Use) } else { self.expect_empty() };
        };
        if active.uses(&self.want) {
            // An empty directory instead of one that is missing would look like lost data, and hide it.
            if !there {
                let (format, dir) = (self.want.clone(), self.dir());
                return Err(DataError::Missing { format, dir });
            }
            let is_newest = active.format == self.want;
            return Ok(if is_newest { Work::Use } else { Work::Return });
        }
        let own = |m: &Moving| m.to == self.want && m.generation == self.generation;
        let stale = active.promised(&self.base).iter().any(|(from, _)| *from == self.dir());
        if there && !stale && active.moving.as_ref().is_some_and(own) {
            return Ok(Work::Adopt);
        }
        let way = |m: &&Migration| m.from == active.format && m.to == self.want;
        let Some(migration) = migrations.iter().find(way) else {
            return Err(DataError::NoWay {
                have: active.format.clone(),
                want: self.want.clone(),
            });
        };
        self.expect_clean(active)?;
        Ok(Work::Move {
            from: self.base.join(&active.format),
            generation: active.generation,
            migration: migration.clone(),
        })
    }

    /// Data is made where there is none. Which of the directories that are there was used, nobody knows without `active.json`.
    fn expect_empty(&self) -> Result<Work, DataError> {
        for name in files::names(&self.base)?.iter().filter(|n| is_plain(n)) {
            if !name.ends_with(UNFINISHED) && self.base.join(name).is_dir() {
                return Err(DataError::NoWay {
                    have: name.split(ASIDE).next().unwrap_or_default().to_owned(),
                    want: self.want.clone(),
                });
            }
        }
        Ok(Work::Make)
    }

    /// Data can be moved only if it is there and the program that wrote it has ended as it should.
    fn expect_clean(&self, active: &Active) -> Result<(), DataError> {
        let (format, dir) = (active.format.clone(), self.base.join(&active.format));
        if !dir.is_dir() {
            return Err(DataError::Missing { format, dir });
        }
        match Mark::read(&self.base)?.and_then(|m| m.complaint(&format)) {
            None => Ok(()),
            Some(why) => Err(DataError::NotClean {
                format,
                want: self.want.clone(),
                why,
            }),
        }
    }

    /// The directory that will be used.
    pub(crate) fn dir(&self) -> PathBuf {
        self.base.join(&self.want)
    }

    /// The same while it is made.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.base.join(format!("{}{UNFINISHED}", self.want))
    }

    /// Makes an empty unfinished directory, whatever an interrupted attempt left; with a snapshot of the old data if the
    /// migration works in place, so that the old directory itself is never touched.
    pub(crate) fn begin(&self, now: &str, disk: &dyn Disk) -> Result<(), DataError> {
        self.make_base(disk)?;
        if let (Work::Move { .. }, Some(active)) = (&self.work, &self.active) {
            self.intend(active.clone(), now, disk)?;
        }
        let unfinished = self.unfinished();
        disk.remove_tree(&unfinished)?;
        disk.make_dir(&unfinished)?;
        disk.reach(Point::Begun)?;
        match &self.work {
            Work::Move { from, migration, .. } if migration.in_place => {
                if let Err(error) = snapshot::take(from, &unfinished, disk) {
                    // Half a copy helps nobody, and what it takes may be what is missing.
                    disk.remove_tree(&unfinished)?;
                    return Err(error);
                }
                disk.sync_tree(&unfinished)?;
                disk.sync_dir(&self.base)?;
                Ok(disk.reach(Point::Copied)?)
            }
            _ => Ok(()),
        }
    }

    fn make_base(&self, disk: &dyn Disk) -> Result<(), DataError> {
        if !self.base.is_dir() {
            disk.make_dir(&self.base)?;
        }
        // One that is there may have been made by a process that was killed before it could do this.
        for above in self.base.ancestors().skip(1).take(2) {
            disk.sync_dir(above)?;
        }
        Ok(())
    }

    /// Writes down what is about to be made, and clears its place of what an earlier way back left there.
    fn intend(&self, mut next: Active, now: &str, disk: &dyn Disk) -> Result<(), DataError> {
        next.moving = Some(Moving {
            to: self.want.clone(),
            generation: self.generation,
        });
        let promised = next.promised(&self.base).iter().any(|(from, _)| *from == self.dir());
        if self.dir().exists() && !promised {
            next.put_aside(&found(&self.want, 0, now), &self.base);
        }
        next.write(&self.base, disk)?;
        disk.reach(Point::Intended)?;
        self.keep_promises(&next, disk)
    }

    /// Gives what lies aside its name.
    fn keep_promises(&self, active: &Active, disk: &dyn Disk) -> Result<(), DataError> {
        let moves = active.promised(&self.base);
        for (from, to) in &moves {
            disk.rename(from, to)?;
        }
        if !moves.is_empty() {
            disk.sync_dir(&self.base)?;
            disk.reach(Point::SetAside)?;
        }
        Ok(())
    }

    /// Publishes what was made: durable contents, then the name, then which one is active.
    pub(crate) fn finish(&self, now: &str, disk: &dyn Disk) -> Result<(), DataError> {
        if matches!(self.work, Work::Make | Work::Move { .. }) {
            let unfinished = self.unfinished();
            disk.sync_tree(&unfinished)?;
            disk.reach(Point::Durable)?;
            disk.rename(&unfinished, &self.dir())?;
            disk.sync_dir(&self.base)?;
            disk.reach(Point::Published)?;
        }
        let next = self.next(now);
        if self.active.as_ref() != Some(&next) {
            next.write(&self.base, disk)?;
            disk.reach(match self.work {
                Work::Return => Point::Returned,
                _ => Point::Activated,
            })?;
        }
        self.keep_promises(&next, disk)?;
        self.drop_unfinished(disk)
    }

    /// The document once the work is done.
    fn next(&self, now: &str) -> Active {
        let Some(active) = &self.active else {
            return Active::new(&self.want, self.generation, now);
        };
        let mut next = match self.work {
            Work::Move { .. } | Work::Adopt => active.moved(&self.want, self.generation, now),
            Work::Return => active
                .returned(&self.want, self.generation, now, &self.base)
                .unwrap_or_else(|| active.clone()),
            Work::Use | Work::Make => active.clone(),
        };
        next.generation = self.generation;
        if let Some(moving) = &next.moving {
            // Another generation made this and never used it.
            let promised = next.promised(&self.base).iter().any(|(p, _)| p.ends_with(&moving.to));
            if self.base.join(&moving.to).is_dir() && !next.uses(&moving.to) && !promised {
                let left = found(&moving.to, moving.generation, now);
                next.put_aside(&left, &self.base);
            }
            next.moving = None;
        }
        // What a person has deleted is forgotten.
        let used: Vec<bool> = next.aside.iter().map(|a| next.uses(&a.format)).collect();
        let mut used = used.into_iter();
        next.aside.retain(|a| {
            let open = used.next() == Some(false) && self.base.join(&a.format).is_dir();
            open || self.base.join(&a.dir).is_dir()
        });
        next
    }

    /// Removes what interrupted or failed attempts left; it counts for nothing and may be as large as the data.
    fn drop_unfinished(&self, disk: &dyn Disk) -> Result<(), DataError> {
        for name in files::names(&self.base)?.iter().filter(|n| n.ends_with(UNFINISHED)) {
            disk.remove_tree(&self.base.join(name))?;
        }
        Ok(())
    }
}

/// Data of which nothing is known but where it lies.
fn found(format: &str, generation: u64, now: &str) -> Former {
    Former {
        format: format.to_owned(),
        generation,
        since: now.to_owned(),
        until: now.to_owned(),
    }
}
