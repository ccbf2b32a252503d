//! Owns the environment of package clients.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

/// Variables that are ours begin with this; one of them holds the passphrase of signing keys.
const OURS: &[u8] = b"KOJIBOX_";

/// The environment that package clients get: what the person's own shell has, without variables that are ours.
///
/// Clients run what others wrote (plugins, `cargo install` even build scripts), and our variables are none of their business:
/// `KOJIBOX_KEY_PASSPHRASE` opens the signing keys. There is no way to put such a variable in.
#[derive(Clone, Debug, Default)]
pub struct ClientVars(BTreeMap<OsString, OsString>);

impl ClientVars {
    /// Sets a variable, unless it is one of ours.
    pub fn insert(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let name = name.into();
        if !is_ours(&name) {
            self.0.insert(name, value.into());
        }
    }

    /// Every variable.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&OsString, &OsString)> {
        self.0.iter()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }
}

impl FromIterator<(OsString, OsString)> for ClientVars {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(vars: I) -> Self {
        let mut all = Self::default();
        for (name, value) in vars {
            all.insert(name, value);
        }
        all
    }
}

/// Case does not count: on Windows it does not tell variables apart.
fn is_ours(name: &OsStr) -> bool {
    let start = name.as_encoded_bytes().get(..OURS.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}
