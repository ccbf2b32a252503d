//! Owns how a pack is shown to a person: aligned columns, biggest first, everything from outside escaped.

use std::collections::BTreeMap;

use kojibox_console::{Ui, bytes, escape};
use kojibox_packs::manifest::{Component, Manifest, Runtime};
use kojibox_signing::Digest;

use super::{File, key_of};
use crate::depot::Found;

/// Folders of one component that are shown by `--sizes`.
const FOLDERS: usize = 15;

/// Facts and components.
pub(super) fn pack(ui: &Ui, found: &Found, signatures: &[String]) {
    let m = &found.manifest;
    let title = m
        .title
        .get("en")
        .or_else(|| m.title.values().next())
        .map(|t| format!(": {t}"));
    say(
        ui,
        &format!("{} {} for {}{}", m.pack, m.version, m.target, title.unwrap_or_default()),
    );
    say(
        ui,
        &format!("channel {}, sequence {}, issued {}", m.channel, m.sequence, m.issued),
    );
    if let Some(expires) = &m.expires {
        say(ui, &format!("stale after {expires}"));
    }
    let keys: Vec<_> = signatures.iter().filter_map(|s| key_of(s, &found.name)).collect();
    let signed = if keys.is_empty() {
        "by nobody yet".to_owned()
    } else {
        keys.join(", ")
    };
    say(
        ui,
        &format!(
            "signed {signed} (not verified here), manifest sha256 {}",
            Digest::of(&found.bytes)
        ),
    );
    let c = &m.compressor;
    let packed: u64 = m.components.iter().map(|c| c.blob.size + c.index.size).sum();
    let (packed, installed) = (bytes(packed), bytes(m.space.installed));
    say(
        ui,
        &format!(
            "{packed} packed, {installed} installed; {} {} at level {}",
            c.name, c.version, c.level
        ),
    );
    say(ui, "");
    components(ui, m);
    if !m.services.is_empty() {
        say(ui, "");
        table(ui, &services(m));
    }
    for question in &m.questions {
        let prompt = question.prompt.get("en").or_else(|| question.prompt.values().next());
        let default = question.default.as_ref().map(|d| format!(" [{d}]")).unwrap_or_default();
        say(
            ui,
            &format!("asks `{}`: {}{default}", question.id, prompt.map_or("", |p| p)),
        );
    }
}

fn say(ui: &Ui, text: &str) {
    ui.answer(&escape(text));
}

fn components(ui: &Ui, m: &Manifest) {
    let header = [
        "component",
        "version",
        "packed",
        "installed",
        "files",
        "for",
        "needs",
        "licence",
    ]
    .map(str::to_owned);
    let mut rows = vec![header.to_vec()];
    let mut sorted: Vec<_> = m.components.iter().collect();
    sorted.sort_by(|a, b| b.blob.size.cmp(&a.blob.size).then_with(|| a.id.cmp(&b.id)));
    for c in sorted {
        rows.push(vec![
            c.id.clone(),
            c.version.clone(),
            bytes(c.blob.size),
            bytes(c.installed_size),
            c.n_files.to_string(),
            c.target.clone(),
            needs(c),
            c.license.clone(),
        ]);
    }
    table(ui, &rows);
}

fn needs(c: &Component) -> String {
    let runtime = match &c.runtime {
        None => None,
        Some(Runtime::Static) => Some("static".to_owned()),
        Some(Runtime::MinGlibc(version)) => Some(format!("glibc {version}")),
        Some(Runtime::OwnLoader) => Some("own loader".to_owned()),
    };
    let all: Vec<_> = runtime.into_iter().chain(c.needs.iter().cloned()).collect();
    if all.is_empty() { "-".to_owned() } else { all.join(", ") }
}

fn services(m: &Manifest) -> Vec<Vec<String>> {
    let mut rows = vec![
        ["service", "component", "ports", "needs first"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for s in &m.services {
        let ports: Vec<_> = s.ports.iter().map(|(name, p)| format!("{name} {}", p.prefer)).collect();
        let first: Vec<_> = s.requires.keys().cloned().collect();
        rows.push(vec![
            s.id.clone(),
            s.component.clone(),
            ports.join(", "),
            first.join(", "),
        ]);
    }
    rows
}

/// Which folders of a component take the space.
pub(super) fn sizes(ui: &Ui, component: &Component, files: &[File]) {
    let mut folders: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for file in files {
        let folder = file
            .path
            .match_indices('/')
            .nth(1)
            .or_else(|| file.path.match_indices('/').next());
        let sum = folders
            .entry(folder.map_or(".", |(at, _)| &file.path[..at]))
            .or_default();
        *sum = (sum.0 + file.size, sum.1 + 1);
    }
    let mut sorted: Vec<_> = folders.into_iter().collect();
    sorted.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(b.0)));
    let mut rows = vec![vec![
        format!("folder of {}", component.id),
        "installed".to_owned(),
        "files".to_owned(),
    ]];
    let row = |name: &str, size, count: u64| vec![name.to_owned(), bytes(size), count.to_string()];
    rows.extend(
        sorted
            .iter()
            .take(FOLDERS)
            .map(|(name, (size, count))| row(name, *size, *count)),
    );
    let rest: Vec<_> = sorted.iter().skip(FOLDERS).map(|(_, sum)| *sum).collect();
    if !rest.is_empty() {
        let name = format!("({} more)", rest.len());
        rows.push(row(
            &name,
            rest.iter().map(|s| s.0).sum(),
            rest.iter().map(|s| s.1).sum(),
        ));
    }
    say(ui, "");
    table(ui, &rows);
}

/// Every file of a component.
pub(super) fn files(ui: &Ui, component: &Component, files: &[File]) {
    say(ui, "");
    let mut rows = vec![vec![
        format!("file of {}", component.id),
        "size".to_owned(),
        "sha256".to_owned(),
    ]];
    rows.extend(
        files
            .iter()
            .map(|f| vec![f.path.clone(), bytes(f.size), f.sha256.short()]),
    );
    table(ui, &rows);
}

/// Prints rows with columns of equal width.
pub(crate) fn table(ui: &Ui, rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let shown: Vec<Vec<String>> = rows
        .iter()
        .map(|r| r.iter().map(|c| escape(c).into_owned()).collect())
        .collect();
    let width = |at: usize| {
        shown
            .iter()
            .filter_map(|r| r.get(at))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for row in &shown {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        ui.answer(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
