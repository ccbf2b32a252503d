//! Owns [`FormatChange`]: which services would find data of another format after an activation, and what that means.

use std::{collections::BTreeMap, fmt};

use kojibox_state::{
    InstallRoot,
    layout::place,
    records::{ComponentRecord, GenerationRecord},
};
use serde::Serialize;

use super::error::Cause;
use crate::plan::{DataInUse, Gate};

/// One service that reads another format in the other generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FormatChange {
    /// Service id; the component's id if no service of it is declared.
    pub service: String,
    /// Format of the active generation.
    pub from: String,
    /// Format of the other one.
    pub to: String,
    /// Since when the present data is in use: what was written from then on is missing after a way back.
    pub since: Option<String>,
    /// Where the present data is kept after a way back, relative to the root.
    pub kept_in: Option<String>,
}

impl fmt::Display for FormatChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            from,
            to,
            since,
            kept_in,
        } = self;
        write!(f, "`{service}` goes back from data format `{from}` to `{to}`: ")?;
        match since {
            Some(since) => write!(f, "what was written since {since} will be missing")?,
            None => write!(f, "what was written since the change will be missing")?,
        }
        match kept_in {
            Some(folder) => write!(f, "; it is kept in `{folder}`"),
            None => write!(f, "; it is kept aside"),
        }
    }
}

/// Services of `next` whose component has another data format than in `now`.
pub(super) fn format_changes(
    root: &InstallRoot,
    now: &GenerationRecord,
    next: &GenerationRecord,
) -> Result<Vec<FormatChange>, Cause> {
    let mut changes = Vec::new();
    for new in &next.components {
        let old = now.components.iter().find(|c| c.id == new.id);
        let Some(old) = old.filter(|old| old.data_format != new.data_format) else {
            continue;
        };
        let mut services = services_of(root, next, new)?;
        if services.is_empty() {
            services.push(new.id.clone());
        }
        changes.extend(services.into_iter().map(|service| FormatChange {
            service,
            from: named(old),
            to: named(new),
            since: None,
            kept_in: None,
        }));
    }
    Ok(changes)
}

fn named(component: &ComponentRecord) -> String {
    component.data_format.as_deref().unwrap_or("default").to_owned()
}

fn services_of(
    root: &InstallRoot,
    generation: &GenerationRecord,
    component: &ComponentRecord,
) -> Result<Vec<String>, Cause> {
    let mut services = Vec::new();
    for pack in generation.packs.iter().filter(|p| p.name == component.pack) {
        let manifest = root.manifest(&pack.digest)?;
        let own = manifest.services.iter().filter(|s| s.component == component.id);
        services.extend(own.map(|s| s.id.clone()));
    }
    Ok(services)
}

/// What a return from the active generation to `id` would take out of sight, as the active launcher tells it.
///
/// Data that was never made, or never moved to the newer format, is not missed by anybody, and a way forward takes nothing
/// away. What the launcher does not tell counts as changed.
///
/// # Errors
/// [`Cause::NoGeneration`], or whatever keeps the records from being read.
pub fn data_changes(root: &InstallRoot, id: u64, gate: &dyn Gate) -> Result<Vec<FormatChange>, Cause> {
    let then = root.generation(id)?.ok_or(Cause::NoGeneration(id))?;
    let now = match root.current() {
        Ok(Some(now)) => now,
        Ok(None) => return Ok(Vec::new()),
        Err(error) if error.is_damage() => return unrecorded_changes(root, &then, gate),
        Err(error) => return Err(error.into()),
    };
    let mut changes = format_changes(root, &now, &then)?;
    if changes.is_empty() {
        return Ok(changes);
    }
    let Some(known) = root
        .launcher(&now)
        .and_then(|launcher| gate.data(&launcher, root.path()))
    else {
        return Ok(changes);
    };
    changes.retain_mut(|change| misses(change, &known));
    Ok(changes)
}

/// The same where the record of the active generation is damaged: the front door, a copy of its launcher, tells what is in use.
fn unrecorded_changes(
    root: &InstallRoot,
    then: &GenerationRecord,
    gate: &dyn Gate,
) -> Result<Vec<FormatChange>, Cause> {
    let door = place::front_door().below(root.path());
    let known = gate.data(&door, root.path()).unwrap_or_default();
    let mut changes = Vec::new();
    for component in &then.components {
        for service in services_of(root, then, component)? {
            let Some(data) = known.get(&service).filter(|data| data.format != named(component)) else {
                continue;
            };
            let mut change = FormatChange {
                from: data.format.clone(),
                to: named(component),
                service,
                since: None,
                kept_in: None,
            };
            if misses(&mut change, &known) {
                changes.push(change);
            }
        }
    }
    Ok(changes)
}

/// Completes `change` with what is known; false if nothing would be missing.
fn misses(change: &mut FormatChange, known: &BTreeMap<String, DataInUse>) -> bool {
    let Some(data) = known.get(&change.service) else {
        return false;
    };
    // A format that the data was not made from is one it will be moved to: that is a way forward.
    let Some(older) = data.older.iter().find(|o| o.format == change.to) else {
        return false;
    };
    change.since = Some(older.until.clone());
    change.kept_in = Some(data.keep_as.clone());
    true
}
