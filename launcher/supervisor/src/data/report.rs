//! Owns what is told about data: its format, how it was left, what an older format would give back, what lies aside.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Mark, active::Active, snapshot::Extent};
use crate::stack::Stack;

/// The data of one service, for people and for the installer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataStatus {
    /// Format in use.
    pub format: String,
    /// Since when this directory is the one in use, RFC 3339 in UTC.
    pub since: String,
    /// How it was not left as it should be; absent if it was, or while the service runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclean: Option<String>,
    /// Older formats that can be gone back to, newest first; each is as it was left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<Kept>,
    /// What earlier ways back have left behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aside: Vec<Kept>,
    /// Where the data in use would be put aside by a way back, relative to the root.
    pub keep_as: String,
}

/// A directory with data that no service uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Relative to the root, with `/`.
    pub folder: String,
    /// Its format.
    pub format: String,
    /// What it holds was written from then…
    pub since: String,
    /// … to then.
    pub until: String,
    /// Bytes on disk.
    pub bytes: u64,
}

/// What is known about the data of `service`; `None` if it has none yet, or none that can be read.
pub fn data_of(stack: &Stack, service: &str, runs: bool) -> Option<DataStatus> {
    let base = stack.layout.service_data(service);
    let active = Active::read(&base).ok().flatten()?;
    let mark = Mark::read(&base).ok().flatten().filter(|_| !runs);
    let folder = |dir: &str| format!("data/{service}/{dir}");
    let kept = |dir: &str, format: &str, since: &str, until: &str| Kept {
        folder: folder(dir),
        format: format.to_owned(),
        since: since.to_owned(),
        until: until.to_owned(),
        bytes: bytes_in(&base.join(dir)),
    };
    let older = active.made_from.iter().rev();
    let aside = active.aside.iter().filter(|a| base.join(&a.dir).is_dir());
    Some(DataStatus {
        unclean: mark.and_then(|m| m.complaint(&active.format)),
        older: older.map(|f| kept(&f.format, &f.format, &f.since, &f.until)).collect(),
        aside: aside.map(|a| kept(&a.dir, &a.format, &a.since, &a.until)).collect(),
        keep_as: folder(&active.free_name(&active.format, &base)),
        format: active.format,
        since: active.since,
    })
}

/// Bytes on disk; what cannot be read counts for nothing.
fn bytes_in(dir: &Path) -> u64 {
    Extent::of(dir).map_or(0, |extent| extent.bytes)
}

/// `1.6 GiB`, for a reason that stands in one sentence.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}
