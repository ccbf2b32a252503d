//! Owns which targets a table speaks for (`"linux-*"`), and what `{npm_arch}` and its kin become for a target.

use kojibox_packs::Target;

/// A target, or a group of targets: `linux-x86_64`, `linux-*`, `*-aarch64`, `any`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(String);

const SYSTEMS: [&str; 3] = ["linux", "macos", "windows"];
const MACHINES: [&str; 2] = ["x86_64", "aarch64"];

impl Pattern {
    /// Every target.
    pub(super) fn all() -> Self {
        Self("*".to_owned())
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fine = match text.split_once('-') {
            None => matches!(text, "*" | "any"),
            Some((os, arch)) => {
                (os == "*" || SYSTEMS.contains(&os)) && (arch == "*" || MACHINES.contains(&arch)) && text != "*-*"
            }
        };
        if fine {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "`{text}` is no target such as `linux-x86_64`, `linux-*`, `any` or `*`"
        ))
    }

    pub(super) fn matches(&self, target: Target) -> bool {
        let target = target.to_string();
        match (self.0.split_once('-'), target.split_once('-')) {
            (Some((os, arch)), Some((t_os, t_arch))) => (os == "*" || os == t_os) && (arch == "*" || arch == t_arch),
            _ => self.0 == "*" || self.0 == target,
        }
    }

    /// More specific patterns win: a whole target, then a system, then a machine, then everything.
    pub(super) fn rank(&self) -> u8 {
        match self.0.split_once('-') {
            None => u8::from(self.0 == "any") * 3,
            Some(("*", _)) => 1,
            Some((_, "*")) => 2,
            Some(_) => 3,
        }
    }
}

/// Words for the nearest-word search.
pub(super) fn known_targets() -> Vec<String> {
    let mut all: Vec<String> = SYSTEMS
        .iter()
        .flat_map(|os| MACHINES.iter().map(move |arch| format!("{os}-{arch}")))
        .collect();
    all.push("any".to_owned());
    all
}

/// Names that are filled per target.
pub(super) const FILLS: [&str; 6] = ["arch", "deb_arch", "npm_arch", "npm_os", "os", "version"];

/// Why a text could not be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FillError {
    /// No such name.
    Unknown(String),
    /// The target `any` has no value for it.
    NoValue(String),
}

/// Fills `{os}`, `{arch}`, `{npm_os}`, `{npm_arch}`, `{deb_arch}` and `{version}`; a list in braces (`{a,b}`) is left to the globs.
pub(super) fn fill(text: &str, target: Target, version: &str) -> Result<String, FillError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}').map(|i| open + i) else {
            break;
        };
        let name = &rest[open + 1..close];
        out.push_str(&rest[..open]);
        if name.contains(',') {
            out.push_str(&rest[open..=close]);
        } else {
            out.push_str(&value_of(name, target, version)?);
        }
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(name: &str, target: Target, version: &str) -> Result<String, FillError> {
    if name == "version" {
        return Ok(version.to_owned());
    }
    if !FILLS.contains(&name) {
        return Err(FillError::Unknown(name.to_owned()));
    }
    let target = target.to_string();
    let (os, arch) = target
        .split_once('-')
        .ok_or_else(|| FillError::NoValue(name.to_owned()))?;
    let value = match (name, os, arch) {
        ("npm_os", "macos", _) => "darwin",
        ("npm_os", "windows", _) => "win32",
        ("os" | "npm_os", os, _) => os,
        ("arch", _, arch) => arch,
        ("npm_arch", _, "x86_64") => "x64",
        ("deb_arch", _, "x86_64") => "amd64",
        _ => "arm64",
    };
    Ok(value.to_owned())
}

/// Platform tags of wheels for `target`, most portable first; pip takes the first that a project offers.
pub(super) fn wheel_platforms(target: Target) -> Vec<String> {
    const GLIBC: [u8; 12] = [5, 12, 17, 24, 26, 27, 28, 31, 34, 35, 36, 39];
    const MACOS: [&str; 6] = ["10_15", "11_0", "12_0", "13_0", "14_0", "15_0"];
    let target = target.to_string();
    match target.split_once('-') {
        Some(("linux", arch)) => GLIBC
            .iter()
            .map(|minor| (minor, format!("manylinux_2_{minor}_{arch}")))
            .flat_map(|(minor, tag)| {
                let old = match minor {
                    5 => Some(format!("manylinux1_{arch}")),
                    12 => Some(format!("manylinux2010_{arch}")),
                    17 => Some(format!("manylinux2014_{arch}")),
                    _ => None,
                };
                std::iter::once(tag).chain(old)
            })
            .collect(),
        Some(("macos", arch)) => {
            let arch = if arch == "aarch64" { "arm64" } else { arch };
            MACOS.iter().map(|v| format!("macosx_{v}_{arch}")).collect()
        }
        Some((_, arch)) => vec![format!("win_{}", if arch == "aarch64" { "arm64" } else { "amd64" })],
        None => vec!["any".to_owned()],
    }
}
