//! Owns the reference model: what an install root at rest may hold, read with nothing but JSON and SHA-256.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use kojibox_signing::Digest;
use serde_json::Value;

use super::{
    bench::{Bench, DATA, PROJECT},
    op::Active,
};
use crate::{
    Failure, Outcome, ensure,
    tree::{Picture, picture},
};

/// How clean a root must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Exactly what generations name has a final name.
    Clean,
    /// The same, but a prune may have left the empty directory of what was the highest number then.
    Pruned,
    /// A removal that the file system refused may have left something for the next command.
    Whole,
}

/// How sound the trees must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trees {
    /// To the byte.
    Sound,
    /// A repair has not come to each of what was damaged: it is sound, or as it was before.
    MayBeDamaged,
}

/// Compares the root with the model; tells what is active.
pub(crate) fn check(root: &Path, rest: Rest) -> Outcome<Active> {
    inspect(root, rest, Trees::Sound)
}

/// The same, for a root that is to be repaired too.
pub(crate) fn inspect(root: &Path, rest: Rest, trees: Trees) -> Outcome<Active> {
    let journal = fs::read(root.join("state/journal")).unwrap_or_default();
    ensure(journal.is_empty(), || "the journal is not empty".into())?;
    let pointer = document(&root.join("state/current.json"))?;
    let (mut named, mut releases) = (BTreeSet::new(), Vec::new());
    let ids = list(&root.join("generations"))?;
    let highest = ids.iter().filter_map(|id| id.parse::<u64>().ok()).max();
    for id in &ids {
        let dir = root.join("generations").join(id);
        let Some(record) = document(&dir.join("record.json"))? else {
            let holds = list(&dir)?;
            // A prune leaves the directory of the highest number, empty, so that no number is given twice.
            let left = highest == id.parse().ok() || rest == Rest::Pruned;
            if holds.is_empty() && left {
                continue;
            }
            return Err(Failure::new(format!("generation {id} has no record, but {holds:?}")));
        };
        let release = generation(root, &record, trees, &mut named)?;
        releases.push((id.clone(), release, dir.join("bad.json").exists()));
    }
    let mut listed = BTreeSet::new();
    for dir in ["components", "records/packs", "records/components"] {
        listed.extend(list(&root.join(dir))?.into_iter().map(|name| format!("{dir}/{name}")));
    }
    let clean = if rest == Rest::Whole {
        listed.is_superset(&named)
    } else {
        listed == named
    };
    ensure(clean, || format!("generations name {named:?}, there is {listed:?}"))?;
    check_receipts(root)?;
    check_front_door(root)?;
    let Some(pointer) = pointer else { return Ok(None) };
    let current = pointer["current"].to_string();
    let found = releases.iter().find(|(id, ..)| *id == current);
    let (_, release, bad) = found.ok_or_else(|| Failure::new(format!("the pointer names generation {current}")))?;
    ensure(!bad, || format!("generation {current} is active and marked bad"))?;
    let previous = pointer["previous"].to_string();
    let there = previous == "null" || releases.iter().any(|(id, ..)| *id == previous);
    ensure(there, || {
        format!("the generation to return to, {previous}, is not there")
    })?;
    Ok(Some(*release))
}

/// Names of the receipts, in order.
pub(crate) fn receipts(root: &Path) -> Outcome<Vec<String>> {
    let mut names = list(&root.join("state/receipts"))?;
    // What an interrupted one left beside its place.
    names.retain(|name| Path::new(name).extension().is_some_and(|end| end == "json"));
    Ok(names)
}

/// One generation: its records are what their digests say, its trees are the release's to the byte.
fn generation(root: &Path, record: &Value, trees: Trees, named: &mut BTreeSet<String>) -> Outcome<u8> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&record["packs"][0]["version"]);
    let release = version.bytes().next().unwrap_or_default().wrapping_sub(b'0');
    ensure((1..=3).contains(&release), || format!("there is no release {version}"))?;
    named.insert(manifest(root, &text(&record["packs"][0]["digest"]))?);
    // A self-update takes the launcher of another release, and nothing else of it.
    let own = record.get("launcher_pack").filter(|pack| !pack.is_null());
    if let Some(own) = own {
        let taken = text(&own["version"]);
        ensure(taken == "4.0.0", || format!("the launcher is of release {taken}"))?;
        named.insert(manifest(root, &text(&own["digest"]))?);
    }
    let components = record["components"].as_array().cloned().unwrap_or_default();
    ensure(components.len() == 2, || format!("{} components", components.len()))?;
    for component in components {
        let (id, dir) = (text(&component["id"]), text(&component["dir"]));
        let index = format!("records/components/{dir}.idx.zst");
        let recorded = expect_digest(&root.join(&index), &text(&component["index_sha256"]));
        let mut found = picture(&root.join("components").join(&dir))?;
        let expected = if id == "tree" {
            Bench::tree(release)
        } else {
            launcher(if own.is_some() { 4 } else { release })?
        };
        if trees == Trees::MayBeDamaged && id == "tree" {
            mend(&mut found, &expected);
        } else {
            recorded?;
        }
        ensure(found == expected, || {
            format!("`{dir}` holds {found:?}, expected {expected:?}")
        })?;
        named.extend([index, format!("components/{dir}")]);
    }
    Ok(if own.is_some() { 10 * release + 4 } else { release })
}

