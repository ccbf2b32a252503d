//! Owns reading `source`: one table for all targets or one per group of targets, and what it becomes for a target.

use std::path::PathBuf;

use kojibox_packs::Target;
use kojibox_signing::Digest;

use super::{
    mistake::{Located, Notes, Place},
    names,
    pattern::{FILLS, FillError, Pattern, fill, known_targets, wheel_platforms},
    reader::{Table, Value},
    resolved::{Origin, SourceSpec, Steps},
    steps::RawSteps,
};

/// The kinds of sources, as their keys are written.
const KINDS: [&str; 6] = ["path", "url", "npm", "pypi", "deb", "crate"];

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
    ("with", &["npm"]),
];

/// The sources of one component.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    by_target: Vec<(Pattern, RawSource)>,
    /// One table without a target.
    plain: bool,
}

/// One source table, not yet filled for a target.
#[derive(Clone, Debug)]
struct RawSource {
    at: Place,
    base: PathBuf,
    kind: &'static str,
    name: Located<String>,
    version: Option<Located<String>>,
    mirrors: Vec<Located<String>>,
    sha256: Option<Digest>,
    unpack: bool,
    tree: bool,
    with: Vec<(Located<String>, Located<String>)>,
    python: Option<Located<String>>,
    closure: bool,
    roots: Vec<Located<String>>,
    features: Vec<Located<String>>,
    default_features: bool,
    steps: RawSteps,
}

impl Sources {
    /// Reads `source` of a component's table.
    pub(super) fn read(component: &Table<'_>, base: &std::path::Path) -> Self {
        let Some(value) = component.get("source") else {
            let message = format!(
                "{} has no `source`, expected a table with one of {}",
                component.name,
                kinds()
            );
            component.notes.add(component.at, message);
            return Self::default();
        };
        let Some(table) = component.as_table(value, "[component.source]") else {
            return Self::default();
        };
        let values = table.values();
        if values.iter().any(|v| Pattern::parse(v.key).is_ok()) {
            return Self::read_by_target(&table, &values, base);
        }
        let source = RawSource::read(table, base);
        Self {
            by_target: source.map(|s| (Pattern::all(), s)).into_iter().collect(),
            plain: true,
        }
    }

    fn read_by_target<'a>(table: &Table<'a>, values: &[Value<'a>], base: &std::path::Path) -> Self {
        let mut by_target = Vec::new();
        for v in values {
            match Pattern::parse(v.key) {
                Ok(pattern) => {
                    let name = format!("[component.source.\"{}\"]", v.key);
                    let source = table.as_table(*v, &name).and_then(|t| RawSource::read(t, base));
                    by_target.extend(source.map(|s| (pattern, s)));
                }
                Err(_) if KINDS.contains(&v.key) => {
                    let message = format!(
                        "`{}` stands beside tables for targets; put it in `[component.source.\"*\"]`",
                        v.key
                    );
                    table.notes.add(v.key_at, message);
                }
                Err(message) => {
                    let known = known_targets();
                    table
                        .notes
                        .unknown(v.key_at, message, v.key, known.iter().map(String::as_str));
                }
            }
        }
        Self {
            by_target,
            plain: false,
        }
    }

    /// True if nothing could be read; that is a mistake already.
    pub(super) fn is_empty(&self) -> bool {
        self.by_target.is_empty()
    }

    /// The source for `target`: the most specific table, with names filled. None: no table speaks for it.
    ///
    /// `strict` asks for what must be there for a build: folders that are named per target.
    pub(super) fn resolve(
        &self,
        target: &Target,
        version: &str,
        strict: bool,
        notes: &Notes,
    ) -> Option<Option<SourceSpec>> {
        let (pattern, source) = self
            .by_target
            .iter()
            .filter(|(p, _)| p.matches(target))
            .max_by_key(|(p, _)| p.rank())?;
        let filler = Filler {
            target,
            version,
            strict,
            notes,
        };
        let all = (self.plain || pattern.as_str() == "*") && !source.has_fills();
        let only_here = self.by_target.len() > 1;
        Some(source.resolve(&filler).map(|(origin, steps)| SourceSpec {
            origin,
            steps,
            for_all_targets: all && !only_here,
        }))
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

fn kinds() -> String {
    KINDS.map(|k| format!("`{k}`")).join(", ")
}

/// Fills names per target and notes what cannot be filled.
pub(super) struct Filler<'a> {
    target: &'a Target,
    version: &'a str,
    strict: bool,
    notes: &'a Notes,
}

impl Filler<'_> {
    pub(super) fn fill(&self, text: &Located<String>) -> Option<String> {
        match fill(&text.value, self.target, self.version) {
            Ok(filled) => Some(filled),
            Err(FillError::Unknown(name)) => {
                let message = format!("`{{{name}}}` is not filled in a source");
                self.notes.unknown(text.at, message, &name, FILLS);
                None
            }
            Err(FillError::NoValue(name)) => {
                self.notes.add(
                    text.at,
                    format!("`{{{name}}}` has no value for the target `{}`", self.target),
                );
                None
            }
        }
    }

