//! Owns a visitor of the demo's service.

use serde_json::{Value, json};

use crate::{Failure, Outcome, failure::ensure, http};

/// The guest book at a port of this machine.
pub(super) struct GuestBook {
    port: u16,
}

impl GuestBook {
    pub(super) fn at(port: u16) -> Self {
        Self { port }
    }

    /// For the browser.
    pub(super) fn address(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Version of the program that answers.
    pub(super) fn version(&self) -> Outcome<String> {
        let answer = http::get(self.port, "/version")?.json()?;
        let version = answer["version"].as_str().map(str::to_owned);
        version.ok_or_else(|| Failure::new(format!("no version in {answer}")))
    }

    /// Leaves a note.
    pub(super) fn sign(&self, author: &str, text: &str) -> Outcome {
        let answer = http::post(self.port, "/api/notes", &json!({ "author": author, "text": text }))?;
        ensure(answer.status == 201, || {
            format!("the note was not taken: {} {}", answer.status, answer.body)
        })
    }

    /// Exactly these notes are there, newest first, on the page too.
    pub(super) fn expect_notes(&self, expected: &[&str]) -> Outcome {
        let notes = http::get(self.port, "/api/notes")?.json()?;
        let texts: Vec<&str> = notes
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|note| note["text"].as_str())
            .collect();
        ensure(texts == expected, || {
            format!("expected the notes {expected:?}, got {}", Value::from(texts))
        })?;
        let page = http::get(self.port, "/")?;
        let shown = page.status == 200 && expected.iter().all(|text| page.body.contains(text));
        ensure(shown, || {
            format!("the page does not show the notes: {} {}", page.status, page.body)
        })
    }
}
