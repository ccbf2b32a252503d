//! Owns the rules for the values of a manifest: every name, size, count and reference.
//!
//! Source: packs/FORMAT.md, "Manifest".

mod components;
mod services;

use std::{collections::HashSet, fmt::Display, hash::Hash};

use kojibox_signing::UtcTime;

use super::{DataFile, Kind, Manifest, ManifestError};
use crate::{Target, frame, limits, names};

/// Most items of any one list.
const MAX_ITEMS: usize = 1000;
/// Most digests in `revokes`.
const MAX_REVOKES: usize = 10_000;
/// Latest second that RFC 3339 writes with four digits of year.
const LAST_SECOND: u64 = 253_402_300_799;

type Checked = Result<(), ManifestError>;

/// Fails with `rule` about `at` unless `ok`.
fn must(ok: bool, at: impl Display, rule: impl Display) -> Checked {
    if ok {
        return Ok(());
    }
    Err(ManifestError::Rule {
        at: at.to_string(),
        rule: rule.to_string(),
    })
}

fn count(at: &str, len: usize, most: usize) -> Checked {
    must(
        len <= most,
        at,
        format_args!("has {len} items, at most {most} are allowed"),
    )
}

fn size(at: impl Display, got: u64, least: u64, most: u64) -> Checked {
    must(
        (least..=most).contains(&got),
        at,
        format_args!("is {got}, allowed is {least} to {most}"),
    )
}

fn id(at: impl Display, text: &str) -> Checked {
    must(
        names::is_id(text),
        at,
        "must be 1 to 40 of `a` to `z`, `0` to `9` and `-`",
    )
}

fn version(at: impl Display, text: &str) -> Checked {
    must(
        names::is_version(text),
        at,
        "must be a lower-case semantic version of at most 40 bytes",
    )
}

fn time(at: impl Display, text: &str) -> Result<UtcTime, ManifestError> {
    text.parse().map_err(|error| ManifestError::Rule {
        at: at.to_string(),
        rule: format!("must be a time: {error}"),
    })
}

fn target(at: impl Display, text: &str) -> Result<Target, ManifestError> {
    text.parse().map_err(|error| ManifestError::Rule {
        at: at.to_string(),
        rule: format!("must be a target: {error}"),
    })
}

fn unique<T: Hash + Eq>(at: &str, items: impl IntoIterator<Item = T>) -> Checked {
    let mut seen = HashSet::new();
    for (i, item) in items.into_iter().enumerate() {
        must(
            seen.insert(item),
            format_args!("{at}[{i}]"),
            "names the same as an earlier one",
        )?;
    }
    Ok(())
}

impl Manifest {
    /// Checks every name, size, count and reference; [`kojibox_signing::Document::parse`] does it too.
    pub fn check_limits(&self) -> Checked {
        self.check_head()?;
        let stem = self.check_kind()?;
        count("components", self.components.len(), MAX_ITEMS)?;
        self.check_components()?;
        self.check_services()?;
        self.check_space()?;
        for (at, file, name) in [
            ("sums", &self.sums, names::sums(&stem)),
            ("sbom", &self.sbom, names::sbom(&stem)),
            ("provenance", &self.provenance, names::provenance(&stem)),
        ] {
            data_file(at, file, &name)?;
        }
        count("revokes", self.revokes.len(), MAX_REVOKES)?;
        unique("revokes", &self.revokes)
    }

    /// What the file names of this pack start with.
    pub fn file_stem(&self) -> String {
        match &self.base {
            None => format!("{}-{}-{}", self.pack, self.version, self.target),
            Some(base) => format!("{}-{}-{}-from-{}", self.pack, self.version, self.target, base.version),
        }
    }

    fn check_head(&self) -> Checked {
        id("pack", &self.pack)?;
        version("version", &self.version)?;
        id("channel", &self.channel)?;
        target("target", &self.target)?;
        version("min_installer", &self.min_installer)?;
        must(
            self.min_sequence <= self.sequence,
            "min_sequence",
            "must not be above `sequence`",
        )?;
        let issued = time("issued", &self.issued)?;
        if let Some(expires) = &self.expires {
            must(time("expires", expires)? > issued, "expires", "must be after `issued`")?;
        }
        size("source_date_epoch", self.source_date_epoch, 0, LAST_SECOND)?;
        let made_by = &self.compressor;
        must(made_by.name == "zstd", "compressor.name", "must be `zstd`")?;
        must(
            frame::LEVELS.contains(&made_by.level),
            "compressor.level",
            "must be 1 to 22",
        )?;
        size(
            "compressor.window_log",
            made_by.window_log.into(),
            10,
            limits::WINDOW_LOG_MAX.into(),
        )
    }

    fn check_kind(&self) -> Result<String, ManifestError> {
        let delta = self.kind == Kind::Delta;
        must(
            self.base.is_some() == delta,
            "base",
            "must be there for a delta, and only then",
        )?;
        must(
            self.delta.is_some() == delta,
            "delta",
            "must be there for a delta, and only then",
        )?;
        if let Some(base) = &self.base {
            must(base.pack == self.pack, "base.pack", "must be the same pack")?;
            version("base.version", &base.version)?;
        }
        let plans = self.delta.as_deref().unwrap_or_default();
        unique("delta", plans.iter().map(|d| &d.component))?;
        for (i, plan) in plans.iter().enumerate() {
            let at = format!("delta[{i}]");
            let component = self.components.iter().find(|c| c.id == plan.component);
            must(
                component.is_some(),
                format_args!("{at}.component"),
                "names no component of this pack",
            )?;
            if let Some(component) = component {
                data_file(
                    &format!("{at}.plan"),
                    &plan.plan,
                    &names::plan(&components::stem(component)),
                )?;
            }
        }
        Ok(self.file_stem())
    }

    fn check_space(&self) -> Checked {
        for (at, bytes) in [
            ("space.staging", self.space.staging),
            ("space.installed", self.space.installed),
            ("space.peak", self.space.peak),
        ] {
            size(at, bytes, 0, limits::BLOB)?;
        }
        // Each size is limited far below 2^64, and there are at most a thousand of them.
        let installed: u64 = self
            .components
            .iter()
            .map(|c| c.installed_size)
            .fold(0, u64::saturating_add);
        must(
            self.space.installed >= installed,
            "space.installed",
            format_args!("must be at least {installed}, the sum of its components"),
        )?;
        let most = self.space.installed.max(self.space.staging);
        must(
            self.space.peak >= most,
            "space.peak",
            "must be at least `staging` and `installed`",
        )
    }
}

fn data_file(at: &str, file: &DataFile, name: &str) -> Checked {
    must(
        file.name == name,
        format_args!("{at}.name"),
        format_args!("must be `{name}`"),
    )?;
    size(format_args!("{at}.size"), file.size, 1, limits::SMALL)
}
