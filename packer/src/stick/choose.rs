//! Owns which packs go onto a stick, and for which machines.

use std::collections::BTreeSet;

use kojibox_packs::{
    Target,
    manifest::{Kind, Manifest},
};

use super::{StickError, Wish};
use crate::depot::{self, Chain, Found, PackRef, Parcel, Trust};

/// Verified packs, sorted by file name.
pub(super) fn parcels(wish: &Wish) -> Result<Vec<Parcel>, StickError> {
    let found = depot::all(&wish.depot, |m| wanted(wish, m)).map_err(StickError::Find)?;
    each_named_one(wish, &found)?;
    let newest = newest(&found);
    let chosen = found
        .iter()
        .filter(|f| !wish.packs.is_empty() || newest.contains(&f.name));
    let mut parcels = Vec::new();
    let mut trust = None;
    for pack in chosen {
        if trust.is_none() {
            trust = Some(Trust::of(&*pack.source, wish.trust.as_ref())?);
        }
        let trust = trust.as_ref().expect("it was just set");
        parcels.push(Parcel::open(&pack.source, &pack.name, trust)?);
    }
    if parcels.is_empty() {
        return Err(StickError::Nothing {
            targets: targets_text(wish),
            depot: wish.depot.clone(),
        });
    }
    Ok(parcels)
}

fn wanted(wish: &Wish, m: &Manifest) -> bool {
    let named = |p: &PackRef| matches!(p, PackRef::Named { name, version } if *name == m.pack && *version == m.version);
    let by_name = wish.packs.is_empty() || wish.packs.iter().any(named);
    let target: Option<Target> = m.target.parse().ok();
    let by_target = wish.targets.is_empty() || target.is_some_and(|t| wish.targets.iter().any(|on| t.runs_on(*on)));
    m.kind == Kind::Full && by_name && by_target
}

fn each_named_one(wish: &Wish, found: &[Found]) -> Result<(), StickError> {
    for pack in &wish.packs {
        let PackRef::Named { name, version } = pack else {
            continue;
        };
        if !found
            .iter()
            .any(|f| f.manifest.pack == *name && f.manifest.version == *version)
        {
            return Err(StickError::NoPack {
                pack: format!("{name}@{version}"),
                targets: targets_text(wish),
                depot: wish.depot.clone(),
            });
        }
    }
    Ok(())
}

fn targets_text(wish: &Wish) -> String {
    match wish.targets.len() {
        0 => "any target".to_owned(),
        _ => wish
            .targets
            .iter()
            .map(|t| format!("`{t}`"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// Manifests of the newest release of each pack for each target and channel.
fn newest(found: &[Found]) -> BTreeSet<String> {
    let group = |m: &Manifest| (m.pack.clone(), m.target.clone(), m.channel.clone());
    let is_newest = |f: &&Found| {
        let rivals = found.iter().filter(|o| group(&o.manifest) == group(&f.manifest));
        rivals.map(|o| o.manifest.sequence).max() == Some(f.manifest.sequence)
    };
    found.iter().filter(is_newest).map(|f| f.name.clone()).collect()
}

/// Machines that get an installer: those that were named, else those that packs are for, else this one.
pub(super) fn machines(wish: &Wish, parcels: &[Parcel]) -> Vec<Target> {
    let of_packs = parcels.iter().filter_map(|p| p.manifest.target.parse().ok());
    let mut machines: Vec<Target> = if wish.targets.is_empty() {
        of_packs.collect()
    } else {
        wish.targets.clone()
    };
    machines.retain(|t| *t != Target::Any);
    if machines.is_empty() && Target::host() != Target::Any {
        machines.push(Target::host());
    }
    machines.sort();
    machines.dedup();
    machines
}

/// Every publisher of `parcels` once.
pub(super) fn publishers(parcels: &[Parcel]) -> Vec<Chain> {
    let mut out: Vec<Chain> = Vec::new();
    for parcel in parcels {
        if !out.iter().any(|c| c.root16() == parcel.chain.root16()) {
            out.push(parcel.chain.clone());
        }
    }
    out.sort_by_key(Chain::root16);
    out
}