    pub(super) fn fill_all(&self, texts: &[Located<String>]) -> Vec<String> {
        texts.iter().filter_map(|t| self.fill(t)).collect()
    }
}

impl RawSource {
    fn read(table: Table<'_>, base: &std::path::Path) -> Option<Self> {
        let written: Vec<_> = KINDS.into_iter().filter(|k| table.has(k)).collect();
        let kind = match written[..] {
            [kind] => kind,
            [] => {
                table
                    .notes
                    .add(table.at, format!("{} has none of {}", table.name, kinds()));
                table.has("version");
                RawSteps::read(&table);
                table.finish();
                return None;
            }
            [first, second, ..] => {
                table.notes.add(
                    table.at,
                    format!("{} has both `{first}` and `{second}`, expected one", table.name),
                );
                return None;
            }
        };
        let source = Self::read_kind(&table, kind, base);
        for (key, kinds) in KEYS.into_iter().filter(|(_, kinds)| !kinds.contains(&kind)) {
            if let Some(v) = table.get(key) {
                let kinds = kinds.iter().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", ");
                table.notes.add(
                    v.key_at,
                    format!("`{key}` belongs to a source of kind {kinds}, this one is `{kind}`"),
                );
            }
        }
        table.finish();
        source
    }

    fn read_kind(table: &Table<'_>, kind: &'static str, base: &std::path::Path) -> Option<Self> {
        let steps = RawSteps::read(table);
        let is = |key: &str| KEYS.iter().any(|(k, kinds)| *k == key && kinds.contains(&kind));
        let flag = |key| table.flag(key).is_some_and(|f| f.value);
        let source = Self {
            at: table.at,
            base: base.to_owned(),
            kind,
            name: table.text(kind)?,
            version: is("version").then(|| table.text("version")).flatten(),
            mirrors: is("mirrors").then(|| table.texts("mirrors")).unwrap_or_default(),
            sha256: is("sha256")
                .then(|| table.parsed("sha256", str::parse))
                .flatten()
                .map(|d| d.value),
            unpack: !is("unpack") || table.flag("unpack").is_none_or(|u| u.value),
            tree: is("tree") && flag("tree"),
            with: is("with").then(|| table.text_map("with")).unwrap_or_default(),
            python: is("python").then(|| table.parsed("python", python_version)).flatten(),
            closure: is("closure") && flag("closure"),
            roots: is("roots").then(|| table.texts("roots")).unwrap_or_default(),
            features: is("features").then(|| table.texts("features")).unwrap_or_default(),
            default_features: !is("default-features") || table.flag("default-features").is_none_or(|f| f.value),
            steps,
        };
        if is("signature")
            && let Some(v) = table.get("signature")
        {
            let message = "`signature` of a download is not checked by this version; pin the bytes with `sha256`";
            table.notes.add(v.key_at, message);
        }
        if !source.with.is_empty() && !source.tree {
            table.notes.add(
                table.at,
                "`with` adds packages to a tree, but `tree = true` is not written",
            );
        }
        Some(source)
    }

    fn has_fills(&self) -> bool {
        let texts = [Some(&self.name), self.version.as_ref()].into_iter().flatten();
        texts.chain(&self.mirrors).any(|t| t.value.contains('{')) || self.steps.has_fills()
    }

    fn resolve(&self, filler: &Filler<'_>) -> Option<(Origin, Steps)> {
        // Everything is looked at before anything fails, so that all mistakes are told at once.
        let steps = self.steps.resolve(filler);
        let version = match &self.version {
            Some(written) => filler.fill(written).map(|version| {
                self.check(filler, written, names::exact(self.kind, &version));
                Some(version)
            }),
            None => Some(None),
        };
        let name = filler.fill(&self.name)?;
        let origin = match self.kind {
            "path" => self.resolve_path(filler, name)?,
            "url" => self.resolve_url(filler, name)?,
            kind => {
                self.check(filler, &self.name, names::package(kind, &name));
                self.resolve_package(filler, name, version?)?
            }
        };
        Some((origin, steps?))
    }

    fn check(&self, filler: &Filler<'_>, at: &Located<String>, result: Result<(), String>) {
        if let Err(message) = result {
            filler.notes.add(at.at, format!("`{}`: {message}", self.kind));
        }
    }

    fn resolve_path(&self, filler: &Filler<'_>, written: String) -> Option<Origin> {
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

    fn resolve_url(&self, filler: &Filler<'_>, first: String) -> Option<Origin> {
        let mut urls = vec![first];
        urls.extend(filler.fill_all(&self.mirrors));
        for (url, at) in urls.iter().zip(std::iter::once(&self.name).chain(&self.mirrors)) {
            let scheme = url.split_once("://").map(|(s, rest)| (s, !rest.is_empty()));
            if !matches!(scheme, Some(("http" | "https" | "file", true))) || url.contains(|c: char| c.is_whitespace()) {
                let message = format!("`{url}` is no address; expected `https://…`, `http://…` or `file:///…`");
                filler.notes.add(at.at, message);
                return None;
            }
        }
        Some(Origin::Url {
            urls,
            sha256: self.sha256,
            unpack: self.unpack,
        })
    }

    fn resolve_package(&self, filler: &Filler<'_>, name: String, version: Option<String>) -> Option<Origin> {
        // Without a version of its own, a package has the component's.
        let own = |v: Option<String>| v.unwrap_or_else(|| filler.version.to_owned());
        Some(match self.kind {
            "npm" => Origin::Npm {
                name,
                version: own(version),
                tree: self.tree.then(|| self.resolve_with(filler)),
            },
            "pypi" => Origin::Pypi {
                name,
                version: own(version),
                platforms: wheel_platforms(filler.target),
                python: self.python.as_ref().map(|p| p.value.clone()),
            },
            "deb" => self.resolve_deb(filler, name, version)?,
            _ => Origin::Crate {
                name,
                version: own(version),
                features: self.resolve_features(filler),
                default_features: self.default_features,
            },
        })
    }

    fn resolve_features(&self, filler: &Filler<'_>) -> Vec<String> {
        let mut features = filler.fill_all(&self.features);
        for (feature, at) in features.iter().zip(&self.features) {
            let inner = |c: char| c.is_ascii_alphanumeric() || "_-+./".contains(c);
            if !feature.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') || !feature.chars().all(inner) {
                filler.notes.add(at.at, format!("`{feature}` is no name of a feature"));
            }
        }
        features.sort();
        features.dedup();
        features
    }

    fn resolve_with(&self, filler: &Filler<'_>) -> Vec<(String, String)> {
        for (name, version) in &self.with {
            for (at, result) in [
                (name, names::package("npm", &name.value)),
                (version, names::exact("npm", &version.value)),
            ] {
                self.check(filler, at, result);
            }
        }
        self.with
            .iter()
            .map(|(n, v)| (n.value.clone(), v.value.clone()))
            .collect()
    }

    fn resolve_deb(&self, filler: &Filler<'_>, name: String, version: Option<String>) -> Option<Origin> {
        let target = filler.target.to_string();
        let architecture = match target.as_str() {
            "linux-x86_64" => "amd64",
            "linux-aarch64" => "arm64",
            _ => {
                let message = format!("`deb` packages are for Linux, not for the target `{target}`");
                filler.notes.add(self.name.at, message);
                return None;
            }
        };
        if self.closure && self.roots.is_empty() {
            filler.notes.add(
                self.at,
                "`closure = true` needs `roots`, the programs and plugins that are kept",
            );
        }
        if !self.closure && !self.roots.is_empty() {
            filler.notes.add(
                self.at,
                "`roots` says what a closure keeps, but `closure = true` is not written",
            );
        }
        Some(Origin::Deb {
            name,
            version,
            architecture: architecture.to_owned(),
            closure: self.closure.then(|| filler.fill_all(&self.roots)),
        })
    }
}
