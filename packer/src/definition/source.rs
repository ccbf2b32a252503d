//! Owns reading `source`: one table for all targets or one per group of targets, and which one speaks for a target.

use std::path::Path;

use kojibox_packs::Target;

use super::{
    mistake::{Located, Notes},
    origin::{KINDS, RawOrigin, kinds},
    pattern::{FILLS, FillError, Pattern, fill, known_targets},
    reader::{Table, Value},
    resolved::SourceSpec,
    steps::RawSteps,
};

/// The sources of one component.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    by_target: Vec<(Pattern, RawSource)>,
}

/// One source table.
#[derive(Clone, Debug)]
struct RawSource {
    origin: RawOrigin,
    steps: RawSteps,
}

/// Why there is no source for a target.
pub(super) enum NoSource {
    /// No table speaks for it.
    Absent,
    /// Something in it is wrong, which is noted.
    Noted,
}

impl Sources {
    /// Reads `source` of a component's table.
    pub(super) fn read(component: &Table<'_>, base: &Path) -> Self {
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
        }
    }

    fn read_by_target<'a>(table: &Table<'a>, values: &[Value<'a>], base: &Path) -> Self {
        let mut by_target = Vec::new();
        for v in values {
            match Pattern::parse(v.key) {
                Ok(pattern) => {
                    let name = format!("[component.source.\"{}\"]", v.key);
                    let source = table.as_table(*v, &name).and_then(|t| RawSource::read(t, base));
                    by_target.extend(source.map(|s| (pattern, s)));
                }
                Err(_) if KINDS.contains(&v.key) => {
                    let key = v.key;
                    let message =
                        format!("`{key}` stands beside tables for targets; put it in `[component.source.\"*\"]`");
                    table.notes.add(v.key_at, message);
                }
                Err(message) => {
                    let known = known_targets();
                    let known = known.iter().map(String::as_str);
                    table.notes.unknown(v.key_at, message, v.key, known);
                }
            }
        }
        Self { by_target }
    }

    /// True if nothing could be read; that is a mistake already.
    pub(super) fn is_empty(&self) -> bool {
        self.by_target.is_empty()
    }

    /// The source for the target of `filler`: the most specific table, with names filled.
    pub(super) fn resolve(&self, filler: &Filler<'_>) -> Result<SourceSpec, NoSource> {
        let fitting = self.by_target.iter().filter(|(p, _)| p.matches(filler.target));
        let (pattern, source) = fitting.max_by_key(|(p, _)| p.rank()).ok_or(NoSource::Absent)?;
        let for_all = *pattern == Pattern::all() && self.by_target.len() == 1;
        let (origin, steps) = (source.origin.resolve(filler), source.steps.resolve(filler));
        let (origin, steps) = origin.zip(steps).ok_or(NoSource::Noted)?;
        Ok(SourceSpec {
            origin,
            steps,
            for_all_targets: for_all && !source.origin.has_fills() && !source.steps.has_fills(),
        })
    }
}

impl RawSource {
    fn read(table: Table<'_>, base: &Path) -> Option<Self> {
        let steps = RawSteps::read(&table);
        let origin = RawOrigin::read(&table, base);
        table.finish();
        Some(Self { origin: origin?, steps })
    }
}

/// Fills names per target and notes what cannot be filled.
pub(super) struct Filler<'a> {
    pub(super) target: Target,
    /// The component's version.
    pub(super) version: &'a str,
    /// Folders that are named per target must be there.
    pub(super) strict: bool,
    pub(super) notes: &'a Notes,
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
                let message = format!("`{{{name}}}` has no value for the target `{}`", self.target);
                self.notes.add(text.at, message);
                None
            }
        }
    }

    pub(super) fn fill_all(&self, texts: &[Located<String>]) -> Vec<String> {
        texts.iter().filter_map(|t| self.fill(t)).collect()
    }
}
