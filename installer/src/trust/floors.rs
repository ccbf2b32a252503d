//! Owns the refusal of replays: sequences that only rise, releases that were withdrawn, time that only grows.
//!
//! Pure functions over [`Floors`]; the transaction writes the raised ones after its commit.
//!
//! *Limitations*: a fresh root has no memory; the verdict says so.

use kojibox_packs::manifest::Manifest;
use kojibox_signing::{Digest, UtcTime};
use kojibox_state::records::{Floors, PackFloor};

use crate::plan::{Verdict, VerdictOutcome};

/// Nothing signed is older than this program. Raised with each release.
pub(crate) const RELEASED: &str = "2026-11-20T00:00:00Z";

/// Floors of a root without memory.
pub(crate) fn fresh() -> Floors {
    Floors {
        schema: "kojibox.floors/1".to_owned(),
        not_before: RELEASED.to_owned(),
        packs: [].into(),
        revoked: [].into(),
    }
}

/// A release about to be installed, as far as replays are concerned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release<'a> {
    /// Its manifest.
    pub manifest: &'a Manifest,
    /// Digest of the manifest's bytes.
    pub digest: Digest,
    /// Its publisher.
    pub root16: &'a str,
}

/// A release must not be installed here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FloorError {
    /// Its publisher withdrew it.
    #[error("pack `{pack}` {version} was withdrawn by its publisher (manifest sha256 `{digest}`)")]
    Revoked {
        /// Pack id.
        pack: String,
        /// Version on the medium.
        version: String,
        /// Manifest digest.
        digest: Digest,
    },
    /// It is older than what is or was installed.
    #[error("pack `{pack}` {version} has sequence {sequence}, this root has already seen {floor}")]
    Older {
        /// Pack id.
        pack: String,
        /// Version on the medium.
        version: String,
        /// Its sequence.
        sequence: u64,
        /// Highest sequence ever active.
        floor: u64,
    },
    /// An installed release forbade everything below a sequence for good.
    #[error("pack `{pack}` {version} has sequence {sequence}, an installed release forbids all below {minimum}")]
    BelowMinimum {
        /// Pack id.
        pack: String,
        /// Version on the medium.
        version: String,
        /// Its sequence.
        sequence: u64,
        /// Lowest sequence allowed.
        minimum: u64,
    },
    /// The same sequence was seen with other content.
    #[error(
        "pack `{pack}` {version} has sequence {sequence} like an installed one, but other content: manifest sha256 is `{got}`, known is `{known}`"
    )]
    Replaced {
        /// Pack id.
        pack: String,
        /// Version on the medium.
        version: String,
        /// The shared sequence.
        sequence: u64,
        /// Digest on the medium.
        got: Digest,
        /// Digest seen before.
        known: Digest,
    },
    /// It was stale before the newest signed document was made.
    #[error("pack `{pack}` {version} expired at {expires}, signed documents prove that it is at least {not_before}")]
    Expired {
        /// Pack id.
        pack: String,
        /// Version on the medium.
        version: String,
        /// When it became stale.
        expires: UtcTime,
        /// Newest signed time.
        not_before: UtcTime,
    },
    /// It is stale by the clock, and `--strict-time` counts that.
    #[error("pack `{pack}` {version} expired at {expires}, the clock says {now}")]
    Stale {
        /// Pack id.
        pack: String,
        /// Version on the medium.
        version: String,
        /// When it became stale.
        expires: UtcTime,
        /// The clock.
        now: UtcTime,
    },
}

impl FloorError {
    /// True if `--allow-downgrade` would let it pass.
    pub fn can_be_allowed(&self) -> bool {
        matches!(self, Self::Older { .. })
    }
}

