//! Owns [`Failure`]: what went wrong, told so that nobody needs to run it again to see it.

use std::{error::Error, fmt};

/// An expectation that did not hold, or something that the harness could not do.
pub struct Failure {
    what: String,
    transcript: String,
}

/// What the harness and its tests give back.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// Fails with one line.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            transcript: String::new(),
        }
    }

    /// Adds what was run and said.
    #[must_use]
    pub fn with(mut self, transcript: &str) -> Self {
        if !self.transcript.is_empty() {
            self.transcript.push('\n');
        }
        self.transcript.push_str(transcript);
        self
    }

    /// Says where it happened.
    #[must_use]
    pub fn at(mut self, place: &str) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// For `map_err`: the error with what was tried.
    pub fn doing<E: Error>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| {
            let mut lines = format!("{what}\n  caused by: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                lines.push_str("\n  caused by: ");
                lines.push_str(&cause.to_string());
                source = cause.source();
            }
            Self::new(lines)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.transcript.is_empty() {
            write!(f, "\n{}", self.transcript)?;
        }
        Ok(())
    }
}

/// A test that returns a failure shows it this way.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        fmt::Display::fmt(self, f)
    }
}

impl Error for Failure {}

/// Fails unless `holds`; `why` is asked only then.
pub fn ensure(holds: bool, why: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(Failure::new(why())) }
}
