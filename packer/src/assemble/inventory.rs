//! Owns finding the packages inside a component for the SBOM: npm packages below `node_modules`, Python wheels by their
//! `dist-info`, Debian packages by what a bundle knows of itself. What cannot be read is left out; an SBOM names what is known.

use std::collections::BTreeSet;

use super::{purl, sbom::InnerPackage};
use crate::source::DebianPackage;

/// Longest description that is read.
pub(super) const MAX_BYTES: u64 = 4 << 20;

/// Packages found so far.
#[derive(Debug, Default)]
pub(super) struct Inventory(BTreeSet<InnerPackage>);

impl Inventory {
    /// True if the file at `path` describes a package.
    pub(super) fn wants(path: &str) -> bool {
        is_npm(path) || is_wheel(path)
    }

    /// Takes the packages of a bundle. What their licences are stands in their copyright files only.
    pub(super) fn bundled(&mut self, packages: &[DebianPackage]) {
        let inner = |package: &DebianPackage| InnerPackage {
            purl: purl::deb(&package.name, &package.version, Some(&package.architecture)),
            name: package.name.clone(),
            version: package.version.clone(),
            license: None,
        };
        self.0.extend(packages.iter().map(inner));
    }

    /// Reads one description.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) {
        let found = if is_npm(path) { npm(bytes) } else { wheel(bytes) };
        self.0.extend(found);
    }

    /// What was found, sorted, each once.
    pub(super) fn into_packages(self) -> Vec<InnerPackage> {
        self.0.into_iter().collect()
    }
}

/// `…node_modules/<name>/package.json`, with or without a scope; deeper ones describe parts of a package.
fn is_npm(path: &str) -> bool {
    let Some(dir) = path.strip_suffix("/package.json") else {
        return false;
    };
    let mut up = dir.rsplit('/');
    let (_, above) = (up.next(), up.next());
    match above {
        Some("node_modules") => true,
        Some(scope) if scope.starts_with('@') => up.next() == Some("node_modules"),
        _ => false,
    }
}

fn is_wheel(path: &str) -> bool {
    path.ends_with(".dist-info/METADATA")
}

fn npm(bytes: &[u8]) -> Option<InnerPackage> {
    let json: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let text = |key: &str| json.get(key)?.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
    let (name, version) = (text("name")?, text("version")?);
    // Old packages write `{ "type": … }`.
    let license = text("license").or_else(|| Some(json.get("license")?.get("type")?.as_str()?.to_owned()));
    Some(InnerPackage {
        purl: purl::npm(&name, &version),
        name,
        version,
        license,
    })
}

fn wheel(bytes: &[u8]) -> Option<InnerPackage> {
    let text = std::str::from_utf8(bytes).ok()?;
    let head = text.split("\n\n").next()?;
    let field = |key: &str| {
        let value = head
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix(": "))?
            .trim();
        // A whole licence text in the field names no licence.
        (!value.is_empty() && value.len() <= 100).then(|| value.to_owned())
    };
    let (name, version) = (field("Name")?, field("Version")?);
    Some(InnerPackage {
        purl: purl::pypi(&name, &version),
        name,
        version,
        license: field("License-Expression").or_else(|| field("License")),
    })
}

#[cfg(test)]
mod tests {
    use super::Inventory;

    #[test]
    fn packages_are_found_where_managers_put_them_and_nowhere_else() {
        for yes in [
            "node_modules/a/package.json",
            "lib/node_modules/@s/b/package.json",
            "a-1.dist-info/METADATA",
        ] {
            assert!(Inventory::wants(yes), "{yes}");
        }
        for no in [
            "package.json",
            "node_modules/a/esm/package.json",
            "node_modules/package.json",
            "@s/b/package.json",
            "METADATA",
        ] {
            assert!(!Inventory::wants(no), "{no}");
        }
        let mut found = Inventory::default();
        let npm = br#"{"name":"@s/b","version":"1.0.0","license":{"type":"MIT"}}"#;
        found.file("node_modules/@s/b/package.json", npm);
        found.file("x/node_modules/@s/b/package.json", npm);
        found.file("node_modules/bad/package.json", b"{");
        found.file(
            "a.dist-info/METADATA",
            b"Metadata-Version: 2.4\nName: A_b\nVersion: 2\nLicense-Expression: BSD-3-Clause\n\nName: no\n",
        );
        let found = found.into_packages();
        let shown: Vec<_> = found.iter().map(|p| (p.purl.as_str(), p.license.as_deref())).collect();
        assert_eq!(
            shown,
            [
                ("pkg:npm/%40s/b@1.0.0", Some("MIT")),
                ("pkg:pypi/a-b@2", Some("BSD-3-Clause"))
            ]
        );
    }
}
