//! What is on disk after an end at every mutation of the way of data.

use super::*;

/// A way of data that is walked with an end before every one of its mutations.
struct Walk {
    name: &'static str,
    before: fn(&Place),
    want: &'static str,
    generation: u64,
    in_place: bool,
}

const WALKS: &[Walk] = &[
    Walk {
        name: "made",
        before: |_| {},
        want: "1",
        generation: 1,
        in_place: false,
    },
    Walk {
        name: "moved",
        before: |p| drop(p.ok("1", 1)),
        want: "2",
        generation: 2,
        in_place: false,
    },
    Walk {
        name: "moved in place",
        before: |p| drop(p.ok("1", 1)),
        want: "2",
        generation: 2,
        in_place: true,
    },
    Walk {
        name: "gone back",
        before: |p| {
            p.ok("1", 1);
            p.ok("2", 2);
            p.add("2", "written in 2");
        },
        want: "1",
        generation: 1,
        in_place: false,
    },
    Walk {
        name: "moved again",
        before: |p| {
            p.ok("1", 1);
            p.ok("2", 2);
            p.ok("1", 1);
            p.add("1", "written in 1");
        },
        want: "2",
        generation: 2,
        in_place: true,
    },
];

impl Walk {
    fn go(&self, place: &Place, disk: &dyn Disk) -> Result<(), DataError> {
        let data = place.plan(self.want, self.generation, &ways(self.in_place))?;
        carry_out(&data, disk)
    }

    fn place(&self) -> Place {
        let place = Place::new();
        (self.before)(&place);
        place
    }
}

/// Every directory that counts, by the rows in it: unfinished ones do not.
fn finished(place: &Place) -> Vec<String> {
    let dirs = place.picture().into_iter().filter(|(name, _)| !name.contains(".init"));
    let mut rows: Vec<String> = dirs.map(|(_, rows)| rows).collect();
    rows.sort();
    rows
}

fn expect_whole(walk: &Walk, n: usize, place: &Place, before: &BTreeMap<String, String>) {
    for (dir, rows) in before {
        let found = place.picture();
        let kept = found.values().any(|r| r == rows);
        assert!(kept, "{} at {n}: `{dir}` is lost: {found:?}", walk.name);
    }
    if let Some(active) = Active::read(&place.base).unwrap() {
        let dir = place.base.join(&active.format);
        assert!(
            dir.join("rows").is_file(),
            "{} at {n}: `active.json` names `{}`",
            walk.name,
            active.format
        );
    }
}

#[test]
fn an_end_before_any_mutation_is_carried_on_to_the_same_end() {
    let mut ends = 0;
    for walk in WALKS {
        let reference = walk.place();
        walk.go(&reference, &Real::default()).unwrap();
        for n in 0.. {
            let place = walk.place();
            let before = place.picture();
            let disk = Stopping::after(n);
            if walk.go(&place, &disk).is_ok() {
                break;
            }
            ends += 1;
            expect_whole(walk, n, &place, &before);
            // The next start may be ended anywhere too.
            for m in 0.. {
                let again = walk.place();
                assert!(walk.go(&again, &Stopping::after(n)).is_err());
                let over = walk.go(&again, &Stopping::after(m)).is_ok();
                ends += 1;
                expect_whole(walk, n, &again, &before);
                walk.go(&again, &Real::default()).unwrap();
                assert_eq!(finished(&again), finished(&reference), "{} at {n}, {m}", walk.name);
                assert_eq!(again.active().format, walk.want);
                let litter = again.picture().into_keys().find(|d| d.contains(".init"));
                assert_eq!(litter, None, "{} at {n}, {m}", walk.name);
                if over {
                    break;
                }
            }
        }
    }
    assert!(ends > 200, "only {ends} ends");
}

/// The other version may be started after the end: it finds its own data.
#[test]
fn after_an_end_anywhere_the_other_version_finds_its_data() {
    for walk in WALKS.iter().filter(|w| w.name != "made") {
        for n in 0.. {
            let place = walk.place();
            let before = place.picture();
            let old = place.active().format;
            let ended = walk.go(&place, &Stopping::after(n)).is_err();
            place.ok(&old, 7);
            expect_whole(walk, n, &place, &before);
            assert_eq!(place.active().format, old, "{} at {n}", walk.name);
            if old == "1" {
                assert_eq!(place.rows("1"), before["1"], "{} at {n}", walk.name);
            }
            if !ended {
                break;
            }
        }
    }
}

#[test]
fn the_walks_pass_every_point() {
    let mut reached: Vec<&str> = Vec::new();
    for walk in WALKS {
        let disk = Stopping::never();
        walk.go(&walk.place(), &disk).unwrap();
        reached.extend(disk.reached.borrow().iter().map(|p| p.name()));
    }
    for point in Point::ALL {
        assert!(reached.contains(&point.name()), "`{}` is never passed", point.name());
    }
}
