//! Owns the command `verify`: the installer's verdict over finished packs, before anybody carries them.

mod told;

use std::{path::PathBuf, sync::Arc};

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_packs::{names, source};

use super::build::Watch;
use crate::{
    depot::{Chain, Parcel, Refused, Trust},
    interrupt,
    keys::TrustChain,
    verify::{Verdict, Verifier},
};

/// Verify finished packs: signatures and every byte they cover, each read once
///
/// Ends with the code that the installer would end with: 20 not signed as it should be, 21 damaged, 22 too new, 24 malformed,
/// 33 a file is missing.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A depot, a stick, a `.kpack` or a `.kbx.json`
    #[arg(value_name = "DEPOT|FILE")]
    place: PathBuf,
    /// Hold the packs against this publisher, not against whom the depot itself names
    #[arg(long, value_name = "ROOT.json")]
    trust: Option<PathBuf>,
    /// Threads that hash and decode [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let (place, only) = self.place_and_manifest();
        let failed = |source| Refused::Source {
            path: place.clone(),
            source,
        };
        let source = source::open(&place).map_err(failed)?;
        let named = self
            .trust
            .as_deref()
            .map(TrustChain::load)
            .transpose()?
            .map(|c| Chain::from(&c));
        let trust = Trust::of(&*source, named.as_ref())?;
        let mut manifests = source.manifests().map_err(failed)?;
        manifests.retain(|name| only.as_ref().is_none_or(|only| name == only));
        if manifests.is_empty() {
            let error = format!("there is no pack in `{}`", self.place.display());
            return Err(Report::new(Exit::MediumMissing, error));
        }
        let threads = self.threads.map_or_else(
            || std::thread::available_parallelism().map_or(1, usize::from),
            usize::from,
        );
        let mut verifier = Verifier::new(Arc::clone(&source), &trust, threads, interrupt::flag());
        let (verdicts, refused) = verify_all(ui, &mut verifier, &manifests)?;
        told::tell(ui, &trust, &verdicts, &refused);
        if only.is_none() && refused.is_empty() {
            let parcels: Vec<_> = verdicts.iter().map(|v| v.parcel.clone()).collect();
            for file in verifier.strays(&parcels)? {
                ui.note(&format!("`{file}` belongs to no pack here."));
            }
        }
        end(ui, refused)
    }

    /// A manifest's depot is the folder above `packs/`.
    fn place_and_manifest(&self) -> (PathBuf, Option<String>) {
        let name = self
            .place
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.ends_with(names::MANIFEST) {
            return (self.place.clone(), None);
        }
        let depot = self.place.parent().and_then(|p| p.parent());
        let depot = depot
            .filter(|d| !d.as_os_str().is_empty())
            .unwrap_or(std::path::Path::new("."));
        (depot.to_owned(), Some(name))
    }
}

type Decided = (Vec<Verdict>, Vec<(String, Refused)>);

/// Decides over every pack; one that is refused does not keep the others from being looked at.
fn verify_all(ui: &Ui, verifier: &mut Verifier<'_>, manifests: &[String]) -> Outcome<Decided> {
    let (mut verdicts, mut refused) = (Vec::new(), Vec::new());
    let mut opened: Vec<Parcel> = Vec::new();
    for name in manifests {
        match verifier.open(name) {
            Ok(parcel) => opened.push(parcel),
            Err(e) => refused.push((name.clone(), e)),
        }
    }
    let total = opened
        .iter()
        .flat_map(|p| &p.manifest.components)
        .map(|c| c.blob.size)
        .sum();
    let phase = ui.bytes("verifying", Some(total));
    for parcel in opened {
        let name = parcel.name.clone();
        phase.message(&name);
        match verifier.read(parcel, &Watch(&phase)) {
            Ok(verdict) => verdicts.push(verdict),
            Err(_) if interrupt::asked() => return Err(interrupt::report()),
            Err(e) => refused.push((name, e)),
        }
    }
    phase.finish("");
    Ok((verdicts, refused))
}

/// Reports every refusal; the first decides the exit code.
fn end(ui: &Ui, refused: Vec<(String, Refused)>) -> Outcome {
    let mut refused = refused.into_iter();
    let Some((_, first)) = refused.next() else {
        return Ok(Exit::Done);
    };
    for (_, other) in refused {
        ui.report(other.into());
    }
    Err(first.into())
}
