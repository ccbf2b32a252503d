//! Owns how locked keys are opened: the passphrase comes from the environment that the program hands in, or from a person.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_signing::Signer as _;
use zeroize::Zeroizing;

use super::{KeyError, KeyFile, SecretKey};

/// The environment variable with the passphrase, for runs without a terminal.
pub const PASSPHRASE_VAR: &str = "KOJIBOX_KEY_PASSPHRASE";
/// How often a person may try.
const TRIES: u32 = 3;

/// Opens key files for one command.
#[derive(Debug)]
pub struct Unlock<'a> {
    ui: &'a Ui,
    passphrase: Option<Zeroizing<String>>,
}

/// A new key needs a passphrase.
#[derive(Debug, thiserror::Error)]
#[error("could not make a key: {0}")]
struct NeedsPassphrase(&'static str);

impl<'a> Unlock<'a> {
    /// `var` looks up the environment; the caller owns it.
    pub fn new(ui: &'a Ui, var: impl Fn(&str) -> Option<OsString>) -> Self {
        let passphrase = var(PASSPHRASE_VAR).and_then(|value| value.into_string().ok());
        let passphrase = passphrase.filter(|text| !text.is_empty()).map(Zeroizing::new);
        Self { ui, passphrase }
    }

    /// Opens one key, asking for its passphrase if it has one and the environment does not.
    pub fn open(&self, path: &Path) -> Outcome<SecretKey> {
        let file = KeyFile::read(path)?;
        if !file.is_locked() {
            self.ui.detail(&format!("Key `{}` has no passphrase.", path.display()));
            return Ok(file.open()?);
        }
        if let Some(passphrase) = &self.passphrase {
            return Ok(file.unlock(passphrase)?);
        }
        if !self.ui.is_interactive() {
            return Err(KeyError::NoPassphrase(path.to_owned()).into());
        }
        let question = format!("Passphrase of key `{}`", path.display());
        for _ in 1..TRIES {
            match file.unlock(&self.ask(&question, false)?) {
                Err(KeyError::WrongPassphrase(_)) => self.ui.note("That is not its passphrase; try again."),
                result => return Ok(result?),
            }
        }
        Ok(file.unlock(&self.ask(&question, false)?)?)
    }

    /// Opens several keys; one given twice is a mistake.
    pub fn open_all(&self, paths: &[PathBuf]) -> Outcome<Vec<SecretKey>> {
        let mut keys: Vec<SecretKey> = Vec::with_capacity(paths.len());
        for path in paths {
            let key = self.open(path)?;
            if keys.iter().any(|other| other.public_key() == key.public_key()) {
                return Err(KeyError::Twice(path.clone()).into());
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// Asks for the passphrase of keys to be made; none if `unsafe_no_password`, which is warned of each time.
    pub fn choose(&self, unsafe_no_password: bool) -> Outcome<Option<Zeroizing<String>>> {
        if unsafe_no_password {
            self.ui
                .warn("the key files have no passphrase; whoever reads them can sign in your name.");
            return Ok(None);
        }
        if let Some(passphrase) = &self.passphrase {
            return Ok(Some(passphrase.clone()));
        }
        if !self.ui.is_interactive() {
            let error = NeedsPassphrase("it needs a passphrase, and there is no terminal to ask on");
            let hint = format!("set the environment variable `{PASSPHRASE_VAR}`, or pass `--unsafe-no-password`");
            return Err(Report::new(Exit::Usage, error).hint(hint));
        }
        let passphrase = self.ask("Passphrase for the new key files", true)?;
        if passphrase.is_empty() {
            let error = NeedsPassphrase("the passphrase is empty");
            return Err(Report::new(Exit::Usage, error).hint("pass `--unsafe-no-password` if that is what you mean"));
        }
        Ok(Some(passphrase))
    }

    fn ask(&self, question: &str, confirm: bool) -> Outcome<Zeroizing<String>> {
        self.ui.password(question, PASSPHRASE_VAR, confirm).map(Zeroizing::new)
    }
}
