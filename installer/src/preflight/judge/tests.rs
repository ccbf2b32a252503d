//! What the preflight says of machines that lack something.

use std::{io, path::PathBuf};

use super::{
    super::{
        Level,
        demand::*,
        facts::{Content, Moved},
    },
    *,
};
use crate::platform::{PathLimit, User};

fn demand() -> Demand {
    Demand {
        root: PathBuf::from("/home/ani/kojibox"),
        sources: vec![],
        components: vec![ComponentDemand {
            id: "postgres".to_owned(),
            dir: "postgres-18.4.0-0123456789abcdef".to_owned(),
            size: 60 << 20,
            files: 1000,
            max_path_len: 80,
            needs: vec!["exec".to_owned(), "symlink".to_owned()],
            min_glibc: Some("2.28".to_owned()),
            present: false,
            staged: Content::default(),
        }],
        services: vec![ServiceDemand {
            id: "postgres".to_owned(),
            keeps_data: true,
            wants_plain_user: true,
        }],
        ports: vec![PortDemand {
            name: "postgres.main".to_owned(),
            port: 25432,
            pinned: false,
        }],
        moves: vec![],
        not_before: "2026-11-20T00:00:00Z".parse().unwrap(),
    }
}

fn facts() -> Facts {
    let volume = Volume {
        free: 1 << 30,
        total: 1 << 34,
        names: Some(1 << 20),
        cluster: 4096,
        noexec: false,
    };
    let able = Abilities {
        exec: true,
        symlink: true,
        case_sensitive: true,
        hard_link: true,
        modes: true,
        append: true,
    };
    Facts {
        root: RootKind::Absent,
        anchor: PathBuf::from("/home/ani"),
        place: Ok((volume, able)),
        user: User {
            id: Some(1000),
            superuser: false,
            has_account: true,
        },
        libc: HostLibc::Glibc(2, 36),
        limit: PathLimit {
            path: 4095,
            segment: 255,
        },
        apart: vec![],
        data: None,
        moves: vec![],
        busy: [].into(),
        now: "2026-11-21T00:00:00Z".parse().unwrap(),
    }
}

