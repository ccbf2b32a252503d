//! Owns the way from verified bytes to a [`Manifest`], and the one form that is ever signed.

use std::{fmt, ops::RangeInclusive};

use kojibox_signing::Document;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{DataFile, Manifest};
use crate::{Kind, limits};

/// What the key `schema` starts with.
const SCHEMA: &str = "kojibox.pack/";
/// Major version that is read and written.
const MAJOR: u32 = 1;
/// Minor version that is written; later ones are read where they allow it.
pub const MINOR: u32 = 0;
/// Minor versions whose every key is known here, so that their bytes have one form.
const KNOWN: RangeInclusive<u32> = 0..=MINOR;
/// Bytes of the longest string.
const MAX_TEXT: usize = 16 << 10;

/// The value of `schema` in the manifests that this version writes.
pub fn schema() -> String {
    format!("{SCHEMA}{MAJOR}.{MINOR}")
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No JSON, or not of this shape.
    #[error("it is no manifest")]
    Json(#[from] serde_json::Error),
    /// Another kind of document.
    #[error("schema `{}` is not `kojibox.pack/<major>.<minor>`", crate::path::shorten(.0))]
    Schema(String),
    /// Of a later version of the format.
    #[error(
        "schema `{schema}` asks for a reader of version {MAJOR}.{readable_since} or later, this is {MAJOR}.{MINOR}"
    )]
    TooNew {
        /// As stated.
        schema: String,
        /// Lowest minor version that may read it.
        readable_since: u32,
    },
    /// The same content in other bytes.
    #[error("it is not in canonical form: byte {offset} differs")]
    NotCanonical {
        /// The first byte that differs.
        offset: usize,
    },
    /// A value that the format does not have.
    #[error("`{at}` {rule}")]
    Rule {
        /// Where, as `components[2].blob.name`.
        at: String,
        /// What it should be.
        rule: String,
    },
}

impl ManifestError {
    /// What scripts see.
    pub fn kind(&self) -> Kind {
        match self {
            Self::TooNew { .. } => Kind::TooNew,
            _ => Kind::Malformed,
        }
    }
}

impl Document for Manifest {
    type Error = ManifestError;

    const MAX_BYTES: usize = limits::MANIFEST;

    fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let Strict = serde_json::from_slice(bytes)?;
        let head: Head = serde_json::from_slice(bytes)?;
        let minor = head.minor()?;
        let manifest: Self = serde_json::from_slice(bytes)?;
        if KNOWN.contains(&minor) {
            canonical(bytes, &manifest.to_canonical_json())?;
        }
        manifest.check_limits()?;
        Ok(manifest)
    }
}

impl Manifest {
    /// The documents beside the manifest, in the order of the format.
    pub fn documents(&self) -> [&DataFile; 3] {
        [&self.sums, &self.sbom, &self.provenance]
    }

    /// The bytes that are signed: keys in the order of the types, two spaces of indent, a line break at the end.
    pub fn to_canonical_json(&self) -> Vec<u8> {
        let mut out = serde_json::to_vec_pretty(self).expect("every value of a manifest has a JSON form");
        out.push(b'\n');
        out
    }
}

fn canonical(got: &[u8], expected: &[u8]) -> Result<(), ManifestError> {
    if got == expected {
        return Ok(());
    }
    let same = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
    Err(ManifestError::NotCanonical { offset: same })
}

/// What decides whether the rest may be read.
#[derive(Deserialize)]
struct Head {
    schema: String,
    #[serde(default)]
    readable_since: u32,
}

impl Head {
    /// The minor version, if this program may read it.
    fn minor(self) -> Result<u32, ManifestError> {
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| n.to_string() == text);
        let version = self.schema.strip_prefix(SCHEMA).and_then(|v| v.split_once('.'));
        let Some((major, minor)) = version.and_then(|(major, minor)| Some((number(major)?, number(minor)?))) else {
            return Err(ManifestError::Schema(self.schema));
        };
        if major < MAJOR {
            return Err(ManifestError::Schema(self.schema));
        }
        if major > MAJOR || (minor > MINOR && self.readable_since > MINOR) {
            return Err(ManifestError::TooNew {
                schema: self.schema,
                readable_since: self.readable_since,
            });
        }
        Ok(minor)
    }
}

/// Any JSON that no two readers could read differently: no key twice, no fractions, no huge strings.
#[derive(Clone, Copy)]
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without fractions")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self, E> {
        if text.len() > MAX_TEXT {
            return Err(E::custom(format_args!(
                "a text of {} bytes, at most {MAX_TEXT} bytes are read",
                text.len()
            )));
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while let Some(Self) = seq.next_element()? {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = std::collections::HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self.visit_str(&key)?;
            if keys.contains(&key) {
                map.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(format_args!(
                    "key `{}` comes twice",
                    key.escape_debug()
                )));
            }
            keys.insert(key);
            let Self = map.next_value()?;
        }
        Ok(self)
    }
}
