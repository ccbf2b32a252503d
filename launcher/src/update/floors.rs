//! Owns the refusal of replays: what was withdrawn, replaced, is older than what was seen, or was stale before signed times.
//!
//! Pure functions over [`Floors`]. The verdicts are those of the installer, which is another program: both are held to
//! `tests/tables/replays.json`.

use kojibox_packs::manifest::Manifest;
use kojibox_signing::{Digest, UtcTime};
use kojibox_state::{doc::Versioned as _, records::Floors};

/// Nothing signed is older than this program. Raised with each release, together with the installer's.
const RELEASED: &str = "2026-11-20T00:00:00Z";

/// A release must not be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Replay {
    /// Its publisher withdrew it.
    #[error("its publisher withdrew it (manifest sha256 `{0}`)")]
    Revoked(Digest),
    /// It is older than what is or was installed.
    #[error("its sequence is {sequence}, this tree has already seen {floor}")]
    Older {
        /// Its sequence.
        sequence: u64,
        /// Highest sequence ever active.
        floor: u64,
    },
    /// An installed release forbade everything below a sequence for good.
    #[error("its sequence is {sequence}, an installed release forbids all below {minimum}")]
    BelowMinimum {
        /// Its sequence.
        sequence: u64,
        /// Lowest sequence allowed.
        minimum: u64,
    },
    /// The same sequence was seen with other content.
    #[error(
        "it has the sequence of an installed one, but other content: manifest sha256 is `{got}`, known is `{known}`"
    )]
    Replaced {
        /// Digest on the medium.
        got: Digest,
        /// Digest seen before.
        known: Digest,
    },
    /// It was stale before the newest signed document was made.
    #[error("it expired at {expires}, signed documents prove that it is at least {at}")]
    Expired {
        /// When it became stale.
        expires: UtcTime,
        /// Newest signed time.
        at: UtcTime,
    },
}

/// What holds once everything that was verified has been heard: `stored` is what this tree remembers, `manifests` are all
/// verified ones of a medium, chosen or not, `roots` the times at which trust roots were issued.
pub(super) fn known<'a>(
    stored: Option<Floors>,
    manifests: impl Iterator<Item = &'a Manifest>,
    roots: impl Iterator<Item = UtcTime>,
) -> Floors {
    let mut known = stored.unwrap_or_else(fresh);
    let mut at = not_before(&known);
    for manifest in manifests {
        at = at.max(manifest.issued.parse().unwrap_or(at));
        known.revoked.extend(&manifest.revokes);
    }
    known.not_before = roots.fold(at, Ord::max).to_string();
    known
}

/// Floors of a tree without memory.
fn fresh() -> Floors {
    Floors {
        schema: Floors::SCHEMA.to_owned(),
        not_before: RELEASED.to_owned(),
        packs: [].into(),
        revoked: [].into(),
    }
}

/// The lower bound of the present.
pub(super) fn not_before(floors: &Floors) -> UtcTime {
    let released = RELEASED.parse().expect("the constant is a time");
    floors.not_before.parse().map_or(released, |t: UtcTime| t.max(released))
}

/// Refuses a full pack of publisher `root16` whose manifest has this `digest`.
pub(super) fn check(known: &Floors, root16: &str, manifest: &Manifest, digest: Digest) -> Result<(), Replay> {
    if known.revoked.contains(&digest) {
        return Err(Replay::Revoked(digest));
    }
    let (sequence, at) = (manifest.sequence, not_before(known));
    if let Some(floor) = known.packs.get(&format!("{root16}/{}", manifest.pack)) {
        if sequence < floor.min_sequence {
            let minimum = floor.min_sequence;
            return Err(Replay::BelowMinimum { sequence, minimum });
        }
        if sequence < floor.sequence {
            let floor = floor.sequence;
            return Err(Replay::Older { sequence, floor });
        }
        let seen = floor.digests.get(&manifest.target).copied();
        if let Some(known) = seen.filter(|known| sequence == floor.sequence && *known != digest) {
            return Err(Replay::Replaced { got: digest, known });
        }
    }
    match manifest.expires.as_deref().and_then(|t| t.parse::<UtcTime>().ok()) {
        Some(expires) if expires < at => Err(Replay::Expired { expires, at }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(id: &Value) -> Digest {
        Digest::of(&[u8::try_from(id.as_u64().unwrap()).unwrap()])
    }

    fn manifest(case: &Value) -> Manifest {
        let file = json!({ "name": "x", "size": 1, "sha256": Digest::of(b"x") });
        let revokes: Vec<Digest> = case["revokes"].as_array().into_iter().flatten().map(digest).collect();
        let mut all = json!({
            "schema": "kojibox.pack/1.0", "readable_since": 0, "pack": "edge", "version": "1.0.0", "sequence": case["sequence"],
            "channel": "stable", "kind": "full", "target": "any", "min_installer": "0.1.0", "issued": case["issued"],
            "source_date_epoch": 1, "compressor": { "name": "zstd", "version": "1.5.7", "level": 1, "window_log": 23 },
            "components": [], "space": { "staging": 1, "installed": 1, "peak": 1 }, "revokes": revokes,
            "sums": file, "sbom": file, "provenance": file,
        });
        if let Some(expires) = case.get("expires") {
            all["expires"] = expires.clone();
        }
        serde_json::from_value(all).unwrap()
    }

    fn stored(case: &Value) -> Option<Floors> {
        let mut floors = fresh();
        floors.not_before = case.get("not_before")?.as_str()?.to_owned();
        floors.revoked = case["revoked"].as_array().into_iter().flatten().map(digest).collect();
        if let Some(pack) = case.get("pack") {
            let floor = floors.packs.entry("aa/edge".to_owned()).or_default();
            (floor.sequence, floor.min_sequence) = (
                pack["sequence"].as_u64().unwrap(),
                pack["min_sequence"].as_u64().unwrap(),
            );
            floor.digests.insert("any".to_owned(), digest(&pack["id"]));
        }
        Some(floors)
    }

    #[test]
    fn replays_are_told_as_the_installer_tells_them() {
        let table: Value = serde_json::from_str(include_str!("../../../tests/tables/replays.json")).unwrap();
        assert_eq!(table["released"], RELEASED);
        let cases = table["cases"].as_array().unwrap();
        assert!(cases.len() > 10);
        for case in cases {
            let time = |key: &str| case["root"][key].as_str().unwrap().parse::<UtcTime>().unwrap();
            let pack = manifest(&case["pack"]);
            let medium: Vec<Manifest> = case["medium"].as_array().unwrap().iter().map(manifest).collect();
            let all = medium.iter().chain([&pack]);
            let known = known(stored(&case["floors"]), all, [time("issued")].into_iter());
            let verdict = if time("expires") < not_before(&known) {
                "stale-root"
            } else {
                match check(&known, "aa", &pack, digest(&case["pack"]["id"])) {
                    Ok(()) => "passed",
                    Err(Replay::Revoked(_)) => "revoked",
                    Err(Replay::Older { .. }) => "older",
                    Err(Replay::BelowMinimum { .. }) => "below-minimum",
                    Err(Replay::Replaced { .. }) => "replaced",
                    Err(Replay::Expired { .. }) => "expired",
                }
            };
            assert_eq!(case["verdict"], verdict, "{}", case["name"]);
        }
    }
}
