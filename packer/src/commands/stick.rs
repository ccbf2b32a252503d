//! Owns the command `stick`: lays out a depot for carrying.

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Report, Ui, bytes};
use kojibox_packs::Target;
use serde_json::{Value, json};

use super::build::{Watch, own_folder};
use crate::{
    depot::{Chain, PackRef},
    keys::TrustChain,
    stick::{Laid, Plan, Wish},
    tools::Tools,
};

/// Sizes that sticks are sold in, as they are printed on them.
const SOLD_GB: [u64; 7] = [4, 8, 16, 32, 64, 128, 256];

/// Lay out a stick: packs, trust roots, installers and a README that works without Kojibox
///
/// Only what is missing is copied, and every byte is compared with its signed hash on the way. Files of other people stay.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The stick, or any folder; made if absent
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Where packs are taken from
    #[arg(long, value_name = "DIR")]
    depot: PathBuf,
    /// Carry this release; may be repeated [default: the newest release of each pack]
    #[arg(long, value_name = "NAME@VERSION")]
    pack: Vec<PackRef>,
    /// Carry packs and the installer for this machine only; may be repeated [default: all that are there]
    #[arg(long, value_name = "TARGET")]
    target: Vec<Target>,
    /// Carry packs of this publisher only, and let the installers trust it
    #[arg(long, value_name = "ROOT.json")]
    trust: Option<PathBuf>,
    /// Folder with the installers [default: the folder of this program]
    #[arg(long, value_name = "DIR", conflicts_with = "without_installer")]
    tools: Option<PathBuf>,
    /// Carry no installer
    #[arg(long)]
    without_installer: bool,
    /// Cut blobs anew into parts of at most this many bytes; K, M and G are taken
    #[arg(long, value_name = "BYTES", value_parser = part_size)]
    part_size: Option<u64>,
    /// Only say what would be copied, and whether it fits
    #[arg(long)]
    plan: bool,
}

/// Largest file that FAT32 holds.
const MAX_PART: u64 = u32::MAX as u64;

/// `1999634432`, `650M`, `4G`: at most what FAT32 holds.
fn part_size(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let unit = match unit {
        "" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return Err("expected bytes, or a number with K, M or G".to_owned()),
    };
    let size = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    match size {
        Some(size @ 1..=MAX_PART) => Ok(size),
        // What people write for the limit of FAT32.
        Some(size) if size == MAX_PART + 1 => Ok(MAX_PART),
        _ => Err(format!("expected 1 to {MAX_PART}, the largest file of FAT32")),
    }
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let plan = Plan::make(&self.wish()?)?;
        show(ui, &plan);
        if self.plan {
            if ui.is_json() {
                ui.json(&document(&plan, None));
            }
            return Ok(Exit::Done);
        }
        let total = plan.blob_bytes();
        let phase = ui.bytes(&format!("laying out {}", self.dir.display()), Some(total));
        let laid = plan.lay_out(&Watch(&phase))?;
        phase.finish("");
        if laid.foreign_readme {
            ui.note("`README.txt` there is not of this program and stays; ours is `README-KOJIBOX.txt`.");
        }
        ui.done(&format!(
            "{} blobs copied, {} were there; the stick may be removed.",
            laid.copied, laid.kept
        ));
        if ui.is_json() {
            ui.json(&document(&plan, Some(laid)));
        } else {
            ui.answer(&self.dir.display().to_string());
        }
        Ok(Exit::Done)
    }

    fn wish(&self) -> Outcome<Wish> {
        if let Some(PackRef::File(path)) = self.pack.iter().find(|p| matches!(p, PackRef::File(_))) {
            let error = format!(
                "`{}` is a file, expected `name@version` of a pack in the depot",
                path.display()
            );
            return Err(Report::new(Exit::Usage, error));
        }
        let tools = match &self.tools {
            _ if self.without_installer => None,
            Some(dir) => Some(dir.clone()),
            None => Some(own_folder()?),
        };
        let trust = self.trust.as_deref().map(TrustChain::load).transpose()?;
        Ok(Wish {
            dir: self.dir.clone(),
            depot: self.depot.clone(),
            packs: self.pack.clone(),
            targets: self.target.clone(),
            trust: trust.as_ref().map(Chain::from),
            tools: tools.map(Tools::new),
            part_size: self.part_size,
        })
    }
}

/// Tells a person what goes onto the stick.
fn show(ui: &Ui, plan: &Plan) {
    for pack in &plan.packs {
        let shared = match pack.shared {
            0 => String::new(),
            n => format!(", {} of it shared with packs above", bytes(n)),
        };
        ui.status(&format!("{}: {}{shared}.", pack.title, bytes(pack.size)));
    }
    for program in &plan.programs {
        let trust = if program.trusted { "with" } else { "without" };
        ui.status(&format!(
            "{}: {}, {trust} the trust root.",
            program.name,
            bytes(program.size)
        ));
    }
    let (total, free) = (bytes(plan.total()), bytes(plan.free));
    let there = bytes(plan.there);
    let fits = if plan.fits() { "it fits" } else { "it does not fit" };
    let smallest = smallest_stick(plan.total());
    let stick = smallest.map_or_else(String::new, |gb| format!("; a stick of {gb} GB holds it"));
    ui.status(&format!(
        "{total} in all, {there} of it there already, {free} free: {fits}{stick}."
    ));
}

/// The smallest stick that holds `size`: sellers count in powers of ten, and file systems take a little.
fn smallest_stick(size: u64) -> Option<u64> {
    SOLD_GB.into_iter().find(|gb| size <= gb * 1_000_000_000 / 100 * 97)
}

fn document(plan: &Plan, laid: Option<Laid>) -> Value {
    let packs = plan
        .packs
        .iter()
        .map(|p| json!({ "title": p.title, "size": p.size, "shared": p.shared }));
    let programs = plan
        .programs
        .iter()
        .map(|p| json!({ "name": p.name, "size": p.size, "trusted": p.trusted }));
    json!({
        "packs": packs.collect::<Vec<_>>(), "installers": programs.collect::<Vec<_>>(),
        "to_write": plan.to_write, "there": plan.there, "free": plan.free, "fits": plan.fits(),
        "smallest_stick_gb": smallest_stick(plan.total()),
        "copied": laid.map(|l| l.copied), "kept": laid.map(|l| l.kept),
    })
}

#[cfg(test)]
mod tests {
    use super::{part_size, smallest_stick};

    #[test]
    fn part_sizes_are_written_as_people_do_and_fit_fat32() {
        for (text, size) in [
            ("1000000", 1_000_000),
            ("650M", 650 << 20),
            ("4G", 4_294_967_295),
            ("1999634432", 1_999_634_432),
        ] {
            assert_eq!(part_size(text), Ok(size), "{text}");
        }
        for bad in ["", "0", "M", "-1", "5G", "1T", "1.5G", "99999999999999999999G"] {
            assert!(part_size(bad).is_err(), "{bad}");
        }
        assert_eq!(
            (smallest_stick(3_800_000_000), smallest_stick(3_900_000_000)),
            (Some(4), Some(8))
        );
        assert_eq!(smallest_stick(1 << 50), None);
    }
}
