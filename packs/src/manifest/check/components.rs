//! Owns the rules for `components`.

use super::{Checked, Manifest, count, must, size, target, unique, version};
use crate::{
    Target, limits,
    manifest::{Component, PACK_FILES, Runtime},
    names,
    path::MAX_PATH,
};

/// What the files of a component's blob are called; the target was checked, or the name will not match.
pub(super) fn stem(component: &Component) -> String {
    let target = component.target.parse().unwrap_or(Target::Any);
    names::blob_stem(&component.id, &component.version, target, &component.blob.sha256)
}

impl Manifest {
    pub(super) fn check_components(&self) -> Checked {
        must(!self.components.is_empty(), "components", "must not be empty")?;
        let ids: Vec<&str> = self.components.iter().map(|c| c.id.as_str()).collect();
        must(ids.is_sorted(), "components", "must be sorted by id")?;
        unique("components", &ids)?;
        for (i, component) in self.components.iter().enumerate() {
            let at = format!("components[{i}]");
            component.check(&at, &self.target)?;
            for (list, name) in [(&component.requires, "requires"), (&component.conflicts, "conflicts")] {
                let at = format!("{at}.{name}");
                count(&at, list.len(), super::MAX_ITEMS)?;
                unique(&at, list)?;
                for (k, other) in list.iter().enumerate() {
                    let known = *other != component.id && ids.contains(&other.as_str());
                    must(
                        known,
                        format_args!("{at}[{k}]"),
                        "must name another component of this pack",
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl Component {
    fn check(&self, at: &str, pack_target: &str) -> Checked {
        let at = |field: &str| format!("{at}.{field}");
        let named = self.id == PACK_FILES || names::is_id(&self.id);
        must(
            named,
            at("id"),
            "must be 1 to 40 of `a` to `z`, `0` to `9` and `-`, or `_pack`",
        )?;
        version(at("version"), &self.version)?;
        let own = target(at("target"), &self.target)?;
        let fits = own == Target::Any || self.target == pack_target;
        must(fits, at("target"), "must be `any` or the target of the pack")?;
        let stem = stem(self);
        must(
            self.blob.name == names::blob(&stem),
            at("blob.name"),
            format_args!("must be `{}`", names::blob(&stem)),
        )?;
        must(
            self.index.name == names::index(&stem),
            at("index.name"),
            format_args!("must be `{}`", names::index(&stem)),
        )?;
        size(at("blob.size"), self.blob.size, 1, limits::BLOB)?;
        size(at("index.size"), self.index.size, 1, limits::INDEX as u64)?;
        size(at("index.raw_size"), self.index.raw_size, 1, limits::INDEX_RAW)?;
        size(
            at("index.frame_max"),
            self.index.frame_max,
            limits::FRAME_MAX_LOW,
            limits::FRAME_MAX_HIGH,
        )?;
        size(at("installed_size"), self.installed_size, 0, limits::BLOB)?;
        size(at("n_files"), self.n_files, 0, limits::ENTRIES)?;
        size(at("max_path_len"), self.max_path_len.into(), 0, MAX_PATH as u64)?;
        if let Some(Runtime::MinGlibc(glibc)) = &self.runtime {
            must(
                is_glibc(glibc),
                at("runtime.min_glibc"),
                "must be two numbers, as `2.28`",
            )?;
        }
        count(&at("needs"), self.needs.len(), super::MAX_ITEMS)?;
        unique(&at("needs"), &self.needs)?;
        for (i, need) in self.needs.iter().enumerate() {
            super::id(format_args!("{}[{i}]", at("needs")), need)?;
        }
        self.data_format
            .iter()
            .try_for_each(|format| data_format(&at("data_format"), format))
    }
}

/// A data format names a directory, `data/<service>/<format>`.
pub(super) fn data_format(at: &str, format: &str) -> Checked {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    let ok = (1..=names::MAX_ID).contains(&format.len())
        && format.bytes().all(allowed)
        && format.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !format.ends_with('.');
    must(ok, at, "must be 1 to 40 of `a` to `z`, `0` to `9`, `.`, `_` and `-`")
}

fn is_glibc(text: &str) -> bool {
    let number = |n: &str| !n.is_empty() && n.len() <= 4 && n.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.')
        .is_some_and(|(major, minor)| number(major) && number(minor))
}