/// The record of a pack is what its digest says, with its one signature; gives where it is.
fn manifest(root: &Path, digest: &str) -> Outcome<String> {
    let pack = format!("records/packs/{digest}");
    expect_digest(&root.join(&pack).join("manifest.kbx.json"), digest)?;
    let signatures = list(&root.join(&pack).join("signatures"))?;
    ensure(signatures.len() == 1, || format!("`{pack}` has {signatures:?}"))?;
    Ok(pack)
}

/// Counts what is still as [`Bench::damaged`] has it as sound; anything else stays as it was found.
fn mend(found: &mut Picture, expected: &Picture) {
    let damaged = Bench::damaged();
    let names: BTreeSet<_> = damaged.keys().chain(expected.keys()).cloned().collect();
    for name in names.into_iter().filter(|name| damaged.get(name) != expected.get(name)) {
        if found.get(&name) == damaged.get(&name) {
            match expected.get(&name) {
                Some(what) => found.insert(name, what.clone()),
                None => found.remove(&name),
            };
        }
    }
}

fn launcher(release: u8) -> Outcome<Picture> {
    let bytes = Bench::launcher(release)?;
    let what = format!("555 {} {}", bytes.len(), Digest::of(&bytes));
    Ok(Picture::from([("kojibox".to_owned(), what)]))
}

fn expect_digest(path: &Path, digest: &str) -> Outcome {
    let found = Digest::of(&bytes(path)?).to_string();
    ensure(found == digest, || format!("`{}` has sha256 {found}", path.display()))
}

/// What services and people have written is byte-identical.
pub(crate) fn check_data(root: &Path) -> Outcome {
    [DATA, PROJECT].into_iter().try_for_each(|file| check_alone(root, file))
}

/// The services' data is gone, what people have written is byte-identical.
pub(crate) fn check_purged(root: &Path) -> Outcome {
    ensure(!root.join("data").exists(), || "data was left".into())?;
    check_alone(root, PROJECT)
}

/// A file is as it was, and has nothing beside it.
fn check_alone(root: &Path, (path, expected): (&str, &[u8])) -> Outcome {
    let top = path.split('/').next().unwrap_or_default();
    let found = picture(&root.join(top))?;
    let files = found.iter().filter(|(_, what)| *what != "dir").count();
    let same = files == 1 && bytes(&root.join(path))? == expected;
    ensure(same, || format!("`{top}` holds {found:?}"))
}

/// Each receipt names the one before it.
fn check_receipts(root: &Path) -> Outcome {
    let mut before: Option<(String, String)> = None;
    for name in receipts(root)? {
        let path = root.join("state/receipts").join(&name);
        let bytes = bytes(&path)?;
        let receipt: Value = serde_json::from_slice(&bytes).map_err(Failure::doing(format!("`{name}`")))?;
        let link = receipt.get("previous").filter(|v| !v.is_null());
        let link = link.map(|l| (l["txid"].to_string(), l["sha256"].to_string()));
        ensure(link == before, || {
            format!("receipt `{name}` names {link:?}, before it is {before:?}")
        })?;
        before = Some((receipt["txid"].to_string(), format!("\"{}\"", Digest::of(&bytes))));
    }
    Ok(())
}

/// The front door, if there is one, is a whole launcher.
fn check_front_door(root: &Path) -> Outcome {
    let Ok(door) = fs::read(root.join("kojibox")) else {
        return Ok(());
    };
    for n in 1..=4 {
        if Bench::launcher(n)? == door {
            return Ok(());
        }
    }
    Err(Failure::new(format!(
        "the front door has {} bytes of no launcher",
        door.len()
    )))
}

fn bytes(path: &Path) -> Outcome<Vec<u8>> {
    fs::read(path).map_err(Failure::doing(format!("could not read `{}`", path.display())))
}

/// A JSON document, if it is there.
fn document(path: &PathBuf) -> Outcome<Option<Value>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(Failure::doing(format!("`{}` is not JSON", path.display()))),
        Err(_) => Ok(None),
    }
}

/// Sorted names in a directory; none if there is no such directory.
fn list(dir: &Path) -> Outcome<Vec<String>> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Failure::doing(format!("could not list `{}`", dir.display())))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
