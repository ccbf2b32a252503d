//! Owns the command `stick`: lays out a depot for carrying.

mod show;

use std::path::PathBuf;

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_packs::{Target, parity};

use super::build::{Watch, own_folder};
use crate::{
    depot::{Chain, PackRef},
    keys::TrustChain,
    stick::{Plan, Wish},
    tools::Tools,
};

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
    /// Add parity, from which an installer repairs a failing stick: 3.125 to 25 in steps of 3.125
    ///
    /// Each step repairs one lost block of 32; 6.25 repairs any two 4 MiB blocks of 128 MiB.
    #[arg(long, value_name = "PERCENT", value_parser = parity_blocks)]
    parity: Option<u32>,
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

/// `6.25` or `6.25%` as parity blocks for each 32 blocks.
fn parity_blocks(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 3;
    let thousandths = (!whole.is_empty() && digits(whole) && digits(part))
        .then(|| format!("{whole}{part:0<3}").parse().ok())
        .flatten();
    thousandths.and_then(parity::blocks_of_percent).ok_or_else(|| {
        "expected a percentage that is one block of 32 or up to eight: 3.125, 6.25, 9.375, 12.5, 15.625, 18.75, 21.875 or 25".to_owned()
    })
}

impl Args {
    /// Runs the command.
    pub fn run(self, ui: &Ui) -> Outcome {
        let plan = Plan::make(&self.wish()?)?;
        show::plan(ui, &plan);
        if self.plan {
            if ui.is_json() {
                ui.json(&show::document(&plan, None));
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
            ui.json(&show::document(&plan, Some(laid)));
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
            parity: self.parity,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{parity_blocks, part_size};

    #[test]
    fn parity_is_a_number_of_blocks_in_32_and_says_which_ones() {
        for (text, blocks) in [
            ("3.125", 1),
            ("6.25", 2),
            ("6.250", 2),
            ("6.25%", 2),
            ("12.5", 4),
            ("25", 8),
        ] {
            assert_eq!(parity_blocks(text), Ok(blocks), "{text}");
        }
        for bad in [
            "", "0", "5", "6", "6.26", "28.125", "-6.25", ".25", "6.2500", "a", "6,25", "%",
        ] {
            let told = parity_blocks(bad).unwrap_err();
            assert!(told.contains("6.25, 9.375"), "{bad}: {told}");
        }
    }

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
    }
}