impl Release<'_> {
    fn key(&self) -> String {
        format!("{}/{}", self.root16, self.manifest.pack)
    }

    fn digest_key(&self) -> String {
        match &self.manifest.base {
            Some(base) => format!("{}-from-{}", self.manifest.target, base.version),
            None => self.manifest.target.clone(),
        }
    }

    fn names(&self) -> (String, String) {
        (self.manifest.pack.clone(), self.manifest.version.clone())
    }

    /// Refuses what was withdrawn, replaced, or is older than what was seen; `active` is what runs now and always passes.
    pub(crate) fn check_sequence(
        &self,
        floors: &Floors,
        active: Option<&Digest>,
        allow_downgrade: bool,
    ) -> Result<Verdict, FloorError> {
        let (pack, version) = self.names();
        let (sequence, digest) = (self.manifest.sequence, self.digest);
        if floors.revoked.contains(&digest) {
            return Err(FloorError::Revoked { pack, version, digest });
        }
        let Some(floor) = floors.packs.get(&self.key()) else {
            return Ok(self.sequence_verdict(VerdictOutcome::Passed, "this root has no memory of the pack"));
        };
        if active == Some(&digest) {
            return Ok(self.sequence_verdict(VerdictOutcome::Passed, "it is active"));
        }
        if sequence < floor.min_sequence {
            let minimum = floor.min_sequence;
            return Err(FloorError::BelowMinimum {
                pack,
                version,
                sequence,
                minimum,
            });
        }
        if sequence < floor.sequence {
            let floor = floor.sequence;
            if allow_downgrade {
                let why = format!("{floor} was seen before, --allow-downgrade was given");
                return Ok(self.sequence_verdict(VerdictOutcome::Allowed, &why));
            }
            return Err(FloorError::Older {
                pack,
                version,
                sequence,
                floor,
            });
        }
        if sequence == floor.sequence
            && let Some(known) = floor.digests.get(&self.digest_key()).filter(|known| **known != digest)
        {
            let known = *known;
            return Err(FloorError::Replaced {
                pack,
                version,
                sequence,
                got: digest,
                known,
            });
        }
        Ok(self.sequence_verdict(VerdictOutcome::Passed, &format!("at least {}", floor.sequence)))
    }

    fn sequence_verdict(&self, outcome: VerdictOutcome, why: &str) -> Verdict {
        Verdict {
            check: "sequence".to_owned(),
            outcome,
            detail: format!(
                "`{}` has sequence {}; {why}",
                self.manifest.pack, self.manifest.sequence
            ),
        }
    }

    /// Refuses what is stale by signed time; by the clock only with `strict`, else it warns.
    pub(crate) fn check_time(&self, not_before: UtcTime, now: UtcTime, strict: bool) -> Result<Verdict, FloorError> {
        let verdict = |outcome, detail| {
            let check = "expiry".to_owned();
            Ok(Verdict { check, outcome, detail })
        };
        let (pack, version) = self.names();
        let Some(expires) = self.manifest.expires.as_deref().and_then(|t| t.parse::<UtcTime>().ok()) else {
            return verdict(VerdictOutcome::Passed, format!("`{pack}` does not expire"));
        };
        if expires < not_before {
            return Err(FloorError::Expired {
                pack,
                version,
                expires,
                not_before,
            });
        }
        if expires < now {
            if strict {
                return Err(FloorError::Stale {
                    pack,
                    version,
                    expires,
                    now,
                });
            }
            let detail = format!("`{pack}` {version} expired at {expires} by this machine's clock");
            return verdict(VerdictOutcome::Warned, detail);
        }
        verdict(VerdictOutcome::Passed, format!("`{pack}` is good until {expires}"))
    }

    /// Raises `floors` to what holds once this release is active.
    pub(crate) fn raise(&self, floors: &mut Floors) {
        let manifest = self.manifest;
        let floor: &mut PackFloor = floors.packs.entry(self.key()).or_default();
        if manifest.sequence > floor.sequence {
            floor.sequence = manifest.sequence;
            floor.digests.clear();
        }
        if manifest.sequence == floor.sequence {
            floor.digests.insert(self.digest_key(), self.digest);
        }
        floor.min_sequence = floor.min_sequence.max(manifest.min_sequence);
        floors.revoked.extend(&manifest.revokes);
        raise_time(floors, manifest.issued.parse().ok());
    }
}

