//! Owns the fields of a line: each value in its one form.

use kojibox_signing::Digest;

use super::LineError;
use crate::path::PackPath;

/// The fields of one line, taken from left to right.
pub(super) struct Fields<'a>(std::str::Split<'a, char>);

impl<'a> Fields<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        Self(line.split('\t'))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, LineError> {
        self.0.next().ok_or(LineError::Expected("more fields"))
    }

    pub(super) fn number(&mut self) -> Result<u64, LineError> {
        let text = self.text()?;
        let err = || LineError::Number(text.to_owned());
        let shortest = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
        if shortest {
            text.parse().map_err(|_| err())
        } else {
            Err(err())
        }
    }

    pub(super) fn digest(&mut self) -> Result<Digest, LineError> {
        Ok(self.text()?.parse()?)
    }

    pub(super) fn path(&mut self) -> Result<PackPath, LineError> {
        Ok(PackPath::new(self.text()?)?)
    }

    pub(super) fn mode(&mut self, allowed: &[u32]) -> Result<u32, LineError> {
        let text = self.text()?;
        let found = allowed.iter().find(|mode| format!("{mode:04o}") == text);
        found.copied().ok_or_else(|| LineError::Mode(text.to_owned()))
    }

    pub(super) fn end(&mut self) -> Result<(), LineError> {
        match self.0.next() {
            None => Ok(()),
            Some(_) => Err(LineError::Expected("fewer fields")),
        }
    }
}

/// A number that follows from what came before.
pub(super) fn follows(what: &'static str, got: u64, expected: u64) -> Result<u64, LineError> {
    if got == expected {
        Ok(got)
    } else {
        Err(LineError::Follows { what, got, expected })
    }
}

/// A number with limits.
pub(super) fn range(what: &'static str, got: u64, least: u64, most: u64) -> Result<u64, LineError> {
    if (least..=most).contains(&got) {
        Ok(got)
    } else {
        Err(LineError::Range { what, got, least, most })
    }
}
