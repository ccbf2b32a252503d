//! Owns the data directories of services: made once, moved between formats without touching the old one.
//!
//! `data/<service>/<format>/` is one format's data, `<format>.init/` the same while it is made or moved (whatever is in it
//! is dropped at the next start), `active.json` says which format is used, by which generation, and what it was made
//! from. A generation that wants the format the active one was made from gets that directory back as it was; the newer
//! data stays beside it. A move that is made again puts the data of the earlier one aside as `<format>.aside-<n>`.
//!
//! Crash: until the rename of `<format>.init` nothing counts; until `active.json` is replaced the old format is active.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use kojibox_packs::manifest::Migration;
use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError, failed},
    platform,
};

const SCHEMA: &str = "kojibox.active/1";

/// `data/<service>/active.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Active {
    schema: String,
    /// Directory that is used.
    format: String,
    /// Generation that used it last.
    generation: u64,
    /// Format it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
}

/// The data of a service cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(
        "the data has format `{have}`, this version needs `{want}`, and the pack says no way from one to the other"
    )]
    NoWay { have: String, want: String },
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
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
        let reserved = want.starts_with('.') || want == "active.json" || want.contains(".init");
        if want.is_empty() || reserved || !want.chars().all(plain) {
            return Err(DataError::Name(want.to_owned()));
        }
        let active: Option<Active> = files::read_json(&base.join("active.json"))?;
        let there = base.join(want).is_dir();
        let work = match &active {
            None if there => Work::Use,
            None => Work::Make,
            Some(a) if a.format == want && there => Work::Use,
            Some(a) if a.format == want => Work::Make,
            // The way back: what the active data was made from.
            Some(a) if a.from.as_deref() == Some(want) && there => Work::Use,
            Some(a) => match migrations.iter().find(|m| m.from == a.format && m.to == want) {
                Some(migration) => Work::Move {
                    from: base.join(&a.format),
                    generation: a.generation,
                    migration: migration.clone(),
                },
                None if there => Work::Use,
                None => {
                    return Err(DataError::NoWay {
                        have: a.format.clone(),
                        want: want.to_owned(),
                    });
                }
            },
        };
        Ok(Self {
            base: base.to_owned(),
            want: want.to_owned(),
            generation,
            active,
            work,
        })
    }

    /// The directory that will be used.
    pub(crate) fn dir(&self) -> PathBuf {
        self.base.join(&self.want)
    }

    /// The same while it is made.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.base.join(format!("{}.init", self.want))
    }

    /// Makes an empty unfinished directory, whatever an interrupted attempt left; with a copy of the old data if the
    /// migration works in place, so that the old directory itself is never touched.
    pub(crate) fn begin(&self) -> Result<(), DataError> {
        files::make_dir(&self.base)?;
        let unfinished = self.unfinished();
        match fs::remove_dir_all(&unfinished) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(failed("remove", &unfinished))?,
        }
        platform::make_private_dir(&unfinished).map_err(failed("create", &unfinished))?;
        if let Work::Move { from, migration, .. } = &self.work
            && migration.in_place
        {
            copy_tree(from, &unfinished)?;
        }
        Ok(())
    }

    /// Publishes what was made: durable contents, then the name, then which one is active.
    pub(crate) fn finish(&self) -> Result<(), DataError> {
        if self.work != Work::Use {
            let (unfinished, dir) = (self.unfinished(), self.dir());
            if dir.exists() {
                let aside = self.aside();
                fs::rename(&dir, &aside).map_err(failed("put aside", &dir))?;
            }
            platform::sync_tree(&unfinished).map_err(failed("sync", &unfinished))?;
            fs::rename(&unfinished, &dir).map_err(failed("publish", &unfinished))?;
            platform::sync_dir(&self.base).map_err(failed("sync", &self.base))?;
        }
        let from = match (&self.work, &self.active) {
            (Work::Move { migration, .. }, _) => Some(migration.from.clone()),
            (_, Some(a)) if a.format == self.want => a.from.clone(),
            _ => None,
        };
        let active = Active {
            schema: SCHEMA.to_owned(),
            format: self.want.clone(),
            generation: self.generation,
            from,
        };
        if self.active.as_ref() != Some(&active) {
            files::write_json(&self.base.join("active.json"), &active)?;
        }
        Ok(())
    }

    /// A free name for data that an earlier attempt had made.
    fn aside(&self) -> PathBuf {
        let name = |n: u32| self.base.join(format!("{}.aside-{n}", self.want));
        let mut number = 1;
        while name(number).exists() {
            number += 1;
        }
        name(number)
    }
}

