//! Owns the wizard: one step per question, each answerable by a flag, all texts in two languages.
//!
//! A step asks and gives back an answer; it decides and writes nothing. So every step runs in a test with scripted answers,
//! and the unattended install is the same flow without a person.

mod steps;
pub(crate) mod texts;

use kojibox_console::Report;

use crate::ask::Asker;
use texts::{EN, ID, Texts, texts};

/// Leads a person through the steps.
#[derive(Clone, Copy)]
pub(crate) struct Guide<'a> {
    asker: &'a dyn Asker,
    /// Texts of the chosen language.
    pub texts: &'static Texts,
}

impl std::fmt::Debug for Guide<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guide")
            .field("language", &self.texts.tag)
            .finish_non_exhaustive()
    }
}

impl<'a> Guide<'a> {
    /// A guide that speaks `language`.
    pub(crate) fn speaking(asker: &'a dyn Asker, language: &str) -> Self {
        Self {
            asker,
            texts: texts(language),
        }
    }

    /// A guide that first asks which language to speak.
    pub(crate) fn ask_language(asker: &'a dyn Asker, proposed: &str) -> Result<Self, Report> {
        let items = [("English", &EN), ("Bahasa Indonesia", &ID)];
        let default = items.iter().position(|(_, t)| t.tag == proposed).unwrap_or(0);
        let names: Vec<_> = items.iter().map(|(name, _)| (*name).to_owned()).collect();
        let chosen = asker.select("Language / Bahasa", &names, default, "--language")?;
        Ok(Self {
            asker,
            texts: items.get(chosen).map_or(&EN, |(_, texts)| texts),
        })
    }

    /// True if somebody can answer.
    pub(crate) fn is_interactive(&self) -> bool {
        self.asker.is_interactive()
    }
}
