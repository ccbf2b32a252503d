//! Owns [`sequence_of`]: the number of a release that follows from its version.

/// Number that grows with the precedence of semantic versions; the same for all targets.
///
/// `None` where the version has no such number: major over 9006, minor or patch over 9999, or a pre-release other than
/// `alpha`, `beta`, `rc`, each alone or with a number below 2999 (`rc.2`). The builder writes `sequence` then. Build
/// metadata has no precedence and counts for nothing. The largest number is below 2^53, so that every JSON reader keeps it.
pub fn sequence_of(version: &str) -> Option<u64> {
    let version = semver::Version::parse(version).ok()?;
    let pre = pre_release(version.pre.as_str())?;
    let fits = version.major <= 9006 && version.minor <= 9999 && version.patch <= 9999;
    fits.then(|| ((version.major * 10_000 + version.minor) * 10_000 + version.patch) * 10_000 + pre)
}

/// Rank below 10,000; a release is above all of its pre-releases.
fn pre_release(pre: &str) -> Option<u64> {
    if pre.is_empty() {
        return Some(9999);
    }
    let (tag, number) = pre
        .split_once('.')
        .map_or((pre, None), |(tag, number)| (tag, Some(number)));
    let base = match tag {
        "alpha" => 0,
        "beta" => 3000,
        "rc" => 6000,
        _ => return None,
    };
    let Some(number) = number else {
        return Some(base);
    };
    let number: u64 = number.parse().ok()?;
    (number < 2999).then_some(base + 1 + number)
}

#[cfg(test)]
mod tests {
    use super::sequence_of;

    #[test]
    fn numbers_grow_exactly_with_precedence() {
        let versions = [
            "0.0.0-alpha",
            "0.0.0",
            "0.0.1",
            "0.1.0",
            "0.9999.9999",
            "1.0.0-alpha",
            "1.0.0-alpha.0",
            "1.0.0-alpha.2998",
            "1.0.0-beta",
            "1.0.0-beta.9",
            "1.0.0-beta.10",
            "1.0.0-rc",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1-rc.1",
            "1.0.1",
            "1.1.0",
            "2026.11.20",
            "9006.9999.9999",
        ];
        let numbers: Vec<u64> = versions.iter().map(|v| sequence_of(v).expect(v)).collect();
        for (pair, versions) in numbers.windows(2).zip(versions.windows(2)) {
            assert!(pair[0] < pair[1], "{versions:?}");
            let parse = |v: &str| semver::Version::parse(v).unwrap();
            assert!(parse(versions[0]) < parse(versions[1]), "{versions:?}");
        }
        assert!(*numbers.last().unwrap() < 1 << 53);
        assert_eq!(sequence_of("1.2.3+build"), sequence_of("1.2.3"));
        for none in [
            "1.0",
            "9007.0.0",
            "1.10000.0",
            "1.0.10000",
            "1.0.0-dev",
            "1.0.0-1",
            "1.0.0-rc.2999",
            "1.0.0-rc.1.2",
            "1.0.0-rc.x",
        ] {
            assert_eq!(sequence_of(none), None, "{none}");
        }
    }
}
