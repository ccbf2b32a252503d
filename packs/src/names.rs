//! Owns the names of the files that packs are made of, in a depot and in a `.kpack`.
//!
//! A program opens only names that follow from a manifest, or that a listing of one folder gave; both are [`FileName`]s,
//! so no name ever holds a separator, `..` or a drive.
//!
//! Source: packs/FORMAT.md, "Depot".

use std::{fmt, ops::Deref, str::FromStr};

use kojibox_signing::Digest;

use crate::Target;

/// Bytes of the longest file name.
pub const MAX_FILE_NAME: usize = 160;
/// Bytes of the longest pack or component id.
pub const MAX_ID: usize = 40;
/// Bytes of the longest version.
pub const MAX_VERSION: usize = 40;
/// Most parts of one blob; a part number has three digits.
pub const MAX_PARTS: u32 = 999;
/// How the names of manifests end.
pub const MANIFEST: &str = ".kbx.json";
/// How the names of single-file packs end.
pub const KPACK: &str = ".kpack";
/// The one name that is not lower-case besides `SHA256SUMS`.
pub const README: &str = "README.txt";

const SUMS: &str = ".SHA256SUMS";

/// A file name of the format: `[a-z0-9._+-]`, at most 160 bytes, no leading dot or dash, no dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<str>);

/// The text is no file name of the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no file name of the format", crate::path::shorten(.0))]
pub struct NameError(String);

