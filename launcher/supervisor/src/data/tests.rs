//! Tests of the way of data: what each generation finds.

mod walks;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use kojibox_packs::manifest::Migration;

use super::{
    Data, DataError, Disk, Real, Work,
    active::Active,
    disk::Point,
    mark::{End, Marker},
};
use crate::{files::FileError, machine::Status};

const NOW: &str = "2026-01-02T03:04:05Z";

fn ways(in_place: bool) -> Vec<Migration> {
    let way = |from: &str, to: &str| Migration {
        service: "db".to_owned(),
        from: from.to_owned(),
        to: to.to_owned(),
        command: vec!["move".to_owned()],
        in_place,
    };
    vec![way("1", "2"), way("2", "3")]
}

/// A disk that stops before the `n`-th mutation, as a kill would, and remembers the order of what was done.
struct Stopping {
    real: Real,
    left: Cell<usize>,
    shares: bool,
    done: RefCell<Vec<String>>,
    reached: RefCell<Vec<Point>>,
}

impl Stopping {
    fn after(n: usize) -> Self {
        Self {
            real: Real::default(),
            left: Cell::new(n),
            shares: true,
            done: RefCell::default(),
            reached: RefCell::default(),
        }
    }

    fn never() -> Self {
        Self::after(usize::MAX)
    }

    fn step(&self, what: &str, path: &Path) -> Result<(), FileError> {
        if self.left.get() == 0 {
            return Err(killed(path));
        }
        self.left.set(self.left.get() - 1);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.done.borrow_mut().push(format!("{what} {name}"));
        Ok(())
    }
}

fn killed(path: &Path) -> FileError {
    FileError {
        verb: "be alive at",
        path: path.to_owned(),
        source: io::Error::other("killed"),
    }
}

impl Disk for Stopping {
    fn make_dir(&self, dir: &Path) -> Result<(), FileError> {
        self.step("make", dir)?;
        self.real.make_dir(dir)
    }

    fn remove_tree(&self, dir: &Path) -> Result<(), FileError> {
        self.step("remove", dir)?;
        self.real.remove_tree(dir)
    }

    fn clone_file(&self, from: &Path, to: &Path) -> Result<bool, FileError> {
        self.step("clone", to)?;
        if self.shares {
            // A copy looks the same.
            self.real.copy_file(from, to)?;
        }
        Ok(self.shares)
    }

    fn copy_file(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.step("copy", to)?;
        self.real.copy_file(from, to)
    }

    fn copy_link(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.step("link", to)?;
        self.real.copy_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), FileError> {
        self.step("delete", path)?;
        self.real.remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FileError> {
        self.step("rename", to)?;
        self.real.rename(from, to)
    }

    fn sync_tree(&self, dir: &Path) -> Result<(), FileError> {
        self.step("sync-tree", dir)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), FileError> {
        self.step("sync-names", dir)
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), FileError> {
        self.step("replace", path)?;
        self.real.replace(path, bytes)
    }

    fn reach(&self, point: Point) -> Result<(), FileError> {
        self.reached.borrow_mut().push(point);
        Ok(())
    }
}

/// A service's data in a directory of its own.
struct Place {
    _dir: tempfile::TempDir,
    base: PathBuf,
}

impl Place {
    fn new() -> Self {
        // In memory where there is some: every document is synced, and there are thousands.
        let dir = tempfile::tempdir_in("/dev/shm")
            .or_else(|_| tempfile::tempdir())
            .unwrap();
        let base = dir.path().join("data/db");
        Self { _dir: dir, base }
    }

    fn plan(&self, want: &str, generation: u64, migrations: &[Migration]) -> Result<Data, DataError> {
        Data::plan(&self.base, want, generation, migrations)
    }

    /// Starts `generation`, which wants `want`: what the launcher does up to the moment at which the program would run.
    fn start(&self, want: &str, generation: u64, disk: &dyn Disk) -> Result<Work, DataError> {
        let data = self.plan(want, generation, &ways(false))?;
        carry_out(&data, disk)?;
        Ok(data.work)
    }

    fn ok(&self, want: &str, generation: u64) -> Work {
        self.start(want, generation, &Real::default()).unwrap()
    }

    fn add(&self, format: &str, row: &str) {
        let path = self.base.join(format).join("rows");
        let rows = fs::read_to_string(&path).unwrap();
        fs::write(path, format!("{rows}{row}\n")).unwrap();
    }

    fn rows(&self, dir: &str) -> String {
        fs::read_to_string(self.base.join(dir).join("rows")).unwrap()
    }

