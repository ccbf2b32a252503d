//! Owns the kinds of sources: which keys each has, and what they mean for a target.

use std::path::{Path, PathBuf};

use kojibox_packs::{Arch, Os, Target};
use kojibox_signing::Digest;

use super::{
    mistake::{Located, Place},
    names,
    pattern::wheel_platforms,
    reader::Table,
    resolved::{Closure, Origin},
    signature::RawSignature,
    source::Filler,
    steps::check_pattern,
};

/// The kinds of sources, as their keys are written.
pub(super) const KINDS: [&str; 6] = ["path", "url", "npm", "pypi", "deb", "crate"];

/// Keys that only some kinds have.
const KEYS: [(&str, &[&str]); 12] = [
    ("closure", &["deb"]),
    ("default-features", &["crate"]),
    ("features", &["crate"]),
    ("mirrors", &["url"]),
    ("python", &["pypi"]),
    ("roots", &["deb"]),
    ("sha256", &["url"]),
    ("signature", &["url"]),
    ("tree", &["npm"]),
    ("unpack", &["url"]),
    ("version", &["npm", "pypi", "deb", "crate"]),
    ("with", &["npm", "deb"]),
];

type Pairs = Vec<(Located<String>, Located<String>)>;

/// A source as written, not yet filled for a target.
#[derive(Clone, Debug)]
pub(super) struct RawOrigin {
    base: PathBuf,
    kind: &'static str,
    /// The value of the kind's key: a folder, an address or a package.
    name: Located<String>,
    version: Option<Located<String>>,
    details: Details,
}

#[derive(Clone, Debug)]
enum Details {
    Path,
    Url {
        mirrors: Vec<Located<String>>,
        sha256: Option<Digest>,
        unpack: bool,
        signature: Option<RawSignature>,
    },
    Npm {
        tree: Option<Pairs>,
    },
    Pypi {
        python: Option<String>,
    },
    Deb {
        closure: Option<RawClosure>,
    },
    Crate {
        features: Vec<Located<String>>,
        default_features: bool,
    },
}

/// What is kept of a Debian package and everything that it depends on.
#[derive(Clone, Debug)]
struct RawClosure {
    roots: Vec<Located<String>>,
    with: Vec<Located<String>>,
}

/// The kinds, for messages.
pub(super) fn kinds() -> String {
    KINDS.map(|k| format!("`{k}`")).join(", ")
}

impl RawOrigin {
    pub(super) fn read(table: &Table<'_>, base: &Path) -> Option<Self> {
        let kind = read_kind(table)?;
        let version = table.text("version");
        let details = read_details(table, kind);
        for (key, kinds) in KEYS.into_iter().filter(|(_, kinds)| !kinds.contains(&kind)) {
            if let Some(v) = table.get(key) {
                let kinds = kinds.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
                let message = format!("`{key}` belongs to a source of kind {kinds}, this one is `{kind}`");
                table.notes.add(v.key_at, message);
            }
        }
        Some(Self {
            base: base.to_owned(),
            kind,
            name: table.text(kind)?,
            version,
            details,
        })
    }

    /// True if the source names something per target.
    pub(super) fn has_fills(&self) -> bool {
        let (mirrors, signature) = match &self.details {
            Details::Url { mirrors, signature, .. } => (&mirrors[..], signature.as_ref()),
            _ => (&[][..], None),
        };
        let texts = std::iter::once(&self.name).chain(&self.version).chain(mirrors);
        let texts = texts.chain(signature.and_then(RawSignature::url));
        texts.into_iter().any(|t| t.value.contains('{'))
    }