/// What holds once everything that was verified has been heard: `stored` is what the root remembers, `manifests` are all verified
/// ones of a medium, chosen or not, `roots` the times at which trust roots were issued.
pub(crate) fn known<'a>(
    stored: &Floors,
    manifests: impl Iterator<Item = &'a Manifest>,
    roots: impl Iterator<Item = UtcTime>,
) -> Floors {
    let mut known = stored.clone();
    for manifest in manifests {
        raise_time(&mut known, manifest.issued.parse().ok());
        known.revoked.extend(&manifest.revokes);
    }
    for issued in roots {
        raise_time(&mut known, Some(issued));
    }
    known
}

/// Moves the lower bound of the present to `seen`, never back.
pub(crate) fn raise_time(floors: &mut Floors, seen: Option<UtcTime>) {
    let known = not_before(floors);
    floors.not_before = known.max(seen.unwrap_or(known)).to_string();
}

/// The lower bound of the present.
pub(crate) fn not_before(floors: &Floors) -> UtcTime {
    let released = RELEASED.parse().expect("the constant is a time");
    floors.not_before.parse().map_or(released, |t: UtcTime| t.max(released))
}

#[cfg(test)]
mod tests {
    use kojibox_signing::Digest;

    use super::{FloorError, Release, fresh, not_before};
    use crate::{plan::VerdictOutcome, testing};

    fn digest(n: u8) -> Digest {
        Digest::of(&[n])
    }

    #[test]
    fn a_release_never_goes_below_what_was_active() {
        let (two, one) = (
            testing::manifest("edge", "2.0.0", 20),
            testing::manifest("edge", "1.0.0", 10),
        );
        let release = |manifest, n| Release {
            manifest,
            digest: digest(n),
            root16: "aa",
        };
        let mut floors = fresh();
        assert!(
            release(&two, 2)
                .check_sequence(&floors, None, false)
                .unwrap()
                .detail
                .contains("no memory")
        );
        release(&two, 2).raise(&mut floors);

        let older = release(&one, 1)
            .check_sequence(&floors, Some(&digest(2)), false)
            .unwrap_err();
        assert!(older.can_be_allowed());
        insta::assert_snapshot!(older, @"pack `edge` 1.0.0 has sequence 10, this root has already seen 20");
        let allowed = release(&one, 1)
            .check_sequence(&floors, Some(&digest(2)), true)
            .unwrap();
        assert_eq!(allowed.outcome, VerdictOutcome::Allowed);
        // What runs now may be installed again, e.g. with one more component.
        release(&one, 1)
            .check_sequence(&floors, Some(&digest(1)), false)
            .unwrap();
        // Another publisher's pack of the same name is another pack.
        let other = Release {
            root16: "bb",
            ..release(&one, 1)
        };
        other.check_sequence(&floors, None, false).unwrap();
    }

    #[test]
    fn no_flag_crosses_a_minimum_a_replacement_or_a_withdrawal() {
        let mut two = testing::manifest("edge", "2.0.0", 20);
        two.min_sequence = 15;
        two.revokes = vec![digest(9)];
        let release = |manifest, n| Release {
            manifest,
            digest: digest(n),
            root16: "aa",
        };
        let mut floors = fresh();
        release(&two, 2).raise(&mut floors);
        let one = testing::manifest("edge", "1.0.0", 10);
        let three = testing::manifest("edge", "3.0.0", 30);
        let errors = [
            release(&one, 1).check_sequence(&floors, None, true),
            release(&two, 3).check_sequence(&floors, None, true),
            release(&three, 9).check_sequence(&floors, None, true),
        ];
        let kinds = errors.map(Result::unwrap_err);
        assert!(matches!(kinds[0], FloorError::BelowMinimum { minimum: 15, .. }));
        assert!(matches!(kinds[1], FloorError::Replaced { .. }));
        assert!(matches!(kinds[2], FloorError::Revoked { .. }));
    }

