//! Owns reading `[pack]`.

use jiff::Timestamp;
use kojibox_packs::Target;

use super::{mistake::Located, names, pattern::known_targets, reader::Table, resolved::PackFacts};

/// `[pack]` as read, and the files it includes.
#[derive(Clone, Debug)]
pub(super) struct RawPack {
    pub(super) facts: PackFacts,
    pub(super) include: Vec<Located<String>>,
}

impl RawPack {
    pub(super) fn read(table: Table<'_>) -> Self {
        let checked = |key, parse: fn(&str) -> Result<String, String>| {
            table.required_text(key).map(|text| {
                if let Err(message) = parse(&text.value) {
                    table.notes.add(text.at, format!("`{key}`: {message}"));
                }
                text.value
            })
        };
        let limit = i64::MAX.unsigned_abs();
        let number = |key| table.number(key, 0..limit).map(|n| n.value);
        let facts = PackFacts {
            name: checked("name", names::id).unwrap_or_default(),
            version: checked("version", names::version).unwrap_or_default(),
            title: table.localized("title").map(|t| t.value).unwrap_or_default(),
            sequence: number("sequence"),
            min_sequence: number("min_sequence").unwrap_or(0),
            channel: table
                .parsed("channel", names::label)
                .map_or_else(|| "stable".to_owned(), |c| c.value),
            targets: read_targets(&table),
            source_date_epoch: table.number("source_date_epoch", 0..253_402_300_800).map(|n| n.value),
            expires: table.parsed("expires", date).map(|e| e.value),
            revokes: table
                .texts("revokes")
                .into_iter()
                .filter_map(|text| match text.value.parse() {
                    Ok(digest) => Some(digest),
                    Err(e) => {
                        table.notes.add(text.at, format!("`revokes`: {e}"));
                        None
                    }
                })
                .collect(),
        };
        let include = table.texts("include");
        table.finish();
        Self { facts, include }
    }
}

/// A time in the one form that manifests carry: UTC, whole seconds.
fn date(text: &str) -> Result<String, String> {
    let time: Timestamp = text
        .parse()
        .map_err(|_| format!("`{text}` is no time such as `2027-12-31T00:00:00Z`"))?;
    let whole = Timestamp::from_second(time.as_second()).expect("a second of a valid time is a valid time");
    Ok(whole.to_string())
}

fn read_targets(table: &Table<'_>) -> Vec<Target> {
    let mut targets: Vec<Target> = Vec::new();
    for text in table.texts("targets") {
        match text.value.parse::<Target>() {
            Ok(target) if targets.contains(&target) => {
                table.notes.add(text.at, format!("the target `{target}` stands twice"));
            }
            Ok(target) => targets.push(target),
            Err(_) => {
                let known = known_targets();
                let message = format!("unknown target `{}`, expected `<os>-<arch>` or `any`", text.value);
                table
                    .notes
                    .unknown(text.at, message, &text.value, known.iter().map(String::as_str));
            }
        }
    }
    if targets.is_empty() {
        targets.push("any".parse().expect("`any` is a target"));
    }
    targets
}