    /// The origin for one target. None: something is wrong, which is noted.
    pub(super) fn resolve(&self, filler: &Filler<'_>) -> Option<Origin> {
        // Everything is looked at before anything fails, so that all mistakes are told at once.
        let version = match &self.version {
            Some(written) => filler.fill(written).map(|version| {
                self.check(filler, written.at, names::exact(self.kind, &version));
                Some(version)
            }),
            None => Some(None),
        };
        let name = filler.fill(&self.name)?;
        if !matches!(self.details, Details::Path | Details::Url { .. }) {
            self.check(filler, self.name.at, names::package(self.kind, &name));
        }
        // Without a version of its own, a package has the component's.
        let own = |v: Option<String>| v.unwrap_or_else(|| filler.version.to_owned());
        let version = version?;
        Some(match &self.details {
            Details::Path => self.path(filler, name)?,
            Details::Url {
                mirrors,
                sha256,
                unpack,
                signature,
            } => {
                let urls = self.urls(filler, name, mirrors)?;
                let signature = match signature {
                    Some(signature) => Some(signature.resolve(filler, &urls[0])?),
                    None => None,
                };
                Origin::Url {
                    urls,
                    sha256: *sha256,
                    unpack: *unpack,
                    signature,
                }
            }
            Details::Npm { tree } => Origin::Npm {
                name,
                version: own(version),
                tree: tree.as_ref().map(|with| self.packages(filler, with)),
            },
            Details::Pypi { python } => Origin::Pypi {
                name,
                version: own(version),
                platforms: wheel_platforms(filler.target),
                python: python.clone(),
            },
            Details::Deb { closure } => Origin::Deb {
                name,
                version,
                architecture: self.deb_architecture(filler)?,
                closure: closure.as_ref().map(|closure| self.closure(filler, closure)),
            },
            Details::Crate {
                features,
                default_features,
            } => Origin::Crate {
                name,
                version: own(version),
                features: resolve_features(filler, features),
                default_features: *default_features,
            },
        })
    }

    fn check(&self, filler: &Filler<'_>, at: Place, result: Result<(), String>) {
        if let Err(message) = result {
            filler.notes.add(at, format!("`{}`: {message}", self.kind));
        }
    }

    fn path(&self, filler: &Filler<'_>, written: String) -> Option<Origin> {
        let from = self.base.join(&written);
        // A folder per target may be filled later, and elsewhere.
        let expected = filler.strict || written == self.name.value;
        if written.is_empty() || (expected && !from.exists()) {
            let message = format!("`path` names `{}`, which does not exist", from.display());
            filler.notes.add(self.name.at, message);
            return None;
        }
        Some(Origin::Path { from, written })
    }

    fn urls(&self, filler: &Filler<'_>, first: String, mirrors: &[Located<String>]) -> Option<Vec<String>> {
        let mut urls = vec![first];
        urls.extend(filler.fill_all(mirrors));
        for (url, at) in urls.iter().zip(std::iter::once(&self.name).chain(mirrors)) {
            if let Err(message) = names::address(url) {
                filler.notes.add(at.at, message);
                return None;
            }
        }
        Some(urls)
    }

    fn packages(&self, filler: &Filler<'_>, with: &Pairs) -> Vec<(String, String)> {
        for (name, version) in with {
            self.check(filler, name.at, names::package("npm", &name.value));
            self.check(filler, version.at, names::exact("npm", &version.value));
        }
        let mut packages: Vec<_> = with.iter().map(|(n, v)| (n.value.clone(), v.value.clone())).collect();
        packages.sort();
        packages
    }

    fn closure(&self, filler: &Filler<'_>, closure: &RawClosure) -> Closure {
        let mut with = filler.fill_all(&closure.with);
        for (written, at) in with.iter().zip(&closure.with) {
            let (name, version) = written
                .split_once('=')
                .map_or((&**written, None), |(n, v)| (n, Some(v)));
            self.check(filler, at.at, names::package("deb", name));
            if let Some(version) = version {
                self.check(filler, at.at, names::exact("deb", version));
            }
        }
        with.sort();
        with.dedup();
        Closure {
            roots: filler.fill_all(&closure.roots),
            with,
        }
    }

