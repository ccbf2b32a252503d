//! Owns `data/<service>/use.json`: whether a service runs on its data, and how it left it the last time.
//!
//! The shim writes it, because the shim sees every end: before the program is started it says `in-use`, when nothing of
//! the service is left it says `clean` or `unclean`. Who finds `in-use` while nothing runs knows that the machine or the
//! shim went down in the middle. Data that was not left cleanly is not moved to another format: only the version that
//! wrote it knows how to repair it.
//!
//! *Limitations*: a program that ends by itself with any exit code counts as one that knew what it did.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    files::{self, FileError},
    machine::Status,
    platform,
};

const SCHEMA: &str = "kojibox.use/1";
const FILE: &str = "use.json";

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    schema: String,
    /// Directory it is about.
    pub(crate) format: String,
    /// Generation whose program used it.
    pub(crate) generation: u64,
    pub(crate) state: Left,
    /// What was not as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// How data is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Left {
    /// A program works on it.
    InUse,
    /// The program ended by itself or by its stop recipe.
    Clean,
    /// It did not.
    Unclean,
}

/// How a program ended, as its shim saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) status: Status,
    /// It was killed because its recipe was over or a person wanted it.
    pub(crate) killed: bool,
    /// It had been ready.
    pub(crate) was_ready: bool,
}

/// The mark of one service's data, and what to write into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    base: PathBuf,
    format: String,
    generation: u64,
}

impl Marker {
    /// The mark in `base`, for a program of `generation` that uses `format`.
    pub(crate) fn new(base: &Path, format: &str, generation: u64) -> Self {
        Self {
            base: base.to_owned(),
            format: format.to_owned(),
            generation,
        }
    }

    /// Says that a program is about to work on the data; gives what was said before. Durable when it returns.
    pub(crate) fn begin(&self) -> Result<Option<Mark>, FileError> {
        let before = Mark::read(&self.base)?;
        if let Err(error) = self.write(Left::InUse, None) {
            // It may be there nevertheless, and not durable.
            drop(self.take_back(before.as_ref()));
            return Err(error);
        }
        Ok(before)
    }

    /// Nothing was started after all.
    pub(crate) fn take_back(&self, before: Option<&Mark>) -> Result<(), FileError> {
        match before {
            Some(mark) => files::write_json(&self.base.join(FILE), mark),
            None => files::remove_file(&self.base.join(FILE)),
        }
    }

    /// Says how the program left the data; `before` is what [`Marker::begin`] gave.
    pub(crate) fn end(&self, before: Option<&Mark>, end: End) -> Result<(), FileError> {
        let earlier = before.and_then(|m| m.complaint(&self.format));
        let why = match (end.complaint(), earlier) {
            (Some(why), _) => Some(why),
            // Only a program that could serve has repaired what an earlier one left.
            (None, Some(why)) if !end.was_ready => Some(why),
            (None, _) => None,
        };
        let left = if why.is_none() { Left::Clean } else { Left::Unclean };
        self.write(left, why)
    }

    fn write(&self, state: Left, why: Option<String>) -> Result<(), FileError> {
        let mark = Mark {
            schema: SCHEMA.to_owned(),
            format: self.format.clone(),
            generation: self.generation,
            state,
            why,
        };
        files::write_json(&self.base.join(FILE), &mark)
    }
}

impl Mark {
    /// Reads the mark in `base`; absent is `None`.
    pub(crate) fn read(base: &Path) -> Result<Option<Self>, FileError> {
        files::read_json(&base.join(FILE))
    }

    /// What is wrong with the data of `format`, if nothing runs; nothing is known about other formats.
    pub(crate) fn complaint(&self, format: &str) -> Option<String> {
        if self.format != format {
            return None;
        }
        match self.state {
            Left::Clean => None,
            Left::Unclean => Some(
                self.why
                    .clone()
                    .unwrap_or_else(|| "it did not end as it should".to_owned()),
            ),
            Left::InUse => Some("it ran when the machine, or the process that watched it, went down".to_owned()),
        }
    }
}

impl End {
    fn complaint(self) -> Option<String> {
        match self.status {
            _ if self.killed => Some("its stop recipe did not end it, and it was killed".to_owned()),
            Status::Code(_) => None,
            Status::Signal(signal) if platform::is_gentle(signal) => None,
            Status::Signal(signal) => Some(format!("it was ended by signal {signal}")),
            Status::Unknown => Some("nobody saw how it ended".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Left, Mark, Marker};
    use crate::machine::Status;

    fn ended(status: Status) -> End {
        End {
            status,
            killed: false,
            was_ready: false,
        }
    }

    fn state(base: &std::path::Path) -> Left {
        Mark::read(base).unwrap().unwrap().state
    }

    #[test]
    fn a_killed_or_crashed_program_leaves_the_data_unclean_until_one_that_serves_has_ended_well() {
        let dir = tempfile::tempdir().unwrap();
        let marker = Marker::new(dir.path(), "1", 4);
        let before = marker.begin().unwrap();
        assert_eq!((before.clone(), state(dir.path())), (None, Left::InUse));
        let killed = End {
            killed: true,
            ..ended(Status::Signal(15))
        };
        marker.end(before.as_ref(), killed).unwrap();
        assert_eq!(state(dir.path()), Left::Unclean);

        let before = marker.begin().unwrap();
        marker.end(before.as_ref(), ended(Status::Code(1))).unwrap();
        assert_eq!(state(dir.path()), Left::Unclean, "it never served");

        let before = marker.begin().unwrap();
        let served = End {
            was_ready: true,
            ..ended(Status::Code(0))
        };
        marker.end(before.as_ref(), served).unwrap();
        assert_eq!(state(dir.path()), Left::Clean);

        let before = marker.begin().unwrap();
        marker.end(before.as_ref(), ended(Status::Signal(11))).unwrap();
        let mark = Mark::read(dir.path()).unwrap().unwrap();
        assert_eq!(mark.complaint("1").unwrap(), "it was ended by signal 11");
        assert_eq!(mark.complaint("2"), None, "nothing is known about other data");
    }

    #[test]
    fn what_was_not_started_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let marker = Marker::new(dir.path(), "1", 4);
        let before = marker.begin().unwrap();
        marker.take_back(before.as_ref()).unwrap();
        assert_eq!(Mark::read(dir.path()).unwrap(), None);
        marker.end(None, ended(Status::Signal(15))).unwrap();
        let before = marker.begin().unwrap();
        marker.take_back(before.as_ref()).unwrap();
        assert_eq!(state(dir.path()), Left::Clean);
    }
}
