//! Owns the power cuts of a real file system: ext4 on a loop device, ended at seeded moments by its shutdown call.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{
    Extent, Figures,
    bench::{Bench, copy_tree, run},
    inject::settle,
    model::{Rest, check, receipts},
    op::Op,
};
use crate::{Choices, Failure, Outcome, ensure, platform};

/// Bytes of a disk.
const SIZE: u64 = 40 << 20;
/// How the file system is mounted, by turns.
const OPTIONS: [&str; 3] = ["data=ordered", "data=writeback", "data=ordered,commit=1"];

/// How often a command is measured.
const TRIALS: usize = 3;
/// How long a program that was on a disk may take to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mounted disk; taken away with the value.
struct Mounted {
    at: PathBuf,
    left: bool,
}

impl Mounted {
    fn new(image: &Path, at: PathBuf, options: &str) -> Outcome<Self> {
        fs::create_dir_all(&at).map_err(Failure::doing("could not make a mount point"))?;
        let options = format!("loop,{options}");
        run(
            Command::new("mount")
                .args(["-t", "ext4", "-o", &options])
                .arg(image)
                .arg(&at),
            &[0],
        )?;
        Ok(Self { at, left: false })
    }

    fn root(&self) -> PathBuf {
        self.at.join("root")
    }

    /// Takes it away, with what still runs from it. As long as it is there, its image would be mounted as it is, and not as
    /// it lies on the disk.
    fn leave(mut self) -> Outcome {
        let began = Instant::now();
        loop {
            for (id, _) in platform::processes_below(&self.at) {
                platform::end(id);
            }
            let ended = run(Command::new("umount").arg(&self.at), &[0]);
            if ended.is_ok() || began.elapsed() > PATIENCE {
                self.left = ended.is_ok();
                return ended.map(drop);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Something else has failed and is told.
        if !self.left {
            drop(run(Command::new("umount").arg("-l").arg(&self.at), &[0]));
        }
    }
}

/// A disk with the root just before `op`, and how long `op` takes on it.
fn disk(bench: &Bench, op: Op) -> Outcome<(PathBuf, Duration)> {
    let image = bench.path(&format!("disk-{op}"));
    let file = File::create(&image).map_err(Failure::doing("could not make a disk"))?;
    file.set_len(SIZE).map_err(Failure::doing("could not make a disk"))?;
    let format = [
        "-q",
        "-F",
        "-J",
        "size=4",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0",
    ];
    run(Command::new("mkfs.ext4").args(format).arg(&image), &[0])?;
    let mounted = Mounted::new(&image, bench.path("mount"), OPTIONS[0])?;
    if op != Op::Install {
        copy_tree(&bench.prepared(op)?, &mounted.root())?;
    }
    mounted.leave()?;
    // The fastest of some: what else this machine does makes one slow, and cuts would come after its end.
    let took = (0..TRIALS)
        .map(|_| trial(bench, op, &image))
        .collect::<Outcome<Vec<_>>>()?;
    Ok((image, took.into_iter().min().unwrap_or_default()))
}

/// How long `op` takes on a copy of `image`.
fn trial(bench: &Bench, op: Op, image: &Path) -> Outcome<Duration> {
    let trial = bench.path("trial");
    fs::copy(image, &trial).map_err(Failure::doing("could not copy a disk"))?;
    let mounted = Mounted::new(&trial, bench.path("mount"), OPTIONS[0])?;
    let began = Instant::now();
    run(&mut bench.command(op, &mounted.root()), &[op.code()])?;
    let took = began.elapsed();
    mounted.leave()?;
    Ok(took)
}

/// Cuts the power at seeded moments of every command by turns. Needs root, for the mounts.
pub fn cut_real_disks(bench: &Bench, extent: Extent) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let mut disks = Vec::new();
    for op in Op::ALL {
        let (image, took) = disk(bench, op)?;
        disks.push((op, image, took));
    }
    for seed in 0..extent.of(18, 221) {
        let (op, image, took) = &disks[usize::try_from(seed).unwrap_or(0) % disks.len()];
        let options = OPTIONS[usize::try_from(seed).unwrap_or(0) / disks.len() % OPTIONS.len()];
        let place = format!("{op}, cut {seed}, `{options}`");
        figures.merge(cut(bench, (*op, image, *took), options, seed).map_err(|failure| failure.at(&place))?);
    }
    // Cuts that came before or after everything would show nothing.
    figures.expect("of them with something to recover", extent.of(3, 60))?;
    Ok(figures)
}

fn cut(bench: &Bench, (op, image, took): (Op, &Path, Duration), options: &str, seed: u64) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let work = bench.path("work");
    fs::copy(image, &work).map_err(Failure::doing("could not copy a disk"))?;
    let past = if op == Op::Install {
        0
    } else {
        receipts(&bench.prepared(op)?)?.len()
    };
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let moment = Duration::from_micros(Choices::new(seed).below(micros + micros / 8));
    let mounted = Mounted::new(&work, bench.path("mount"), options)?;
    let mut command = bench.command(op, &mounted.root());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(Failure::doing("could not run the installer"))?;
    thread::sleep(moment);
    let ended = child
        .try_wait()
        .map_err(Failure::doing("could not look at the installer"))?;
    platform::cut_power(&mounted.at).map_err(Failure::doing("could not end the file system"))?;
    child
        .kill()
        .and_then(|()| child.wait())
        .map_err(Failure::doing("could not end the installer"))?;
    mounted.leave()?;
    let done = ended.is_some_and(|status| status.code() == Some(op.code()));
    figures.add("cuts", 1);
    if done {
        figures.add("of them after the command had ended", 1);
    }
    let mounted = Mounted::new(&work, bench.path("mount"), options)?;
    let root = mounted.root();
    if fs::metadata(root.join("state/journal")).is_ok_and(|meta| meta.len() > 0) {
        figures.add("of them with something to recover", 1);
    }
    if done {
        // What was told as done is done.
        let active = check(&root, Rest::Clean)?;
        ensure(active == op.ends().1 && receipts(&root)?.len() > past, || {
            format!("it was done, and {active:?} is active")
        })?;
    }
    settle(bench, op, &root, Rest::Clean)?;
    mounted.leave()?;
    Ok(figures)
}
