//! Owns placeholders: `{component}`, `{data}`, `{port:NAME}` … are filled at each start, so that nothing absolute is kept.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{platform, secrets::Secrets, stack::Stack};

/// A placeholder could not be filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FillError {
    /// There is no such placeholder.
    #[error("`{{{0}}}` is not a placeholder")]
    Unknown(String),
    /// It exists, but not here.
    #[error("`{{{0}}}` is not known here")]
    NotHere(String),
    /// A secret would become visible in the list of processes.
    #[error("`{{secret:{0}}}` is not allowed in a command, where everyone could read it; pass `{{secret_file:{0}}}`")]
    Visible(String),
    /// A path cannot be written as text.
    #[error("`{}` is not valid UTF-8", .0.display())]
    NotText(PathBuf),
}

/// Where the text will stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the arguments of a process.
    Command,
    /// In its environment.
    Environment,
}

/// Everything one service may refer to.
#[derive(Debug)]
pub(crate) struct Filler<'a> {
    pub(crate) stack: &'a Stack,
    pub(crate) service: &'a str,
    pub(crate) component: &'a str,
    pub(crate) data: PathBuf,
    /// While data moves: the old directory, and the tree of the generation that used it last.
    pub(crate) data_old: Option<PathBuf>,
    pub(crate) component_old: Option<PathBuf>,
    /// `service.name` to number.
    pub(crate) ports: &'a BTreeMap<String, u16>,
    pub(crate) secrets: &'a Secrets,
}

impl Filler<'_> {
    /// Fills one text.
    pub(crate) fn fill(&self, text: &str, place: Place) -> Result<String, FillError> {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            out.push_str(&rest[..start]);
            rest = &rest[start..];
            if let Some(name) = placeholder(rest) {
                out.push_str(&self.value(name, place)?);
                rest = &rest[name.len() + 2..];
            } else {
                out.push('{');
                rest = &rest[1..];
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    /// Fills each word of a command.
    pub(crate) fn command(&self, words: &[String]) -> Result<Vec<String>, FillError> {
        words.iter().map(|w| self.fill(w, Place::Command)).collect()
    }

    fn value(&self, name: &str, place: Place) -> Result<String, FillError> {
        let not_here = || FillError::NotHere(name.to_owned());
        if let Some((kind, argument)) = name.split_once(':') {
            return match kind {
                "component" => path(self.stack.components.get(argument).ok_or_else(not_here)?),
                "port" => self.port(argument).map(|p| p.to_string()).ok_or_else(not_here),
                "answer" => self.stack.answers.get(argument).cloned().ok_or_else(not_here),
                "secret_file" => path(&self.secrets.file(argument).ok_or_else(not_here)?),
                "secret" if place == Place::Command => Err(FillError::Visible(argument.to_owned())),
                "secret" => self.secrets.value(argument).map(str::to_owned).ok_or_else(not_here),
                _ => Err(FillError::Unknown(name.to_owned())),
            };
        }
        match self.dir(name) {
            Some(dir) => path(&dir),
            None => match name {
                "exe" => Ok(platform::EXE.to_owned()),
                "data_old" | "component_old" | "component" => Err(not_here()),
                _ => Err(FillError::Unknown(name.to_owned())),
            },
        }
    }

    /// The directories by name, for placeholders and templates.
    pub(crate) fn dir(&self, name: &str) -> Option<PathBuf> {
        let layout = &self.stack.layout;
        Some(match name {
            "component" => self.stack.components.get(self.component)?.clone(),
            "component_old" => self.component_old.clone()?,
            "data" => self.data.clone(),
            "data_old" => self.data_old.clone()?,
            "run" => layout.run().join(self.service),
            "logs" => layout.service_logs(self.service),
            "temp" => layout.temp().join(self.service),
            "config" => layout.config().join(self.service),
            "root" => layout.root().to_owned(),
            _ => return None,
        })
    }

    /// A port of this service (`main`) or of another one (`postgres.main`).
    pub(crate) fn port(&self, name: &str) -> Option<u16> {
        let own = format!("{}.{name}", self.service);
        self.ports.get(&own).or_else(|| self.ports.get(name)).copied()
    }
}

/// The name in `{name}` or `{name:argument}` at the start of `text`; other braces are just braces.
fn placeholder(text: &str) -> Option<&str> {
    let end = text.find('}')?;
    let name = &text[1..end];
    let word = name.split(':').next().unwrap_or_default();
    let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    (is_word && !name.contains(['{', '\n', ' '])).then_some(name)
}

pub(crate) fn path(path: &Path) -> Result<String, FillError> {
    let text = path.to_str().ok_or_else(|| FillError::NotText(path.to_owned()))?;
    Ok(text.to_owned())
}
