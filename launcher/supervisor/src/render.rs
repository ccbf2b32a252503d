//! Owns templates: rendered strictly at each start, values quoted as the format of the file wants it.
//!
//! A template sees `port.NAME` (and `ports["service.name"]`), `answer.ID`, `secret.ID`, `secret_file.ID`,
//! `components["ID"]`, and the directories `component`, `data`, `run`, `logs`, `temp`, `config`, `root`. Numbers and
//! booleans stand as they are; text is quoted by the format, so a template writes no quotes of its own around a value
//! (except with `format = "text"`, where text stands as it is and must be one line). What is not defined is an error.

use std::{collections::BTreeMap, fs, path::Path};

use kojibox_packs::manifest::{Format, Template};
use minijinja::{
    AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value, syntax::SyntaxConfig,
    value::ValueKind,
};

use crate::{
    files::{self, FileError, failed},
    fill::{FillError, Filler, path},
};

/// A template could not be rendered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RenderError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The template is wrong or asks for something that is not defined.
    #[error("template `{template}` cannot be rendered")]
    Template {
        /// Its path in the pack.
        template: String,
        /// Where and why.
        source: Error,
    },
    /// A value cannot be given.
    #[error("template `{template}` cannot be rendered")]
    Fill {
        /// Its path in the pack.
        template: String,
        /// Which and why.
        source: FillError,
    },
    /// The target would leave its directory.
    #[error("`{0}` is not a file name below `{{run}}`")]
    Target(String),
    /// The pack's files are not installed.
    #[error("template `{0}` is not installed")]
    Missing(String),
}

/// Renders `template` from the pack's files into `run`.
pub(crate) fn render(
    template: &Template,
    pack_files: Option<&Path>,
    run: &Path,
    filler: &Filler<'_>,
) -> Result<(), RenderError> {
    let inside = |p: &str| {
        !p.is_empty()
            && p.split('/')
                .all(|s| !matches!(s, "" | "." | "..") && !s.contains(['\\', ':']))
    };
    if !inside(&template.target) {
        return Err(RenderError::Target(template.target.clone()));
    }
    let pack_files = pack_files.filter(|_| inside(&template.source));
    let source = pack_files
        .ok_or_else(|| RenderError::Missing(template.source.clone()))?
        .join(&template.source);
    let text = fs::read_to_string(&source).map_err(failed("read", &source))?;
    let values = context(filler).map_err(|source| RenderError::Fill {
        template: template.source.clone(),
        source,
    })?;
    let out = expand(&text, &template.source, template.format, values).map_err(|source| RenderError::Template {
        template: template.source.clone(),
        source,
    })?;
    let target = run.join(&template.target);
    files::make_dir(target.parent().unwrap_or(run))?;
    Ok(files::replace(&target, out.as_bytes())?)
}

fn expand(text: &str, name: &str, format: Format, values: Value) -> Result<String, Error> {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true);
    env.set_syntax(syntax.build()?);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_formatter(move |out, state, value| write(format, out, state, value));
    env.template_from_named_str(name, text)?.render(values)
}

fn context(filler: &Filler<'_>) -> Result<Value, FillError> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for name in ["component", "data", "run", "logs", "temp", "config", "root"] {
        if let Some(dir) = filler.dir(name) {
            all.insert(name.to_owned(), Value::from(path(&dir)?));
        }
    }
    let own = format!("{}.", filler.service);
    let port = filler
        .ports
        .iter()
        .filter_map(|(k, v)| Some((k.strip_prefix(&own)?.to_owned(), *v)));
    all.insert("port".to_owned(), Value::from_pairs(port));
    all.insert(
        "ports".to_owned(),
        Value::from_pairs(filler.ports.iter().map(|(k, v)| (k.clone(), *v))),
    );
    all.insert("answer".to_owned(), texts(&filler.stack.answers));
    all.insert("secret".to_owned(), texts(filler.secrets.values()));
    let secret_files = filler.secrets.files().map(|(id, file)| Ok((id, path(&file)?)));
    let secret_files = secret_files.collect::<Result<BTreeMap<_, _>, FillError>>()?;
    all.insert("secret_file".to_owned(), texts(&secret_files));
    let trees = filler
        .stack
        .components
        .iter()
        .map(|(id, tree)| Ok((id.clone(), path(tree)?)));
    let trees = trees.collect::<Result<BTreeMap<_, _>, FillError>>()?;
    all.insert("components".to_owned(), texts(&trees));
    all.insert("exe".to_owned(), Value::from(crate::platform::EXE));
    all.insert("service".to_owned(), Value::from(filler.service));
    Ok(Value::from_pairs(all))
}