    #[test]
    fn time_comes_from_signed_documents_and_the_clock_only_warns() {
        let mut manifest = testing::manifest("edge", "1.0.0", 10);
        manifest.issued = "2027-01-01T00:00:00Z".to_owned();
        manifest.expires = Some("2027-06-01T00:00:00Z".to_owned());
        let release = Release {
            manifest: &manifest,
            digest: digest(1),
            root16: "aa",
        };
        let at = |text: &str| text.parse().unwrap();
        let (early, late) = (at("2027-02-01T00:00:00Z"), at("2027-07-01T00:00:00Z"));
        assert_eq!(
            release.check_time(early, early, true).unwrap().outcome,
            VerdictOutcome::Passed
        );
        assert_eq!(
            release.check_time(early, late, false).unwrap().outcome,
            VerdictOutcome::Warned
        );
        assert!(matches!(
            release.check_time(early, late, true),
            Err(FloorError::Stale { .. })
        ));
        assert!(matches!(
            release.check_time(late, early, false),
            Err(FloorError::Expired { .. })
        ));

        let mut floors = fresh();
        release.raise(&mut floors);
        assert_eq!(not_before(&floors), at("2027-01-01T00:00:00Z"));
        super::raise_time(&mut floors, Some(at("2026-12-01T00:00:00Z")));
        assert_eq!(not_before(&floors), at("2027-01-01T00:00:00Z"));
    }

    fn digest_of(id: &serde_json::Value) -> Digest {
        digest(u8::try_from(id.as_u64().unwrap()).unwrap())
    }

    fn of_table(case: &serde_json::Value) -> kojibox_packs::manifest::Manifest {
        let mut manifest = testing::manifest("edge", "1.0.0", case["sequence"].as_u64().unwrap());
        manifest.target = "any".to_owned();
        manifest.issued = case["issued"].as_str().unwrap().to_owned();
        manifest.expires = case.get("expires").map(|e| e.as_str().unwrap().to_owned());
        manifest.revokes = case["revokes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(digest_of)
            .collect();
        manifest
    }

    fn stored(case: &serde_json::Value) -> super::Floors {
        let mut floors = fresh();
        let Some(not_before) = case.get("not_before") else {
            return floors;
        };
        floors.not_before = not_before.as_str().unwrap().to_owned();
        floors.revoked = case["revoked"]
            .as_array()
            .into_iter()
            .flatten()
            .map(digest_of)
            .collect();
        if let Some(pack) = case.get("pack") {
            let number = |key: &str| pack[key].as_u64().unwrap();
            let floor = floors.packs.entry("aa/edge".to_owned()).or_default();
            (floor.sequence, floor.min_sequence) = (number("sequence"), number("min_sequence"));
            floor.digests.insert("any".to_owned(), digest_of(&pack["id"]));
        }
        floors
    }

    #[test]
    fn replays_are_told_as_the_launcher_tells_them() {
        let table = include_str!("../../../tests/tables/replays.json");
        let table: serde_json::Value = serde_json::from_str(table).unwrap();
        assert_eq!(table["released"], super::RELEASED);
        for case in table["cases"].as_array().unwrap() {
            let time = |key: &str| case["root"][key].as_str().unwrap().parse::<super::UtcTime>().unwrap();
            let pack = of_table(&case["pack"]);
            let medium: Vec<_> = case["medium"].as_array().unwrap().iter().map(of_table).collect();
            let all = medium.iter().chain([&pack]);
            let known = super::known(&stored(&case["floors"]), all, [time("issued")].into_iter());
            let at = not_before(&known);
            let release = Release {
                manifest: &pack,
                digest: digest_of(&case["pack"]["id"]),
                root16: "aa",
            };
            let sequence = release.check_sequence(&known, None, false);
            let verdict = match sequence.and_then(|_| release.check_time(at, at, false)) {
                _ if time("expires") < at => "stale-root",
                Ok(_) => "passed",
                Err(FloorError::Revoked { .. }) => "revoked",
                Err(FloorError::Older { .. }) => "older",
                Err(FloorError::BelowMinimum { .. }) => "below-minimum",
                Err(FloorError::Replaced { .. }) => "replaced",
                Err(FloorError::Expired { .. }) => "expired",
                Err(FloorError::Stale { .. }) => "stale",
            };
            assert_eq!(case["verdict"], verdict, "{}", case["name"]);
        }
    }
}
