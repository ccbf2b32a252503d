//! Owns the catalog: which packs of the medium fit this system, each verified before its content is looked at.

use kojibox_console::{Exit, Report, escape};
use kojibox_packs::{Target, manifest::Kind, names};

use crate::{
    medium::Medium,
    report::{NOTHING_WRITTEN, SourceReport},
    select::Want,
    trust::{Offer, Publisher, judge, unsigned},
};

/// What the medium offers.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    /// Verified packs for this system.
    pub offers: Vec<Offer>,
    /// What a person should know of the others, one sentence each.
    pub notes: Vec<String>,
}

/// The medium has nothing for this system.
#[derive(Debug, thiserror::Error)]
#[error("the medium has no pack{} for `{host}`", named(.wanted))]
struct NothingFits {
    host: Target,
    wanted: Vec<String>,
    #[source]
    source: Others,
}

#[derive(Debug, thiserror::Error)]
#[error("{}", others(.0))]
struct Others(Vec<String>);

fn named(wanted: &[String]) -> String {
    match wanted {
        [] => String::new(),
        list => format!(
            " {}",
            list.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn others(files: &[String]) -> String {
    match files {
        [] => "it has no packs at all".to_owned(),
        list => format!(
            "it has {}",
            list.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Reads the catalog for `host`; with `wants`, only manifests that may be meant are opened.
///
/// # Errors
/// A manifest that a trusted key signed must verify. Nothing at all, or nothing trusted, is an error too.
pub(super) fn read(medium: &Medium, host: Target, wants: &[Want], publishers: &[Publisher]) -> Result<Catalog, Report> {
    let files = medium.manifests().map_err(SourceReport)?;
    let mut catalog = Catalog::default();
    let mut untrusted: Vec<(usize, &str)> = Vec::new();
    let mut seen = 0;
    for (at, file) in files.iter().filter(|(_, file)| fits(file, host) && meant(file, wants)) {
        seen += 1;
        match judge(medium, *at, file, publishers)? {
            None => untrusted.push((*at, file)),
            Some(offer) => match unfit(&offer, host) {
                None => {
                    offer.check_installer()?;
                    catalog.offers.push(offer);
                }
                Some(note) => catalog.notes.push(note),
            },
        }
    }
    if seen == 0 {
        return Err(nothing_fits(host, wants, files.into_iter().map(|(_, f)| f).collect()));
    }
    // Names that were asked for must not vanish silently because their signature did.
    let lost = wants.iter().find_map(|want| {
        let found = catalog.offers.iter().any(|o| o.manifest.pack == want.name);
        let mut files = untrusted.iter();
        if found {
            None
        } else {
            files.find(|(_, f)| f.starts_with(&format!("{}-", want.name)))
        }
    });
    if let Some((at, file)) = lost.or(untrusted.first().filter(|_| catalog.offers.is_empty())) {
        unsigned(medium, *at, file, publishers)?;
    }
    let ignored = untrusted
        .iter()
        .map(|(_, f)| format!("`{f}` is left out: no trusted key has signed it"));
    catalog.notes.extend(ignored);
    Ok(catalog)
}

fn nothing_fits(host: Target, wants: &[Want], mut files: Vec<String>) -> Report {
    files.truncate(8);
    let error = NothingFits {
        host,
        wanted: wants.iter().map(ToString::to_string).collect(),
        source: Others(files.iter().map(|f| escape(f).into_owned()).collect()),
    };
    Report::new(Exit::Usage, error).state(NOTHING_WRITTEN)
}

/// True if the name says that the pack is for this system; deltas are opened by what they build on, never by themselves.
fn fits(file: &str, host: Target) -> bool {
    let Some(stem) = file.strip_suffix(names::MANIFEST) else {
        return false;
    };
    [Target::Any, host]
        .iter()
        .any(|target| stem.ends_with(&format!("-{target}")))
}

fn meant(file: &str, wants: &[Want]) -> bool {
    let prefix = |want: &Want| match &want.version {
        Some(version) => format!("{}-{version}-", want.name),
        None => format!("{}-", want.name),
    };
    wants.is_empty() || wants.iter().any(|want| file.starts_with(&prefix(want)))
}

/// Why a verified pack is not offered.
fn unfit(offer: &Offer, host: Target) -> Option<String> {
    let manifest = &offer.manifest;
    let target = manifest.target.parse::<Target>().ok();
    if manifest.kind == Kind::Delta || !target.is_some_and(|t| t.runs_on(host)) {
        return Some(format!("`{}` is left out: it is not for this system", offer.file));
    }
    let name = names::manifest(&manifest.file_stem());
    (name != offer.file).then(|| format!("`{}` is left out: it holds `{name}`", offer.file))
}

#[cfg(test)]
mod tests {
    use super::{fits, meant};

    #[test]
    fn names_are_only_a_filter() {
        let host = "linux-x86_64".parse().unwrap();
        assert!(fits("edge-1.0.0-linux-x86_64.kbx.json", host));
        assert!(fits("edge-1.0.0-any.kbx.json", host));
        assert!(!fits("edge-1.0.0-linux-aarch64.kbx.json", host));
        assert!(!fits("edge-2.0.0-linux-x86_64-from-1.0.0.kbx.json", host));
        assert!(!fits("edge-1.0.0-linux-x86_64.kbx.json.0011.sshsig", host));
        let wants = ["edge@1.0.0".parse().unwrap(), "site".parse().unwrap()];
        assert!(meant("edge-1.0.0-any.kbx.json", &wants));
        assert!(!meant("edge-2.0.0-any.kbx.json", &wants));
        assert!(meant("site-9-any.kbx.json", &wants) && meant("x", &[]));
    }
}