    fn active(&self) -> Active {
        Active::read(&self.base).unwrap().unwrap()
    }

    /// Directories and what is in them.
    fn picture(&self) -> BTreeMap<String, String> {
        let entries = fs::read_dir(&self.base).into_iter().flatten().flatten();
        let dirs = entries.filter(|e| e.path().is_dir());
        let rows = |e: &fs::DirEntry| fs::read_to_string(e.path().join("rows")).unwrap_or_default();
        dirs.map(|e| (e.file_name().into_string().unwrap(), rows(&e))).collect()
    }
}

/// What the launcher does with a plan up to the moment at which the program would run.
fn carry_out(data: &Data, disk: &dyn Disk) -> Result<(), DataError> {
    match &data.work {
        Work::Use | Work::Adopt | Work::Return => {}
        Work::Make => {
            data.begin(NOW, disk)?;
            fs::write(data.unfinished().join("rows"), "new\n").unwrap();
        }
        Work::Move { from, migration, .. } => {
            data.begin(NOW, disk)?;
            let from = if migration.in_place {
                data.unfinished()
            } else {
                from.clone()
            };
            let rows = fs::read_to_string(from.join("rows")).unwrap();
            fs::write(
                data.unfinished().join("rows"),
                format!("{rows}moved to {}\n", migration.to),
            )
            .unwrap();
        }
    }
    data.finish(NOW, disk)
}

#[test]
fn there_and_back_and_there_again_loses_nothing() {
    let place = Place::new();
    assert_eq!(place.ok("1", 1), Work::Make);
    assert!(matches!(place.ok("2", 2), Work::Move { .. }));
    place.add("2", "written in 2");
    assert_eq!(place.rows("1"), "new\n");

    assert_eq!(place.ok("1", 1), Work::Return);
    assert!(!place.base.join("2").exists(), "newer data is put aside at once");
    assert_eq!(place.rows("2.aside-1"), "new\nmoved to 2\nwritten in 2\n");
    place.add("1", "written in 1");

    assert!(
        matches!(place.ok("2", 2), Work::Move { .. }),
        "what lies aside is not used again"
    );
    assert_eq!(place.rows("2"), "new\nwritten in 1\nmoved to 2\n");
    assert_eq!(place.ok("1", 1), Work::Return);
    let aside: Vec<String> = place.active().aside.iter().map(|a| a.dir.clone()).collect();
    assert_eq!(aside, ["2.aside-1", "2.aside-2"]);
}

#[test]
fn a_way_back_over_two_formats_puts_both_aside() {
    let place = Place::new();
    for (format, generation) in [("1", 1), ("2", 2), ("3", 3)] {
        place.ok(format, generation);
    }
    assert_eq!(place.ok("1", 1), Work::Return);
    let dirs: Vec<String> = place.picture().into_keys().collect();
    assert_eq!(dirs, ["1", "2.aside-1", "3.aside-1"]);
    assert!(place.active().made_from.is_empty());
}

#[test]
fn old_data_is_never_used_for_want_of_a_way() {
    let place = Place::new();
    place.ok("1", 1);
    fs::create_dir(place.base.join("5")).unwrap();
    let refused = place.plan("5", 5, &ways(false));
    assert!(
        matches!(refused, Err(DataError::NoWay { .. })),
        "a directory that happens to be there: {refused:?}"
    );
    assert!(matches!(place.plan("../x", 2, &[]), Err(DataError::Name(_))));
    assert!(matches!(place.plan("1.aside-1", 2, &[]), Err(DataError::Name(_))));
}

#[test]
fn missing_data_is_not_replaced_by_empty_data() {
    let place = Place::new();
    place.ok("1", 1);
    fs::rename(place.base.join("1"), place.base.join("elsewhere")).unwrap();
    for want in ["1", "2"] {
        let refused = place.plan(want, 2, &ways(false));
        assert!(matches!(refused, Err(DataError::Missing { .. })), "{refused:?}");
    }
}

#[test]
fn data_of_which_nothing_is_written_down_is_not_replaced_by_empty_data() {
    for left in ["1", "1.aside-1"] {
        let place = Place::new();
        fs::create_dir_all(place.base.join(left)).unwrap();
        fs::create_dir(place.base.join("2.init")).unwrap();
        let refused = place.plan("2", 2, &ways(false)).unwrap_err();
        assert!(
            matches!(&refused, DataError::NoWay { have, .. } if have == "1"),
            "{left}: {refused}"
        );
    }
    let place = Place::new();
    fs::create_dir_all(place.base.join("2.init")).unwrap();
    fs::create_dir(place.base.join(".snapshot")).unwrap();
    assert_eq!(place.ok("2", 2), Work::Make, "what was never finished is no data");
}

#[test]
fn a_directory_that_is_there_is_made_durable_too() {
    let place = Place::new();
    fs::create_dir_all(&place.base).unwrap();
    let disk = Stopping::never();
    place.plan("1", 1, &[]).unwrap().begin(NOW, &disk).unwrap();
    assert_eq!(disk.done.borrow()[0], "sync-names data");
}

#[test]
fn data_that_was_not_left_cleanly_is_not_moved_but_can_be_gone_back_from() {
    let place = Place::new();
    place.ok("1", 1);
    let end = |killed| End {
        status: Status::Code(0),
        killed,
        was_ready: true,
    };
    let marker = Marker::new(&place.base, "1", 1);
    let before = marker.begin().unwrap();
    let refused = place.plan("2", 2, &ways(false)).unwrap_err();
    assert!(refused.to_string().contains("went down"), "{refused}");
    marker.end(before.as_ref(), end(true)).unwrap();
    let refused = place.plan("2", 2, &ways(false)).unwrap_err();
    assert!(matches!(refused, DataError::NotClean { .. }), "{refused}");
    assert_eq!(place.ok("1", 1), Work::Use, "the version that wrote it may repair it");
    let before = marker.begin().unwrap();
    marker.end(before.as_ref(), end(false)).unwrap();
    assert!(matches!(place.ok("2", 2), Work::Move { .. }));

    let marker = Marker::new(&place.base, "2", 2);
    marker.end(None, end(true)).unwrap();
    assert_eq!(place.ok("1", 1), Work::Return);
}

#[test]
fn a_full_volume_is_found_out_before_the_copy() {
    let place = Place::new();
    place.ok("1", 1);
    // Larger than any disk, and nothing of it is written.
    let huge = fs::File::create(place.base.join("1/huge")).unwrap();
    if huge.set_len(1 << 43).is_err() {
        huge.set_len(1 << 42).unwrap();
    }
    let disk = Stopping {
        shares: false,
        ..Stopping::never()
    };
    let data = place.plan("2", 2, &ways(true)).unwrap();
    let error = data.begin(NOW, &disk).unwrap_err();
    assert!(
        matches!(error, DataError::Space { .. }) && error.to_string().contains("GiB needed"),
        "{error}"
    );
    assert!(!place.base.join("2.init").exists());
    assert!(
        !disk.done.borrow().iter().any(|d| d.starts_with("copy")),
        "{:?}",
        disk.done
    );
}

#[test]
fn a_snapshot_holds_directories_links_and_modes_and_leaves_no_probe() {
    for shares in [true, false] {
        let place = Place::new();
        place.ok("1", 1);
        fs::create_dir_all(place.base.join("1/a/b")).unwrap();
        fs::write(place.base.join("1/a/b/deep"), [7; 9000]).unwrap();
        let disk = Stopping {
            shares,
            ..Stopping::never()
        };
        let data = place.plan("2", 2, &ways(true)).unwrap();
        data.begin(NOW, &disk).unwrap();
        assert_eq!(fs::read(data.unfinished().join("a/b/deep")).unwrap(), [7; 9000]);
        assert_eq!(
            fs::read_dir(data.unfinished()).unwrap().count(),
            fs::read_dir(place.base.join("1")).unwrap().count()
        );
    }
}

/// The order that a power cut needs: contents before the name, the name before the document that uses it.
#[test]
fn what_is_published_is_durable_first() {
    for in_place in [false, true] {
        let place = Place::new();
        place.ok("1", 1);
        let disk = Stopping::never();
        let data = place.plan("2", 2, &ways(in_place)).unwrap();
        carry_out(&data, &disk).unwrap();
        let done = disk.done.borrow();
        let at = |what: &str| {
            done.iter()
                .rposition(|d| d == what)
                .unwrap_or_else(|| panic!("{what}: {done:?}"))
        };
        assert!(at("sync-tree 2.init") < at("rename 2"));
        assert!(at("rename 2") < at("sync-names db"));
        assert!(at("sync-names db") < at("replace active.json"));
        if in_place {
            let first = done.iter().position(|d| d == "sync-tree 2.init").unwrap();
            let copied = done.iter().rposition(|d| d == "clone rows").unwrap();
            assert!(copied < first && first < at("sync-tree 2.init"), "{done:?}");
        }
    }
}
