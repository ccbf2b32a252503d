//! Owns reading `[[component]]`.

use std::path::Path;

use kojibox_packs::{Target, manifest::Text};

use super::{
    mistake::{Located, Notes, Place},
    names,
    pattern::{Pattern, known_targets},
    reader::Table,
    resolved::{ResolvedComponent, RuntimeKind},
    source::{Filler, NoSource, Sources},
};

/// Ids that the packer itself uses.
const RESERVED: [&str; 1] = ["kojibox-launcher"];

/// A component as written.
#[derive(Clone, Debug)]
pub(super) struct RawComponent {
    pub(super) id: Located<String>,
    pub(super) requires: Vec<Located<String>>,
    pub(super) conflicts: Vec<Located<String>>,
    pub(super) data_format: Option<Located<String>>,
    at: Place,
    title: Text,
    version: String,
    license: String,
    default: bool,
    runtime: Option<RuntimeKind>,
    targets: Only,
    sources: Sources,
}

/// The targets that something is for; absent: all.
#[derive(Clone, Debug, Default)]
pub(super) struct Only(Option<Vec<Pattern>>);

impl Only {
    /// Reads `targets` of a component or service.
    pub(super) fn read(table: &Table<'_>) -> Self {
        if !table.has("targets") {
            return Self(None);
        }
        let mut patterns = Vec::new();
        for text in table.texts("targets") {
            match Pattern::parse(&text.value) {
                Ok(pattern) => patterns.push(pattern),
                Err(message) => {
                    let known = known_targets();
                    table
                        .notes
                        .unknown(text.at, message, &text.value, known.iter().map(String::as_str));
                }
            }
        }
        Self(Some(patterns))
    }

    pub(super) fn includes(&self, target: Target) -> bool {
        self.0
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(|p| p.matches(target)))
    }
}

impl RawComponent {
    pub(super) fn read(table: Table<'_>, base: &Path) -> Option<Self> {
        let id = table.required_text("id");
        if let Some(id) = &id {
            if let Err(message) = names::id(&id.value) {
                table.notes.add(id.at, message);
            } else if RESERVED.contains(&id.value.as_str()) {
                table.notes.add(
                    id.at,
                    format!("`{}` is reserved for the launcher, which the build adds", id.value),
                );
            }
        }
        let version = table.required_text("version");
        if let Some(version) = &version
            && let Err(message) = names::version(&version.value)
        {
            table.notes.add(version.at, format!("`version`: {message}"));
        }
        let component = Self {
            at: table.at,
            title: table.localized("title").map(|t| t.value).unwrap_or_default(),
            license: table
                .parsed("license", names::license)
                .map(|l| l.value)
                .unwrap_or_default(),
            default: table.flag("default").is_some_and(|d| d.value),
            requires: table.texts("requires"),
            conflicts: table.texts("conflicts"),
            data_format: table.parsed("data_format", names::label),
            runtime: read_runtime(&table),
            targets: Only::read(&table),
            sources: Sources::read(&table, base),
            id: id.unwrap_or_else(|| Located {
                value: String::new(),
                at: table.at,
            }),
            version: version.map(|v| v.value).unwrap_or_default(),
        };
        if let Some(v) = table.get("backup") {
            table
                .notes
                .add(v.key_at, "`backup` is not carried by packs of this version");
        }
        table.finish();
        (!component.id.value.is_empty()).then_some(component)
    }

    pub(super) fn is_for(&self, target: Target) -> bool {
        self.targets.includes(target)
    }

    /// The component for `target`. None: something is wrong, which is noted.
    pub(super) fn resolve(&self, target: Target, strict: bool, notes: &Notes) -> Option<ResolvedComponent> {
        if self.sources.is_empty() {
            return None;
        }
        let filler = Filler {
            target,
            version: &self.version,
            strict,
            notes,
        };
        let source = match self.sources.resolve(&filler) {
            Ok(source) => source,
            Err(NoSource::Noted) => return None,
            Err(NoSource::Absent) => {
                let message = format!("component `{}` has no source for the target `{target}`", self.id.value);
                let way = format!("add `[component.source.\"{target}\"]`, or say with `targets = […]` where it exists");
                notes.suggest(self.at, message, Some(way));
                return None;
            }
        };
        Some(ResolvedComponent {
            id: self.id.value.clone(),
            title: self.title.clone(),
            version: self.version.clone(),
            license: self.license.clone(),
            default: self.default,
            requires: values(&self.requires),
            conflicts: values(&self.conflicts),
            data_format: self.data_format.as_ref().map(|f| f.value.clone()),
            runtime: self.runtime,
            source,
        })
    }
}

fn read_runtime(table: &Table<'_>) -> Option<RuntimeKind> {
    let words = [
        ("static", RuntimeKind::Static),
        ("host-glibc", RuntimeKind::HostGlibc),
        ("own-loader", RuntimeKind::OwnLoader),
    ];
    table.choice("runtime", &words).map(|r| r.value)
}

/// The sorted, unique values.
fn values(texts: &[Located<String>]) -> Vec<String> {
    let mut values: Vec<_> = texts.iter().map(|t| t.value.clone()).collect();
    values.sort();
    values.dedup();
    values
}
