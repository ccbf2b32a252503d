//! Owns reading `signature` of a download: who must have signed it, and where the detached signature is.

use super::{mistake::Located, names, reader::Table, resolved::Signature, source::Filler};
use crate::upstream::SignedBy;

/// Keys that somebody would try for `OpenPGP`.
const OPENPGP: [&str; 3] = ["gpg", "openpgp", "pgp"];

/// A signature as written.
#[derive(Clone, Debug)]
pub(super) struct RawSignature {
    url: Option<Located<String>>,
    by: SignedBy,
}

impl RawSignature {
    pub(super) fn read(source: &Table<'_>) -> Option<Self> {
        let v = source.get("signature")?;
        if !matches!(v.toml, toml::de::DeValue::Table(_)) {
            return source.wrong(v, "a table with `minisign`, or with `ssh` and `namespace`");
        }
        let table = source.as_table(v, "`signature`")?;
        let url = table.text("url");
        let by = read_by(&table);
        table.finish();
        Some(Self { url, by: by? })
    }

    /// The address, where it is written.
    pub(super) fn url(&self) -> Option<&Located<String>> {
        self.url.as_ref()
    }

    /// What is asked of the download at `first`.
    pub(super) fn resolve(&self, filler: &Filler<'_>, first: &str) -> Option<Signature> {
        let url = match &self.url {
            Some(written) => {
                let url = filler.fill(written)?;
                if let Err(message) = names::address(&url) {
                    filler.notes.add(written.at, message);
                    return None;
                }
                url
            }
            None => format!("{first}{}", self.by.suffix()),
        };
        Some(Signature {
            url,
            by: self.by.clone(),
        })
    }
}

fn read_by(table: &Table<'_>) -> Option<SignedBy> {
    let (minisign, ssh, namespace) = (table.text("minisign"), table.text("ssh"), table.text("namespace"));
    for key in OPENPGP {
        if table.values().iter().any(|v| v.key == key)
            && let Some(v) = table.get(key)
        {
            let message = "OpenPGP signatures are not read; take `minisign` or `ssh`, or pin the bytes with `sha256`";
            table.notes.add(v.key_at, message);
            return None;
        }
    }
    let told = |at, result: Result<SignedBy, String>| match result {
        Ok(by) => Some(by),
        Err(message) => {
            table.notes.add(at, message);
            None
        }
    };
    match (minisign, ssh, namespace) {
        (Some(key), None, None) => told(
            key.at,
            SignedBy::minisign(&key.value).map_err(|e| format!("`minisign`: {e}")),
        ),
        (None, Some(key), Some(namespace)) => told(
            key.at,
            SignedBy::ssh(&key.value, &namespace.value).map_err(|e| format!("`ssh`: {e}")),
        ),
        (None, Some(key), None) => {
            let message = "`ssh` needs `namespace`, what the upstream signs for, such as `file`";
            table.notes.add(key.at, message);
            None
        }
        _ => {
            let message = "`signature` needs either `minisign`, or `ssh` and `namespace`";
            table.notes.add(table.at, message);
            None
        }
    }
}
