//! Owns the choice of components: what was wished for, with everything it requires and nothing it conflicts with.

use std::collections::BTreeSet;

use kojibox_packs::manifest::Manifest;
use kojibox_state::records::{LAUNCHER, PACK_FILES};

use crate::answers::or_nearest;

/// One pack and the components wished for from it.
#[derive(Clone, Debug)]
pub(crate) struct Chosen<'a> {
    /// Verified manifest.
    pub manifest: &'a Manifest,
    /// Component ids.
    pub components: BTreeSet<String>,
    /// It stays as it is: its trees are there, and it brings nothing.
    pub kept: bool,
}

/// The wished-for components do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// No pack has the component.
    #[error("there is no component `{id}`{suggestion}")]
    NoSuchComponent {
        /// What was asked for.
        id: String,
        /// What there is.
        suggestion: String,
    },
    /// A required component is in none of the packs.
    #[error("component `{id}` of pack `{pack}` requires `{missing}`, which none of the chosen packs has")]
    Requires {
        /// Component that requires.
        id: String,
        /// Its pack.
        pack: String,
        /// What is missing.
        missing: String,
    },
    /// Two components exclude each other.
    #[error("components `{id}` and `{other}` must not be installed together")]
    Conflict {
        /// Component that says so.
        id: String,
        /// The other one.
        other: String,
    },
    /// Two packs bring different components under one id.
    #[error("packs `{pack}` and `{other}` bring different components `{id}`")]
    Twice {
        /// The shared id.
        id: String,
        /// First pack.
        pack: String,
        /// Second pack.
        other: String,
    },
}

/// Components that a person can choose: all but the ones that come along by themselves.
pub(crate) fn selectable(manifest: &Manifest) -> impl Iterator<Item = &kojibox_packs::manifest::Component> {
    manifest.components.iter().filter(|c| !is_reserved(&c.id))
}

fn is_reserved(id: &str) -> bool {
    id == PACK_FILES || id == LAUNCHER
}

/// Components that are chosen unless a person says otherwise; a pack without any default offers all.
pub(crate) fn preselected(manifest: &Manifest) -> BTreeSet<String> {
    let ids = |only_default: bool| -> BTreeSet<_> {
        let wished = selectable(manifest).filter(|c| c.default || !only_default);
        wished.map(|c| c.id.clone()).collect()
    };
    let defaults = ids(true);
    if defaults.is_empty() { ids(false) } else { defaults }
}

