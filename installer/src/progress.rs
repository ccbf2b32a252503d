//! Owns progress: a transaction's phases as bars and lines of the console.

use std::sync::Mutex;

use kojibox_console::{Phase as Bar, Ui};

use crate::{
    plan::{Observer, Phase},
    wizard::texts::Texts,
};

/// Shows a transaction to a person.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    ui: &'a Ui,
    texts: &'static Texts,
    current: Mutex<Option<Bar>>,
}

impl<'a> Shown<'a> {
    /// Shows through `ui` in the language of `texts`.
    pub(crate) fn new(ui: &'a Ui, texts: &'static Texts) -> Self {
        Self {
            ui,
            texts,
            current: Mutex::new(None),
        }
    }

    /// Ends the phase at hand; called when the transaction is over.
    pub(crate) fn finish(&self) {
        if let Ok(mut current) = self.current.lock()
            && let Some(bar) = current.take()
        {
            bar.finish("");
        }
    }

    /// Takes the phase at hand away without a word: an error follows.
    pub(crate) fn abandon(&self) {
        if let Ok(mut current) = self.current.lock() {
            drop(current.take());
        }
    }

    fn label(&self, phase: Phase) -> &'static str {
        match phase {
            Phase::Recover => self.texts.phase_recover,
            Phase::Stage => self.texts.phase_stage,
            Phase::Verify => self.texts.phase_verify,
            Phase::Durable => self.texts.phase_durable,
            Phase::Publish => self.texts.phase_publish,
            Phase::Stop => self.texts.phase_stop,
            Phase::Start => self.texts.phase_start,
            Phase::Clean => self.texts.phase_clean,
        }
    }
}

impl Observer for Shown<'_> {
    fn phase(&self, phase: Phase, total: Option<u64>) {
        self.finish();
        let label = self.label(phase);
        let bar = if phase.counts_bytes() {
            self.ui.bytes(label, total)
        } else {
            self.ui.count(label, total)
        };
        if let Ok(mut current) = self.current.lock() {
            *current = Some(bar);
        }
    }

    fn add(&self, n: u64) {
        if let Ok(current) = self.current.lock()
            && let Some(bar) = &*current
        {
            bar.add(n);
        }
    }

    fn note(&self, text: &str) {
        self.ui.note(text);
    }
}
