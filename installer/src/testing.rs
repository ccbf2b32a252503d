//! Owns small complete values for unit tests.

use std::{cell::RefCell, collections::VecDeque};

use kojibox_console::Report;
use kojibox_packs::manifest::{
    BlobRef, Component, Compressor, DataFile, IndexRef, Kind, Manifest, Service, ServiceKind, Space, Upstream,
};
use kojibox_signing::Digest;

use crate::ask::Asker;

fn file(name: &str) -> DataFile {
    DataFile {
        name: name.to_owned(),
        size: 1,
        sha256: Digest::of(name.as_bytes()),
    }
}

/// A manifest for `linux-x86_64` without components.
pub(crate) fn manifest(pack: &str, version: &str, sequence: u64) -> Manifest {
    Manifest {
        schema: "kojibox.pack/1.0".to_owned(),
        readable_since: 0,
        pack: pack.to_owned(),
        title: [].into(),
        version: version.to_owned(),
        sequence,
        min_sequence: 0,
        channel: "stable".to_owned(),
        kind: Kind::Full,
        target: "linux-x86_64".to_owned(),
        min_installer: "0.1.0".to_owned(),
        issued: "2026-11-20T00:00:00Z".to_owned(),
        expires: None,
        source_date_epoch: 1_767_225_600,
        compressor: Compressor {
            name: "zstd".to_owned(),
            version: "1.5.7".to_owned(),
            level: 3,
            window_log: 23,
        },
        components: vec![],
        services: vec![],
        templates: vec![],
        secrets: vec![],
        questions: vec![],
        migrations: vec![],
        space: Space::default(),
        base: None,
        delta: None,
        sums: file("sums"),
        sbom: file("sbom"),
        provenance: file("provenance"),
        revokes: vec![],
    }
}

/// A component of 1 MiB in ten files.
pub(crate) fn component(id: &str, default: bool, requires: &[&str]) -> Component {
    Component {
        id: id.to_owned(),
        title: [].into(),
        version: "1.0.0".to_owned(),
        license: "MIT".to_owned(),
        target: "any".to_owned(),
        upstream: Upstream {
            source: "path".to_owned(),
            sha256: Digest::of(b"upstream"),
            signature: None,
        },
        blob: BlobRef {
            name: format!("{id}-1.0.0-any-0123456789abcdef.tar.zst"),
            size: 300_000,
            sha256: Digest::of(id.as_bytes()),
        },
        index: IndexRef {
            name: format!("{id}-1.0.0-any-0123456789abcdef.idx.zst"),
            size: 100,
            raw_size: 1000,
            frame_max: 8 << 20,
            sha256: Digest::of(b"index"),
        },
        tree_sha256: Digest::of(format!("{id} tree").as_bytes()),
        installed_size: 1 << 20,
        n_files: 10,
        max_path_len: 20,
        runtime: None,
        needs: vec![],
        requires: requires.iter().map(|&r| r.to_owned()).collect(),
        conflicts: vec![],
        default,
        data_format: None,
    }
}

/// A service of `component` with one port.
pub(crate) fn service(id: &str, component: &str, port: u16) -> Service {
    serde_json::from_value(serde_json::json!({
        "id": id, "component": component, "command": ["{component}/bin/x"],
        "ports": { "main": { "prefer": port } }, "kind": ServiceKind::Daemon,
    }))
    .expect("a small service is a service")
}

/// An asker with answers written down beforehand; keeps what a person would have seen.
///
/// `""` takes the default. Select takes an item; multi-select takes `keep`, `none`, or positions (`0 2`).
pub(crate) struct Scripted {
    answers: RefCell<VecDeque<String>>,
    seen: RefCell<String>,
}

impl Scripted {
    pub(crate) fn new<'a>(answers: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            answers: RefCell::new(answers.into_iter().map(str::to_owned).collect()),
            seen: RefCell::default(),
        }
    }

    pub(crate) fn transcript(&self) -> String {
        self.seen.borrow().clone()
    }

    fn see(&self, line: &str) {
        let mut seen = self.seen.borrow_mut();
        seen.push_str(line.trim_end());
        seen.push('\n');
    }

    fn next(&self, question: &str) -> String {
        let answer = self.answers.borrow_mut().pop_front();
        answer.unwrap_or_else(|| panic!("nobody wrote down an answer to `{question}`"))
    }
}

impl Asker for Scripted {
    fn is_interactive(&self) -> bool {
        true
    }

    fn heading(&self, text: &str) {
        self.see(&format!("# {text}"));
    }

    fn say(&self, text: &str) {
        self.see(text);
    }

    fn confirm(&self, question: &str, default: bool, _: &str) -> Result<bool, Report> {
        let answer = match self.next(question).as_str() {
            "" => default,
            text => text == "yes",
        };
        self.see(&format!("? {question} [{default}] {answer}"));
        Ok(answer)
    }

    fn input(
        &self,
        question: &str,
        default: Option<&str>,
        _: &str,
        validate: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<String, Report> {
        loop {
            let answer = match (self.next(question), default) {
                (text, Some(default)) if text.is_empty() => default.to_owned(),
                (text, _) => text,
            };
            self.see(&format!("? {question} [{}] {answer}", default.unwrap_or_default()));
            match validate(&answer) {
                Ok(()) => return Ok(answer),
                Err(why) => self.see(&format!("! {why}")),
            }
        }
    }

    fn select(&self, question: &str, items: &[String], default: usize, _: &str) -> Result<usize, Report> {
        let answer = self.next(question);
        let at = items.iter().position(|item| *item == answer).unwrap_or(default);
        self.see(&format!("? {question} {items:?} {}", items[at]));
        Ok(at)
    }

    fn multi_select(&self, question: &str, items: &[(String, bool)], _: &str) -> Result<Vec<usize>, Report> {
        let checked = || {
            items
                .iter()
                .enumerate()
                .filter(|(_, i)| i.1)
                .map(|(at, _)| at)
                .collect()
        };
        let chosen: Vec<usize> = match self.next(question).as_str() {
            "keep" => checked(),
            "none" => Vec::new(),
            list => list.split(' ').map(|at| at.parse().expect("a position")).collect(),
        };
        self.see(&format!("? {question}"));
        for (at, (label, _)) in items.iter().enumerate() {
            let mark = if chosen.contains(&at) { "x" } else { " " };
            self.see(&format!("  [{mark}] {label}"));
        }
        Ok(chosen)
    }
}