fn texts(map: &BTreeMap<String, String>) -> Value {
    Value::from_pairs(map.iter().map(|(k, v)| (k.clone(), v.clone())))
}

/// Writes one value as the format wants it.
fn write(format: Format, out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let bad = |why: &str| Error::new(ErrorKind::BadSerialization, why.to_owned());
    let text = match value.kind() {
        ValueKind::Number => value.to_string(),
        // The template language would write `True`.
        ValueKind::Bool => value.is_true().to_string(),
        ValueKind::String if value.is_safe() => value.to_string(),
        ValueKind::String => quoted(format, value.as_str().unwrap_or_default()).map_err(bad)?,
        ValueKind::Undefined => return Err(Error::from(ErrorKind::UndefinedError)),
        _ if format == Format::Json => serde_json::to_string(value).map_err(|e| bad(&e.to_string()))?,
        _ => return Err(bad("only text, numbers and booleans can be written into this format")),
    };
    out.write_str(&text).map_err(Error::from)
}

/// `text` as one value of the format.
fn quoted(format: Format, text: &str) -> Result<String, &'static str> {
    if text.chars().any(|c| {
        c.is_control() && (c != '\n' && c != '\t' || matches!(format, Format::Text | Format::Conf | Format::Ini))
    }) {
        return Err("the value holds a line break or another control character, which this format cannot carry");
    }
    Ok(match format {
        Format::Text => text.to_owned(),
        // PostgreSQL reads backslashes in quoted values as the start of an escape.
        Format::Conf => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
        Format::Ini => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        // A basic string of TOML and a double-quoted scalar of YAML understand every escape of JSON.
        Format::Json | Format::Toml | Format::Yaml => {
            serde_json::to_string(text).map_err(|_| "the value is not text")?
        }
    })
}

#[cfg(test)]
mod tests {
    use kojibox_packs::manifest::Format;
    use minijinja::context;

    use super::expand;

    fn one(format: Format, value: &str) -> Result<String, String> {
        let values = context! { v => value, n => 25432, yes => true };
        expand("a = {{ v }} {{ n }} {{ yes }}\n", "t", format, values).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn text_is_quoted_as_the_format_wants_it_and_numbers_are_not() {
        let value = r#"it's "C:\x""#;
        let all = [
            (Format::Conf, r#"a = 'it''s "C:\\x"' 25432 true"#),
            (Format::Ini, r#"a = "it's \"C:\\x\"" 25432 true"#),
            (Format::Json, r#"a = "it's \"C:\\x\"" 25432 true"#),
            (Format::Toml, r#"a = "it's \"C:\\x\"" 25432 true"#),
            (Format::Yaml, r#"a = "it's \"C:\\x\"" 25432 true"#),
            (Format::Text, r#"a = it's "C:\x" 25432 true"#),
        ];
        for (format, expected) in all {
            assert_eq!(one(format, value).unwrap(), format!("{expected}\n"), "{format:?}");
        }
    }

    #[test]
    fn a_value_cannot_start_a_line_of_its_own() {
        for format in [Format::Conf, Format::Ini, Format::Text] {
            assert!(
                one(format, "x\nshared_preload_libraries = 'evil'").is_err(),
                "{format:?}"
            );
        }
        assert!(!one(Format::Toml, "x\ny").unwrap().trim_end().contains('\n'));
    }

    #[test]
    fn what_is_not_defined_is_an_error_that_says_where() {
        let error = expand("one\n{{ prot.main }}\n", "conf.j2", Format::Conf, context! {}).unwrap_err();
        assert_eq!((error.line(), error.name()), (Some(2), Some("conf.j2")));
    }
}
