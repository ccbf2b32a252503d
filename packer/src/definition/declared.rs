//! Owns reading `[[template]]`, `[[secret]]` and `[[question]]`.

use std::path::{Path, PathBuf};

use kojibox_packs::manifest::{Format, Question, QuestionKind, Secret};
use toml::de::DeValue;

use super::{mistake::Located, names, reader::Table};

/// A template as written.
#[derive(Clone, Debug)]
pub(super) struct RawTemplate {
    pub(super) service: Located<String>,
    pub(super) target: Located<String>,
    pub(super) from: PathBuf,
    pub(super) format: Format,
}

impl RawTemplate {
    pub(super) fn read(table: Table<'_>, base: &Path) -> Option<Self> {
        let words = [
            ("conf", Format::Conf),
            ("ini", Format::Ini),
            ("json", Format::Json),
            ("text", Format::Text),
            ("toml", Format::Toml),
            ("yaml", Format::Yaml),
        ];
        let service = table.required_text("service");
        let source = table.required_text("source");
        let target = table.required_text("target");
        let format = table.choice("format", &words).map(|f| f.value).unwrap_or_default();
        let from = source.as_ref().map(|s| base.join(&s.value));
        if let (Some(source), Some(from)) = (&source, &from)
            && !from.is_file()
        {
            table.notes.add(
                source.at,
                format!("`source` names `{}`, which is no file", from.display()),
            );
        }
        if let Some(target) = &target
            && let Err(message) = names::inner_path(&target.value)
        {
            table.notes.add(target.at, message);
        }
        table.finish();
        Some(Self {
            service: service?,
            target: target?,
            from: from?,
            format,
        })
    }

    /// Its path in the component `_pack`.
    pub(super) fn packed_path(&self) -> String {
        format!("templates/{}/{}", self.service.value, self.target.value)
    }
}

/// Reads a secret with the place of its id.
pub(super) fn secret(table: Table<'_>) -> Option<Located<Secret>> {
    let id = read_word(&table);
    let length = table.number("length", 16..257);
    table.finish();
    Some(id?.map(|id| Secret {
        id,
        length: length.map(|n| u32::try_from(n.value).expect("at most 256")),
    }))
}

fn read_word(table: &Table<'_>) -> Option<Located<String>> {
    let id = table.required_text("id")?;
    if let Err(message) = names::word(&id.value) {
        table.notes.add(id.at, message);
    }
    Some(id)
}

/// Reads a question with the place of its id.
pub(super) fn question(table: Table<'_>) -> Option<Located<Question>> {
    let words = [
        ("text", QuestionKind::Text),
        ("port", QuestionKind::Port),
        ("bool", QuestionKind::Bool),
        ("choice", QuestionKind::Choice),
    ];
    let id = read_word(&table);
    let prompt = table.localized("prompt");
    if !table.has("prompt") {
        table.notes.add(table.at, "[[question]] has no `prompt`");
    }
    let kind = table.choice("kind", &words).map_or(QuestionKind::Text, |k| k.value);
    let choices = table.texts("choices");
    match (kind, choices.first()) {
        (QuestionKind::Choice, None) => table
            .notes
            .add(table.at, "a question of kind `choice` has no `choices`"),
        (QuestionKind::Choice, _) | (_, None) => {}
        (_, Some(first)) => table
            .notes
            .add(first.at, "`choices` stands in a question that is not of kind `choice`"),
    }
    let choices: Vec<_> = choices.into_iter().map(|c| c.value).collect();
    let default = read_default(&table, kind, &choices);
    table.finish();
    Some(id?.map(|id| Question {
        id,
        prompt: prompt.map(|p| p.value).unwrap_or_default(),
        default,
        kind,
        choices,
    }))
}

fn read_default(table: &Table<'_>, kind: QuestionKind, choices: &[String]) -> Option<String> {
    let v = table.get("default")?;
    let text = match v.toml {
        DeValue::String(s) => s.clone().into_owned(),
        DeValue::Integer(n) => n.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        _ => return table.wrong(v, "a string, a number or a boolean"),
    };
    let expected = match kind {
        QuestionKind::Text if !text.contains('\n') => None,
        QuestionKind::Text => Some("one line".to_owned()),
        QuestionKind::Port => (!text.parse::<u16>().is_ok_and(|p| p > 0)).then(|| "a port from 1 to 65535".to_owned()),
        QuestionKind::Bool => (!matches!(text.as_str(), "true" | "false")).then(|| "`true` or `false`".to_owned()),
        QuestionKind::Choice if choices.contains(&text) => None,
        QuestionKind::Choice => Some(format!("one of the choices `{}`", choices.join("`, `"))),
    };
    if let Some(expected) = expected {
        table
            .notes
            .add(v.at, format!("`default` is `{text}`, expected {expected}"));
        return None;
    }
    Some(text)
}