    fn deb_architecture(&self, filler: &Filler<'_>) -> Option<String> {
        match filler.target {
            Target::On { os: Os::Linux, arch } => Some(match arch {
                Arch::X86_64 => "amd64".to_owned(),
                Arch::Aarch64 => "arm64".to_owned(),
            }),
            other => {
                let message = format!("`deb` packages are for Linux, not for the target `{other}`");
                filler.notes.add(self.name.at, message);
                None
            }
        }
    }
}

/// The one kind that is written.
fn read_kind(table: &Table<'_>) -> Option<&'static str> {
    let written: Vec<_> = KINDS.into_iter().filter(|k| table.has(k)).collect();
    if let [kind] = written[..] {
        return Some(kind);
    }
    let message = match written[..] {
        [first, second, ..] => format!("{} has both `{first}` and `{second}`, expected one", table.name),
        _ => format!("{} has none of {}", table.name, kinds()),
    };
    table.notes.add(table.at, message);
    // Whose the other keys are is not known: they are no mistakes of their own.
    for (key, _) in KEYS {
        table.has(key);
    }
    None
}

/// The keys of one kind. Those of other kinds are read by nobody here.
fn read_details(table: &Table<'_>, kind: &str) -> Details {
    let flag = |key| table.flag(key).is_some_and(|f| f.value);
    match kind {
        "path" => Details::Path,
        "url" => read_url(table),
        "npm" => {
            let (tree, with) = (flag("tree"), table.text_map("with"));
            if !tree && !with.is_empty() {
                let message = "`with` adds packages to a tree, but `tree = true` is not written";
                table.notes.add(table.at, message);
            }
            Details::Npm {
                tree: tree.then_some(with),
            }
        }
        "pypi" => Details::Pypi {
            python: table.parsed("python", python_version).map(|p| p.value),
        },
        "deb" => {
            let closure = flag("closure");
            Details::Deb {
                closure: read_closure(table, closure),
            }
        }
        _ => Details::Crate {
            features: table.texts("features"),
            default_features: table.flag("default-features").is_none_or(|f| f.value),
        },
    }
}

fn read_closure(table: &Table<'_>, closure: bool) -> Option<RawClosure> {
    let (roots, with) = (table.texts("roots"), table.texts("with"));
    if closure && roots.is_empty() {
        let message = "`closure = true` needs `roots`, the programs and plugins that are kept";
        table.notes.add(table.at, message);
    }
    if !closure && !roots.is_empty() {
        let message = "`roots` says what a closure keeps, but `closure = true` is not written";
        table.notes.add(table.at, message);
    }
    if !closure && !with.is_empty() {
        let message = "`with` adds packages to a closure, but `closure = true` is not written";
        table.notes.add(table.at, message);
    }
    for root in &roots {
        let pattern = root.value.strip_prefix('!').unwrap_or(&root.value);
        check_pattern(table, root, pattern);
    }
    closure.then_some(RawClosure { roots, with })
}

fn read_url(table: &Table<'_>) -> Details {
    Details::Url {
        mirrors: table.texts("mirrors"),
        sha256: table.parsed("sha256", str::parse).map(|d| d.value),
        unpack: table.flag("unpack").is_none_or(|u| u.value),
        signature: RawSignature::read(table),
    }
}

/// A version of Python as tags have it: it becomes part of an argument.
fn python_version(text: &str) -> Result<String, String> {
    let number = |s: &str| !s.is_empty() && s.len() <= 3 && s.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        Some((major, minor)) if number(major) && number(minor) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is no version of Python such as `3.11`")),
    }
}

fn resolve_features(filler: &Filler<'_>, written: &[Located<String>]) -> Vec<String> {
    let mut features = filler.fill_all(written);
    for (feature, at) in features.iter().zip(written) {
        let inner = |c: char| c.is_ascii_alphanumeric() || "_-+./".contains(c);
        if !feature.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') || !feature.chars().all(inner) {
            filler.notes.add(at.at, format!("`{feature}` is no name of a feature"));
        }
    }
    features.sort();
    features.dedup();
    features
}