/// Adds what is required (and each pack's own files, and one launcher), and refuses what does not go together. True if the
/// launcher of version `active` stays, which may be newer than what any of the packs once brought.
pub(crate) fn close(chosen: &mut [Chosen<'_>], active: Option<&str>) -> Result<bool, SelectError> {
    for pack in chosen.iter() {
        for id in &pack.components {
            known(pack.manifest, id)?;
        }
    }
    add_own_files(chosen);
    let stays = !add_launcher(chosen, active) && active.is_some();
    // Every round adds at least one of finitely many components.
    while add_requirements(chosen)? {}
    refuse_conflicts(chosen)?;
    refuse_twins(chosen)?;
    Ok(stays)
}

fn known(manifest: &Manifest, id: &str) -> Result<(), SelectError> {
    if manifest.components.iter().any(|c| c.id == *id) {
        return Ok(());
    }
    let there: Vec<_> = selectable(manifest).map(|c| c.id.as_str()).collect();
    Err(SelectError::NoSuchComponent {
        id: id.to_owned(),
        suggestion: or_nearest(id, &there),
    })
}

fn add_own_files(chosen: &mut [Chosen<'_>]) {
    for pack in chosen.iter_mut() {
        pack.components.remove(LAUNCHER);
        if pack.manifest.components.iter().any(|c| c.id == PACK_FILES) {
            pack.components.insert(PACK_FILES.to_owned());
        }
    }
}

/// One launcher runs everything: the newest that any of the new packs brings, unless the active one is newer still.
fn add_launcher(chosen: &mut [Chosen<'_>], active: Option<&str>) -> bool {
    let version = |text: &str| semver::Version::parse(text).ok();
    let offered = chosen.iter().enumerate().filter(|(_, pack)| !pack.kept);
    let newest = offered
        .filter_map(|(at, pack)| {
            let launcher = pack.manifest.components.iter().find(|c| c.id == LAUNCHER)?;
            Some((version(&launcher.version), std::cmp::Reverse(at)))
        })
        .max();
    match newest {
        Some((newest, std::cmp::Reverse(at))) if active.is_none_or(|active| newest >= version(active)) => {
            chosen[at].components.insert(LAUNCHER.to_owned());
            true
        }
        _ => false,
    }
}

fn add_requirements(chosen: &mut [Chosen<'_>]) -> Result<bool, SelectError> {
    let mut additions = Vec::new();
    for (at, pack) in chosen.iter().enumerate() {
        for component in pack
            .manifest
            .components
            .iter()
            .filter(|c| pack.components.contains(&c.id))
        {
            for required in &component.requires {
                if chosen.iter().any(|p| p.components.contains(required)) {
                    continue;
                }
                // Its own pack is asked first.
                let order = std::iter::once(at).chain(0..chosen.len());
                let from = order
                    .into_iter()
                    .find(|&i| chosen[i].manifest.components.iter().any(|c| c.id == *required))
                    .ok_or_else(|| SelectError::Requires {
                        id: component.id.clone(),
                        pack: pack.manifest.pack.clone(),
                        missing: required.clone(),
                    })?;
                additions.push((from, required.clone()));
            }
        }
    }
    let added = !additions.is_empty();
    for (at, id) in additions {
        chosen[at].components.insert(id);
    }
    Ok(added)
}

fn refuse_conflicts(chosen: &[Chosen<'_>]) -> Result<(), SelectError> {
    for pack in chosen {
        for component in pack
            .manifest
            .components
            .iter()
            .filter(|c| pack.components.contains(&c.id))
        {
            let clash = component
                .conflicts
                .iter()
                .find(|other| chosen.iter().any(|p| p.components.contains(*other)));
            if let Some(other) = clash {
                return Err(SelectError::Conflict {
                    id: component.id.clone(),
                    other: other.clone(),
                });
            }
        }
    }
    Ok(())
}

fn refuse_twins(chosen: &[Chosen<'_>]) -> Result<(), SelectError> {
    let tree = |pack: &Chosen<'_>, id: &str| {
        let component = pack.manifest.components.iter().find(|c| c.id == *id);
        component.map(|c| c.tree_sha256)
    };
    for (at, pack) in chosen.iter().enumerate() {
        for other in &chosen[at + 1..] {
            let shared = pack.components.intersection(&other.components);
            let twin = shared
                .filter(|id| !is_reserved(id))
                .find(|id| tree(pack, id) != tree(other, id));
            if let Some(id) = twin {
                return Err(SelectError::Twice {
                    id: id.clone(),
                    pack: pack.manifest.pack.clone(),
                    other: other.manifest.pack.clone(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use kojibox_packs::manifest::Manifest;
    use kojibox_signing::Digest;
    use kojibox_state::records::{LAUNCHER, PACK_FILES};

    use super::{Chosen, SelectError, close, preselected};
    use crate::testing::{component, manifest};

    fn pack(name: &str, components: &[(&str, bool, &[&str])]) -> Manifest {
        let mut manifest = manifest(name, "1.0.0", 1);
        manifest.components = components
            .iter()
            .map(|(id, default, requires)| component(id, *default, requires))
            .collect();
        manifest
    }

    fn chosen<'a>(manifest: &'a Manifest, ids: &[&str]) -> Chosen<'a> {
        Chosen {
            manifest,
            components: ids.iter().map(|&id| id.to_owned()).collect(),
            kept: false,
        }
    }

    fn ids(chosen: &Chosen<'_>) -> Vec<String> {
        chosen.components.iter().cloned().collect()
    }

    #[test]
    fn requirements_come_along_transitively_and_across_packs() {
        let app = pack(
            "app",
            &[
                ("app", true, &["node"]),
                ("node", false, &["libc"]),
                (PACK_FILES, false, &[]),
            ],
        );
        let base = pack("base", &[("libc", false, &[]), ("extra", true, &[])]);
        let mut both = [chosen(&app, &["app"]), chosen(&base, &[])];
        close(&mut both, None).unwrap();
        assert_eq!(ids(&both[0]), [PACK_FILES, "app", "node"]);
        assert_eq!(ids(&both[1]), ["libc"]);
        let mut alone = [chosen(&app, &["app"])];
        insta::assert_snapshot!(close(&mut alone, None).unwrap_err(), @"component `node` of pack `app` requires `libc`, which none of the chosen packs has");
    }

    #[test]
    fn defaults_are_preselected_and_without_any_everything_is() {
        let some = pack("a", &[("x", true, &[]), ("y", false, &[]), (LAUNCHER, true, &[])]);
        assert_eq!(preselected(&some).into_iter().collect::<Vec<_>>(), ["x"]);
        let none = pack("a", &[("x", false, &[]), ("y", false, &[]), (LAUNCHER, false, &[])]);
        assert_eq!(preselected(&none).into_iter().collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn one_launcher_the_newest_is_installed() {
        let mut old = pack("a", &[("x", true, &[]), (LAUNCHER, true, &[])]);
        old.components[1].version = "1.9.0".to_owned();
        let mut new = pack("b", &[("y", true, &[]), (LAUNCHER, true, &[])]);
        new.components[1].version = "1.10.0".to_owned();
        new.components[1].tree_sha256 = Digest::of(b"newer");
        let mut both = [chosen(&old, &["x", LAUNCHER]), chosen(&new, &["y"])];
        close(&mut both, None).unwrap();
        assert_eq!(ids(&both[0]), ["x"]);
        assert_eq!(ids(&both[1]), [LAUNCHER, "y"]);
    }

    #[test]
    fn the_active_launcher_stays_unless_a_new_pack_brings_one_as_new() {
        let with = |name: &str, version: &str| {
            let mut pack = pack(name, &[("x", true, &[]), (LAUNCHER, true, &[])]);
            pack.components[0].id = name.to_owned();
            pack.components[1].version = version.to_owned();
            pack
        };
        let (old, other) = (with("a", "1.0.0"), with("b", "1.1.0"));
        let kept = Chosen {
            kept: true,
            ..chosen(&old, &["a", LAUNCHER])
        };
        for (active, stays) in [("1.2.0", true), ("1.1.0", false), ("1.0.0", false)] {
            let mut both = [kept.clone(), chosen(&other, &["b"])];
            assert_eq!(close(&mut both, Some(active)).unwrap(), stays, "{active}");
            assert_eq!(ids(&both[0]), ["a"], "what stays brings nothing");
            assert_eq!(both[1].components.contains(LAUNCHER), !stays, "{active}");
        }
        let mut alone = [kept];
        assert!(close(&mut alone, Some("1.2.0")).unwrap());
        assert!(!close(&mut alone, None).unwrap());
        assert_eq!(ids(&alone[0]), ["a"]);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let mut a = pack("a", &[("x", true, &[]), ("y", false, &[])]);
        a.components[0].conflicts = vec!["y".to_owned()];
        assert!(matches!(
            close(&mut [chosen(&a, &["x", "y"])], None),
            Err(SelectError::Conflict { .. })
        ));
        close(&mut [chosen(&a, &["x"])], None).unwrap();
        let mut b = pack("b", &[("x", true, &[])]);
        close(&mut [chosen(&a, &["x"]), chosen(&b, &["x"])], None).unwrap();
        b.components[0].tree_sha256 = Digest::of(b"other");
        let twice = close(&mut [chosen(&a, &["x"]), chosen(&b, &["x"])], None).unwrap_err();
        insta::assert_snapshot!(twice, @"packs `a` and `b` bring different components `x`");
        insta::assert_snapshot!(close(&mut [chosen(&a, &["z"])], None).unwrap_err(), @"there is no component `z`, did you mean `x`?");
    }
}
