//! Two workers: schedules that follow from a seed, with every kind of end at a random mutation.
//!
//! Workers read and decode; one thread commits in the order of the index. So the mutations and their order must not
//! depend on the schedule, which is asserted first: with it the exhaustive matrix of one worker speaks for any number.

use std::{
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use kojibox_packs::source::{BlobSource, ReadSeekSend, Section, SourceError};
use kojibox_state::store::{Asked, Fault, FaultPlan, Refusal};

use super::{
    check_active, choices, copy, faulty, kill, last_asked,
    op::{Kit, Op},
    recover_twice, settle, settle_refused, told, visited,
};
use crate::rig::{Stick, Tree, app, copy_tree, fast_dir, launcher, noise};

/// A medium whose reads take times that follow from a seed.
struct Uneven {
    inner: Arc<dyn BlobSource>,
    seed: Arc<AtomicU64>,
}

struct UnevenFile {
    inner: Box<dyn ReadSeekSend>,
    choose: Box<dyn FnMut(u32) -> u32 + Send>,
}

impl Read for UnevenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (self.choose)(4) {
            0 => {}
            1 => thread::yield_now(),
            n => thread::sleep(Duration::from_micros(u64::from(n) * 40)),
        }
        self.inner.read(buffer)
    }
}

impl Seek for UnevenFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

impl BlobSource for Uneven {
    fn open(&self, section: &Section, name: &str) -> Result<Option<Box<dyn ReadSeekSend>>, SourceError> {
        let seed = self.seed.fetch_add(1, Ordering::Relaxed);
        let opened = self.inner.open(section, name)?;
        Ok(opened.map(|inner| -> Box<dyn ReadSeekSend> {
            Box::new(UnevenFile {
                inner,
                choose: Box::new(choices(seed)),
            })
        }))
    }

    fn list(&self, section: &Section) -> Result<Vec<String>, SourceError> {
        self.inner.list(section)
    }

    fn publishers(&self) -> Result<Vec<String>, SourceError> {
        self.inner.publishers()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn locate(&self, section: &Section, name: &str) -> PathBuf {
        self.inner.locate(section, name)
    }
}

/// A component of many frames, so that two workers have something to do at once.
fn wide(n: u8) -> Tree {
    (0..8).fold(Tree::new("wide", &format!("{n}.0.0")), |tree, i| {
        let seed = if i % 2 == 0 { i } else { i + 100 * u64::from(n) };
        let len = 20_000 + 3000 * usize::try_from(i).expect("small");
        tree.file(&format!("part-{i}.bin"), 0o644, noise(seed + 1, len))
    })
}

fn kit(threads: usize, seed: &Arc<AtomicU64>) -> Kit {
    let kit = Kit::new(Stick::new(), |n| vec![app(n), wide(n), launcher(n)], threads);
    kit.reading(|inner| {
        Arc::new(Uneven {
            inner,
            seed: Arc::clone(seed),
        })
    })
}

/// What `op` asks for when nothing happens to it; the root's own id and random names stay out.
fn asked(kit: &Kit, op: Op, before: &std::path::Path) -> Vec<Asked> {
    let (_dir, root) = copy(before);
    let (faults, locked) = faulty(&root, kill(u64::MAX), false);
    drop(op.run(kit, locked));
    op.check_finished(&root, op.ends().1, "nothing happened to it");
    faults.asked()
}

/// The same mutations: their names and their order; the random half of a transaction's id may differ.
fn same(a: &[Asked], b: &[Asked]) -> bool {
    let path = |asked: &Asked| {
        let mut segments: Vec<String> = asked.path.segments().map(str::to_owned).collect();
        if segments.len() > 1 && (segments[0] == "staging" || segments[0] == "backups" || segments[1] == "receipts") {
            let at = if segments[1] == "receipts" { 2 } else { 1 };
            if let Some(txid) = segments.get_mut(at) {
                txid.truncate(txid.find('-').unwrap_or(txid.len()));
            }
        }
        segments.join("/")
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.what == b.what && path(a) == path(b))
}

/// Runs `op` with two workers in seeded schedules, each ended in a seeded way at a seeded mutation.
pub(super) fn seeded(op: Op) {
    let seed = Arc::new(AtomicU64::new(1));
    let (one, two) = (kit(1, &seed), kit(2, &seed));
    let before = op.before(&two);
    let before = before.path().join("root");
    let alone = asked(&one, op, &before);
    let mut schedules = 0;
    for start in (0..24).filter(|n| visited(*n, 4)) {
        seed.store(start * 1000, Ordering::Relaxed);
        assert!(
            same(&alone, &asked(&two, op, &before)),
            "{op:?}: the schedule changes what is asked for"
        );
        schedules += 1;
    }
    told(op, "schedules of two workers with the mutations of one", schedules);

    let total = u32::try_from(alone.len()).expect("small");
    let mut ends = 0;
    for n in (0..240).filter(|n| visited(*n, 8)) {
        let mut choose = choices(n + 7);
        seed.store(n * 1000 + 77, Ordering::Relaxed);
        let at = u64::from(choose(total)) + 1;
        let fault = [
            Fault::Kill,
            Fault::TornKill,
            Fault::Refused(Refusal::NoSpace),
            Fault::Refused(Refusal::Medium),
        ][usize::try_from(choose(4)).expect("small")];
        ended(
            &two,
            op,
            &before,
            FaultPlan {
                at,
                fault,
                lasting: false,
            },
            n,
        );
        ends += 1;
    }
    told(op, "seeded ends with two workers", ends);
}

fn ended(kit: &Kit, op: Op, before: &std::path::Path, plan: FaultPlan, seed: u64) {
    let (_dir, root) = copy(before);
    let (faults, locked) = faulty(&root, plan, true);
    drop(op.run(kit, locked));
    let name = format!(
        "{op:?}, two workers, seed {seed}, {:?} at {} ({})",
        plan.fault,
        plan.at,
        last_asked(&faults)
    );
    if faults.is_dead() && plan.fault == Fault::Kill {
        let dir = fast_dir();
        let disk = dir.path().join("root");
        std::fs::create_dir(&disk).unwrap();
        faults.power_cut(&disk, &mut choices(seed + 1)).unwrap().unwrap();
        // A purge takes it.
        if root.join("data").is_dir() {
            copy_tree(&root.join("data"), &disk.join("data"));
        }
        recover_twice(&disk, &name);
        op.check_at_rest(&disk, &name);
        check_active(op, &disk, &name);
    }
    if faults.is_dead() {
        settle(kit, op, &root, &name);
    } else {
        settle_refused(kit, op, &root, &name);
    }
}
