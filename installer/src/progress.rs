//! Owns progress: a transaction's phases as bars and lines of the console.

use std::{sync::Mutex, time::Instant};

use kojibox_console::{Phase as Bar, Ui, bytes};

use crate::{
    plan::{Observer, Phase},
    wizard::texts::{Texts, fill},
};

/// Shows a transaction to a person.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    ui: &'a Ui,
    texts: &'static Texts,
    current: Mutex<Option<Current>>,
}

/// The phase at hand.
#[derive(Debug)]
struct Current {
    bar: Bar,
    label: &'static str,
    counts_bytes: bool,
    started: Instant,
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
        if let Some(current) = self.take() {
            let text = if current.counts_bytes {
                String::new()
            } else {
                format!("{}: {:.1} s", current.label, current.started.elapsed().as_secs_f64())
            };
            current.bar.finish(&text);
        }
    }

    /// Takes the phase at hand away without a word: an error follows.
    pub(crate) fn abandon(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<Current> {
        self.current.lock().ok()?.take()
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
            *current = Some(Current {
                bar,
                label,
                counts_bytes: phase.counts_bytes(),
                started: Instant::now(),
            });
        }
    }

    fn add(&self, n: u64) {
        if let Ok(current) = self.current.lock()
            && let Some(current) = &*current
        {
            current.bar.add(n);
        }
    }

    fn resumed(&self, kept: u64, to_read: u64) {
        let (kept, to_read) = (bytes(kept), bytes(to_read));
        let text = fill(self.texts.resumed, &[("kept", &kept), ("to_read", &to_read)]);
        self.ui.status(&text);
    }

    fn note(&self, text: &str) {
        self.ui.note(text);
    }
}