/// What is not as it should be, one line each.
fn complaints(demand: &Demand, facts: &Facts) -> String {
    let bad = judge(demand, facts).into_iter().filter(|f| f.level > Level::Ok);
    let lines = bad.map(|f| format!("{:?} {} {}: {}", f.level, f.exit as u8, f.check, f.sentence()));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_good_machine_gets_no_complaint() {
    assert_eq!(complaints(&demand(), &facts()), "");
}

#[test]
fn space_counts_a_cluster_per_file_and_nothing_for_trees_that_are_there() {
    let (mut demand, mut facts) = (demand(), facts());
    facts.place.as_mut().unwrap().0.free = 70 << 20;
    insta::assert_snapshot!(complaints(&demand, &facts), @"Error 31 space: not enough space to install in `/home/ani/kojibox`: 80.9 MiB needed, 70.0 MiB free");
    facts.place.as_mut().unwrap().0.cluster = 1 << 20;
    insta::assert_snapshot!(complaints(&demand, &facts), @"Error 31 space: not enough space to install in `/home/ani/kojibox`: 1.3 GiB needed, 70.0 MiB free");
    demand.components[0].staged.bytes = 1310 << 20;
    assert_eq!(
        complaints(&demand, &facts),
        "",
        "what is in staging is not written again"
    );
    demand.components[0].staged.bytes = 0;
    demand.components[0].present = true;
    assert_eq!(complaints(&demand, &facts), "");
    facts.place.as_mut().unwrap().0.total = 0;
    insta::assert_snapshot!(complaints(&demand, &facts), @"Warning 0 space: the file system of `/home/ani/kojibox` does not say how much is free: 16.0 MiB needed");
}

#[test]
fn a_volume_can_run_out_of_names() {
    let (mut demand, mut facts) = (demand(), facts());
    facts.place.as_mut().unwrap().0.names = Some(1349);
    insta::assert_snapshot!(complaints(&demand, &facts), @"Error 31 space: not enough space to install in `/home/ani/kojibox`: 1350 files and directories needed, the volume takes 1349 more");
    demand.components[0].staged.entries = 1;
    assert_eq!(
        complaints(&demand, &facts),
        "",
        "what is in staging has its name already"
    );
    demand.components[0].staged.entries = 0;
    facts.place.as_mut().unwrap().0.names = Some(0);
    assert_eq!(complaints(&demand, &facts), "", "the probe has just made some");
    facts.place.as_mut().unwrap().0.names = None;
    assert_eq!(complaints(&demand, &facts), "");
}

#[test]
fn data_that_moves_to_another_format_is_there_twice() {
    let (mut demand, mut facts) = (demand(), facts());
    let moved = |bytes| Moved {
        service: "postgres".to_owned(),
        bytes,
    };
    facts.moves = vec![moved(900 << 20)];
    assert_eq!(complaints(&demand, &facts), "");
    facts.moves = vec![moved(1000 << 20)];
    insta::assert_snapshot!(complaints(&demand, &facts), @"Warning 0 space: there may not be enough space to move the data of `postgres` to its new format: about 1000.0 MiB needed for it, 80.9 MiB for the components, 1.0 GiB free");
    let (volume, able) = *facts.place.as_ref().unwrap();
    facts.data = Some((volume, able));
    assert_eq!(complaints(&demand, &facts), "", "the components are on another volume");
    facts.moves = vec![moved(2000 << 20)];
    insta::assert_snapshot!(complaints(&demand, &facts), @"Warning 0 space: there may not be enough space to move the data of `postgres` to its new format: about 2.0 GiB needed for it, 1.0 GiB free");
    demand.components.clear();
    facts.data = Some((Volume { total: 0, ..volume }, able));
    assert_eq!(complaints(&demand, &facts), "", "a volume that does not tell");
}

#[test]
fn volumes_inside_a_root_are_judged_by_what_they_are_for() {
    let (mut demand, mut facts) = (demand(), facts());
    let (volume, able) = *facts.place.as_ref().unwrap();
    facts.apart = vec!["components"];
    insta::assert_snapshot!(complaints(&demand, &facts), @"Error 32 volumes: `components` of `/home/ani/kojibox` is on another volume: what is installed gets its name by one rename, which needs one volume");
    facts.apart.clear();
    let without = Abilities { modes: false, ..able };
    facts.place = Ok((volume, without));
    facts.data = Some((volume, able));
    insta::assert_snapshot!(complaints(&demand, &facts), @"Warning 0 abilities: the file system of `/home/ani/kojibox` has no file modes: any user of this machine can change what is installed");
    (facts.place, facts.data) = (Ok((volume, able)), Some((volume, without)));
    assert!(complaints(&demand, &facts).contains("cannot keep a file from other users"));
    demand.services.clear();
    assert_eq!(complaints(&demand, &facts), "");
}

#[test]
fn a_volume_without_programs_says_why() {
    let mut facts = facts();
    let (volume, able) = facts.place.as_mut().unwrap();
    (volume.noexec, able.exec) = (true, false);
    insta::assert_snapshot!(complaints(&demand(), &facts), @"Error 32 abilities: the file system of `/home/ani/kojibox` cannot run programs: it is mounted `noexec`; needed by `postgres`");
}

#[test]
fn names_that_differ_in_case_alone_need_a_volume_that_tells_them_apart() {
    let (mut demand, mut facts) = (demand(), facts());
    facts.place.as_mut().unwrap().1.case_sensitive = false;
    assert_eq!(complaints(&demand, &facts), "", "nobody needs it");
    demand.components[0].needs = vec!["case-sensitive".to_owned()];
    insta::assert_snapshot!(complaints(&demand, &facts), @"Error 32 abilities: the file system of `/home/ani/kojibox` cannot tell `a` from `A`: needed by `postgres`");
    facts.place.as_mut().unwrap().1.case_sensitive = true;
    assert_eq!(complaints(&demand, &facts), "");
}

#[test]
fn a_stick_as_target_is_refused_for_data_and_programs() {
    let mut facts = facts();
    facts.place.as_mut().unwrap().1 = Abilities {
        exec: false,
        symlink: false,
        case_sensitive: false,
        hard_link: false,
        modes: false,
        append: false,
    };
    insta::assert_snapshot!(complaints(&demand(), &facts), @"
    Error 32 abilities: the file system of `/home/ani/kojibox` cannot run programs: needed by `postgres`
    Error 32 abilities: the file system of `/home/ani/kojibox` cannot hold symbolic links: needed by `postgres`
    Error 32 abilities: the file system of `/home/ani/kojibox` cannot add to a file: the journal needs it, without which an interruption could lose the installation
    Error 32 abilities: the file system of `/home/ani/kojibox` cannot keep a file from other users: needed for the data of `postgres`
    ");
}

#[test]
fn places_that_are_not_ours_are_refused() {
    let (mut demand, mut facts) = (demand(), facts());
    facts.root = RootKind::Foreign("thesis.odt".to_owned());
    facts.place = Err(io::Error::from(io::ErrorKind::PermissionDenied));
    insta::assert_snapshot!(complaints(&demand, &facts), @"
    Error 2 root: `/home/ani/kojibox` is not empty and not an install root: it holds `thesis.odt`, which is not ours
    Error 32 root: could not write in `/home/ani`: permission denied
    ");
    demand.sources = vec![std::env::temp_dir()];
    demand.root = std::env::temp_dir().join("kojibox");
    facts.root = RootKind::Absent;
    assert!(complaints(&demand, &facts).contains("is on the medium that the packs come from"));
}

#[test]
fn the_host_is_named_where_it_falls_short() {
    let (mut demand, mut facts) = (demand(), facts());
    facts.libc = HostLibc::Glibc(2, 17);
    facts.user.superuser = true;
    facts.busy = [25432].into();
    facts.now = "2001-01-01T00:00:00Z".parse().unwrap();
    facts.limit.path = 120;
    insta::assert_snapshot!(complaints(&demand, &facts), @"
    Error 32 paths: `/home/ani/kojibox` is too long a path: component `postgres` would reach 142 characters, this system takes 120
    Warning 0 user: `postgres` will refuse to start for the superuser
    Error 32 libc: this system is too old for component `postgres`: it needs glibc 2.28, this system has 2.17
    Warning 0 ports: port 25432 of `postgres.main` is taken by another program
    Warning 0 clock: the clock says 2001-01-01T00:00:00Z: signed documents prove that it is at least 2026-11-20T00:00:00Z
    ");
    demand.ports[0].pinned = true;
    assert!(complaints(&demand, &facts).contains("Error 40 ports: port 25432"));
}
