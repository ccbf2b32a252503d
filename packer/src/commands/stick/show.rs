//! Owns how the plan of a stick is told: each pack, what is there already, whether the rest fits.

use kojibox_console::{Ui, bytes};
use serde_json::{Value, json};

use crate::stick::{Laid, Plan};

/// Sizes that sticks are sold in, as they are printed on them.
const SOLD_GB: [u64; 7] = [4, 8, 16, 32, 64, 128, 256];

/// Tells a person what goes onto the stick.
pub(super) fn plan(ui: &Ui, plan: &Plan) {
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
    if let Some(parity) = plan.parity {
        let lost = match parity.blocks {
            1 => "one lost block".to_owned(),
            n => format!("any {n} lost blocks"),
        };
        ui.status(&format!("parity: {}, which repairs {lost} of 32.", bytes(parity.size)));
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

/// The same as one JSON document; `laid` once it was laid out.
pub(super) fn document(plan: &Plan, laid: Option<Laid>) -> Value {
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
        "parity": plan.parity.map(|p| json!({ "blocks": p.blocks, "of": 32, "size": p.size })),
        "smallest_stick_gb": smallest_stick(plan.total()),
        "copied": laid.map(|l| l.copied), "kept": laid.map(|l| l.kept),
    })
}

#[cfg(test)]
mod tests {
    use super::smallest_stick;

    #[test]
    fn a_stick_holds_a_little_less_than_is_printed_on_it() {
        let sticks = [3_800_000_000, 3_900_000_000, 1 << 50].map(smallest_stick);
        assert_eq!(sticks, [Some(4), Some(8), None]);
    }
}