impl FileName {
    /// Takes a name that keeps the rules.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let stem = name.strip_suffix(SUMS).unwrap_or(name);
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'+' | b'-');
        let ok = name.len() <= MAX_FILE_NAME
            && stem.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && stem.bytes().all(allowed)
            && !name.ends_with('.')
            && !name.contains("..");
        if ok || name == README {
            Ok(Self(name.into()))
        } else {
            Err(NameError(name.into()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for FileName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for FileName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FileName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

/// True for an id of a pack, component, service …: `[a-z0-9-]`, starting with a letter or digit, at most 40 bytes.
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// True for a version: lower-case semantic version, at most 40 bytes.
pub fn is_version(text: &str) -> bool {
    text.len() <= MAX_VERSION && !text.bytes().any(|b| b.is_ascii_uppercase()) && semver::Version::parse(text).is_ok()
}

/// True for the first 16 hex digits of a digest, which name publishers, keys and blobs.
pub fn is_hex16(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// `<pack>-<version>-<target>`, which all files of a full pack start with.
pub fn stem(pack: &str, version: &str, target: Target) -> String {
    format!("{pack}-{version}-{target}")
}

/// `<pack>-<version>-<target>-from-<base version>`, which all files of a delta start with.
pub fn delta_stem(pack: &str, version: &str, target: Target, base: &str) -> String {
    format!("{pack}-{version}-{target}-from-{base}")
}

/// Manifest of a pack.
pub fn manifest(stem: &str) -> String {
    format!("{stem}{MANIFEST}")
}

/// Signature over a manifest; `keyid16` is the first 16 hex digits of the key id.
pub fn signature(manifest: &str, keyid16: &str) -> String {
    format!("{manifest}.{keyid16}.sshsig")
}

/// A site's countersignature over a manifest.
pub fn approval(manifest: &str, keyid16: &str) -> String {
    format!("{manifest}.{keyid16}.approval.sshsig")
}

/// How an error goes on about a manifest that was refused: any of its `signatures` may be the damaged file, so all are named.
pub fn signed_in(signatures: &[String]) -> String {
    match signatures {
        [] => String::new(),
        list => {
            let list: Vec<_> = list.iter().map(|file| format!("`packs/{file}`")).collect();
            format!(", signed in {}", list.join(", "))
        }
    }
}

/// List for `sha256sum -c`.
pub fn sums(stem: &str) -> String {
    format!("{stem}{SUMS}")
}

/// `CycloneDX` SBOM.
pub fn sbom(stem: &str) -> String {
    format!("{stem}.cdx.json")
}

/// Unsigned in-toto statement.
pub fn provenance(stem: &str) -> String {
    format!("{stem}.provenance.json")
}

/// `<component>-<version>-<target>-<16 hex>`, which all files of a blob start with.
pub fn blob_stem(component: &str, version: &str, target: Target, sha256: &Digest) -> String {
    format!("{component}-{version}-{target}-{}", sha256.short())
}

/// Blob, or the name that its parts are numbered after.
pub fn blob(stem: &str) -> String {
    format!("{stem}.tar.zst")
}

/// Index of a blob.
pub fn index(stem: &str) -> String {
    format!("{stem}.idx.zst")
}

/// Delta plan.
pub fn plan(stem: &str) -> String {
    format!("{stem}.dlt.zst")
}

/// Advisory list of the parts of a blob.
pub fn parts(stem: &str) -> String {
    format!("{stem}.parts")
}

/// Optional parity of a blob, below `parity/`.
pub fn parity(blob: &str) -> String {
    format!("{blob}.rs")
}

/// Part `number` (counted from 1) of a blob that is split.
pub fn part(blob: &str, number: u32) -> String {
    format!("{blob}.{number:03}")
}

/// Root document `version`, below `trust/<root16>/`.
pub fn root(version: u64) -> String {
    format!("{version}.root.json")
}

/// The installer for `target`, at the top of a depot.
pub fn installer(target: Target) -> String {
    let exe = if target.os() == Some(crate::Os::Windows) {
        ".exe"
    } else {
        ""
    };
    format!("install-{target}{exe}")
}

/// Pack in a single file.
pub fn kpack(stem: &str) -> String {
    format!("{stem}{KPACK}")
}

#[cfg(test)]
mod tests {
    use kojibox_signing::Digest;

    use super::{
        FileName, MAX_FILE_NAME, blob, blob_stem, delta_stem, is_id, is_version, manifest, part, signature, sums,
    };

    #[test]
    fn longest_names_of_every_kind_fit_and_are_valid() {
        let (id, version) = ("a".repeat(40), format!("1.0.0-{}", "b".repeat(34)));
        let target = "windows-aarch64".parse().unwrap();
        let delta = delta_stem(&id, &version, target, &version);
        let blob_name = blob(&blob_stem(&id, &version, target, &Digest::of(b"")));
        let names = [
            manifest(&delta),
            sums(&delta),
            part(&blob_name, 999),
            "_pack-1.0.0+x-any-00.idx.zst".to_owned(),
        ];
        for name in &names {
            assert!(name.len() <= MAX_FILE_NAME, "{} bytes: {name}", name.len());
            assert!(FileName::new(name).is_ok(), "{name}");
        }
        assert!(FileName::new("x-1.0.0-any.SHA256SUMS").is_ok());
        let pack_manifest = manifest(&format!("{id}-{version}-{target}"));
        assert!(FileName::new(&signature(&pack_manifest, "0011223344556677")).is_ok());
    }

    #[test]
    fn names_that_lead_elsewhere_or_are_litter_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "._a.kbx.json",
            ".DS_Store",
            "a/b",
            "a\\b",
            "c:a",
            "a..b",
            "A.kbx.json",
            "a b",
            "a\0",
            "-a",
            "a.",
            "ä",
            ".SHA256SUMS",
            "SHA256SUMS",
            "System Volume Information",
            &"a".repeat(161),
        ] {
            assert!(FileName::new(bad).is_err(), "`{bad}` must be refused");
        }
        assert!(
            is_id("node-24")
                && !is_id("Node")
                && !is_id("-a")
                && !is_id("")
                && !is_id(&"a".repeat(41))
                && !is_id("_pack")
        );
        assert!(
            is_version("1.0.0-rc.1+b")
                && !is_version("1.0")
                && !is_version("1.0.0-RC1")
                && !is_version(&format!("1.0.0-{}", "a".repeat(40)))
        );
    }
}
