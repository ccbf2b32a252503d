//! Owns reading the declarative steps of a source: strip, include, exclude, rename, copy, text, shebang, exec,
//! rpath.

use super::{mistake::Located, names, reader::Table, resolved::Steps, source::Filler};

type Pairs = Vec<(Located<String>, Located<String>)>;

/// The steps as written.
#[derive(Clone, Debug, Default)]
pub(super) struct RawSteps {
    strip: Option<Located<String>>,
    include: Vec<Located<String>>,
    exclude: Vec<Located<String>>,
    rename: Pairs,
    copy: Pairs,
    exec: Vec<Located<String>>,
    text: Pairs,
    shebang: Pairs,
    rpath: Pairs,
}

impl RawSteps {
    pub(super) fn read(table: &Table<'_>) -> Self {
        let steps = Self {
            strip: table.text("strip"),
            include: table.texts("include"),
            exclude: table.texts("exclude"),
            rename: table.text_map("rename"),
            copy: table.text_map("copy"),
            exec: table.texts("exec"),
            text: table.text_map("text"),
            shebang: table.text_map("shebang"),
            rpath: table.text_map("rpath"),
        };
        steps.check(table);
        steps
    }

    fn check(&self, table: &Table<'_>) {
        let keys = self.shebang.iter().chain(&self.rpath).map(|(glob, _)| glob);
        for glob in self.include.iter().chain(&self.exclude).chain(&self.exec).chain(keys) {
            check_pattern(table, glob, &glob.value);
        }
        let new_names = self.rename.iter().chain(&self.copy).flat_map(|(old, new)| [old, new]);
        for path in new_names.chain(self.text.iter().map(|(path, _)| path)) {
            if let Err(message) = names::inner_path(&path.value) {
                table.notes.add(path.at, message);
            }
        }
        for (_, program) in &self.shebang {
            let fine = program.value.starts_with('/') && !program.value.contains('\n') && program.value.len() <= 120;
            if !fine {
                let message = format!(
                    "`{}` is no program for a first line such as `/usr/bin/env node`",
                    program.value
                );
                table.notes.add(program.at, message);
            }
        }
        for (_, path) in &self.rpath {
            if let Err(message) = names::rpath(&path.value) {
                table.notes.add(path.at, message);
            }
        }
    }

    pub(super) fn has_fills(&self) -> bool {
        let pairs = self.rename.iter().chain(&self.copy).chain(&self.text).map(|(k, _)| k);
        let lists = self.include.iter().chain(&self.exclude).chain(&self.exec);
        let pairs = pairs.chain(self.rpath.iter().map(|(k, _)| k));
        // A list in braces (`*.{a,b}`) is no fill.
        let filled = |t: &Located<String>| {
            super::pattern::FILLS
                .iter()
                .any(|f| t.value.contains(&format!("{{{f}}}")))
        };
        self.strip.iter().chain(lists).chain(pairs).any(filled)
    }

    /// The steps for one target. None: a name could not be filled, which is noted.
    pub(super) fn resolve(&self, filler: &Filler<'_>) -> Option<Steps> {
        let keys = |pairs: &Pairs| -> Option<Vec<(String, String)>> {
            pairs
                .iter()
                .map(|(k, v)| Some((filler.fill(k)?, v.value.clone())))
                .collect()
        };
        let values = |pairs: &Pairs| -> Option<Vec<(String, String)>> {
            pairs
                .iter()
                .map(|(k, v)| Some((filler.fill(k)?, filler.fill(v)?)))
                .collect()
        };
        let list = |texts: &[Located<String>]| texts.iter().map(|t| filler.fill(t)).collect::<Option<Vec<_>>>();
        Some(Steps {
            strip: match &self.strip {
                Some(strip) => Some(filler.fill(strip)?.trim_matches('/').to_owned()),
                None => None,
            },
            include: list(&self.include)?,
            exclude: list(&self.exclude)?,
            rename: values(&self.rename)?,
            copy: values(&self.copy)?,
            exec: list(&self.exec)?,
            text: keys(&self.text)?,
            shebang: keys(&self.shebang)?,
            rpath: keys(&self.rpath)?,
        })
    }
}

/// Notes what is wrong with `pattern`, which stands in `written`.
pub(super) fn check_pattern(table: &Table<'_>, written: &Located<String>, pattern: &str) {
    if let Err(e) = crate::source::glob(pattern) {
        let message = format!("`{pattern}` is no pattern: {}", e.kind());
        table.notes.add(written.at, message);
    }
    if pattern.starts_with('/') || pattern.starts_with("./") {
        let message = format!("`{pattern}` never matches: paths in a tree start with a name");
        table.notes.add(written.at, message);
    }
}