/// Copies a directory with everything in it; links stay links.
fn copy_tree(from: &Path, to: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(from).map_err(failed("list", from))? {
        let entry = entry.map_err(failed("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed("look at", &source))?;
        if kind.is_dir() {
            platform::make_private_dir(&target).map_err(failed("create", &target))?;
            copy_tree(&source, &target)?;
        } else if kind.is_symlink() {
            platform::copy_link(&source, &target).map_err(failed("copy", &source))?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(failed("copy", &source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use kojibox_packs::manifest::Migration;

    use super::{Data, DataError, Work};

    fn forward(in_place: bool) -> Vec<Migration> {
        vec![Migration {
            service: "db".to_owned(),
            from: "1".to_owned(),
            to: "2".to_owned(),
            command: vec!["move".to_owned()],
            in_place,
        }]
    }

    fn make(base: &Path, format: &str, content: &str) {
        let data = Data::plan(base, format, 1, &[]).unwrap();
        assert_eq!(data.work, Work::Make);
        data.begin().unwrap();
        fs::write(data.unfinished().join("rows"), content).unwrap();
        data.finish().unwrap();
    }

    fn go_to_2(base: &Path, content: &str) {
        let data = Data::plan(base, "2", 2, &forward(false)).unwrap();
        assert!(matches!(data.work, Work::Move { .. }));
        data.begin().unwrap();
        fs::write(data.unfinished().join("rows"), content).unwrap();
        data.finish().unwrap();
    }

    fn rows(base: &Path, format: &str) -> String {
        fs::read_to_string(base.join(format).join("rows")).unwrap()
    }

    #[test]
    fn there_and_back_and_there_again_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("db");
        make(&base, "1", "old");
        go_to_2(&base, "new");
        assert_eq!((rows(&base, "1"), rows(&base, "2")), ("old".into(), "new".into()));

        let back = Data::plan(&base, "1", 1, &[]).unwrap();
        assert_eq!(back.work, Work::Use);
        back.finish().unwrap();
        fs::write(base.join("1/rows"), "old and more").unwrap();

        go_to_2(&base, "newer");
        assert_eq!(rows(&base, "2"), "newer");
        assert_eq!(rows(&base, "2.aside-1"), "new");
        assert_eq!(rows(&base, "1"), "old and more");
    }

    #[test]
    fn a_kill_in_the_middle_starts_over() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("db");
        make(&base, "1", "old");
        let data = Data::plan(&base, "2", 2, &forward(true)).unwrap();
        data.begin().unwrap();
        assert_eq!(
            fs::read_to_string(data.unfinished().join("rows")).unwrap(),
            "old",
            "it works on a copy"
        );
        fs::write(data.unfinished().join("rows"), "half").unwrap();
        fs::write(data.unfinished().join("litter"), "half").unwrap();

        let again = Data::plan(&base, "2", 2, &forward(true)).unwrap();
        assert!(matches!(again.work, Work::Move { .. }));
        again.begin().unwrap();
        assert_eq!(fs::read_to_string(again.unfinished().join("rows")).unwrap(), "old");
        assert!(!again.unfinished().join("litter").exists());
        assert_eq!(rows(&base, "1"), "old");
    }

    #[test]
    fn without_a_way_it_says_so_and_touches_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("db");
        make(&base, "1", "old");
        assert!(matches!(
            Data::plan(&base, "3", 2, &forward(false)),
            Err(DataError::NoWay { .. })
        ));
        assert!(matches!(Data::plan(&base, "../x", 2, &[]), Err(DataError::Name(_))));
    }
}
