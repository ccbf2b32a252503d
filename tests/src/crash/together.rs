//! Owns the commands that meet on one root: seeded interleavings under `kill -9`, and what one tells of the other.

use std::{
    fs,
    io::Read as _,
    path::Path,
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    Figures,
    bench::{Bench, run},
    each,
    model::{Rest, check, check_data},
    op::Op,
    trace,
};
use crate::{Choices, Failure, Outcome, ensure, platform};

/// Commands that change a root; the last is rare.
const WRITERS: [&[&str]; 8] = [
    &["update", "--yes", "--source", "{2}"],
    &["update", "--yes", "--source", "{3}"],
    &["rollback", "--yes"],
    &["rollback", "--yes", "--to", "1"],
    &["prune", "--yes", "--keep", "1"],
    &["recover"],
    &["install", "--yes", "--allow-downgrade", "--source", "{1}"],
    &["uninstall", "--yes"],
];
/// Commands that only read.
const READERS: [&[&str]; 3] = [&["status"], &["history"], &["verify"]];

/// One command of an interleaving.
struct Actor {
    words: &'static [&'static str],
    writes: bool,
    starts: Duration,
    killed: Option<Duration>,
}

fn actors(seed: u64) -> Vec<Actor> {
    let mut choices = Choices::new(seed);
    let count = 2 + choices.below(3);
    let actor = |_| {
        let writes = choices.below(4) > 0;
        let rare = usize::from(choices.below(8) > 0);
        let all: &[&[&str]] = if writes {
            &WRITERS[..WRITERS.len() - rare]
        } else {
            &READERS
        };
        let words = all[usize::try_from(choices.below(all.len() as u64)).unwrap_or(0)];
        let millis = |choices: &mut Choices, most: u64| Duration::from_micros(choices.below(most * 1000));
        let starts = millis(&mut choices, 120);
        let killed = (choices.below(2) == 0).then(|| millis(&mut choices, 160));
        Actor {
            words,
            writes,
            starts,
            killed,
        }
    };
    (0..count).map(actor).collect()
}

/// Lets `count` seeded sets of commands loose on a root each; recovers, and compares with the model.
pub fn interleave(bench: &Bench, count: u64) -> Outcome<Figures> {
    let seeds: Vec<u64> = (0..count).collect();
    bench.prepared(Op::Rollback)?;
    each(&seeds, |seed| {
        one(bench, *seed).map_err(|failure| failure.at(&format!("interleaving {seed}")).with(&story(*seed)))
    })
}

/// Who took part, for a failure.
fn story(seed: u64) -> String {
    let told = |actor: &Actor| {
        let Actor {
            words, starts, killed, ..
        } = actor;
        format!("`{}` after {starts:?}, killed after {killed:?}", words.join(" "))
    };
    actors(seed).iter().map(told).collect::<Vec<_>>().join("\n")
}

fn one(bench: &Bench, seed: u64) -> Outcome<Figures> {
    let place = bench.copy(Op::Rollback)?;
    let (root, actors) = (place.root(), actors(seed));
    let ended = thread::scope(|scope| {
        let running: Vec<_> = actors
            .iter()
            .map(|actor| scope.spawn(|| act(bench, &root, actor)))
            .collect();
        running
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| Err(Failure::new("an actor panicked"))))
            .collect::<Outcome<Vec<_>>>()
    })?;
    let mut figures = Figures::default();
    let removed = actors.iter().any(|actor| actor.words[0] == "uninstall");
    for (actor, (code, said)) in actors.iter().zip(&ended) {
        figures.merge(judge(actor, *code, said)?);
    }
    let recovered = run(&mut bench.installer(&["recover"], &root), &[0, 50])?;
    if recovered.status.success() {
        figures.add("that left something to recover", 1);
    }
    let active = check(&root, Rest::Clean)?;
    ensure(active.is_some() || removed, || "nothing is active".into())?;
    check_data(&root)?;
    run(&mut bench.installer(&["recover"], &root), &[50])?;
    run(&mut bench.installer(&["status"], &root), &[0])?;
    run(&mut bench.installer(&["verify"], &root), &[0])?;
    figures.add("interleavings", 1);
    Ok(figures)
}

fn act(bench: &Bench, root: &Path, actor: &Actor) -> Outcome<(i32, String)> {
    let failed = || Failure::doing("could not run the installer");
    thread::sleep(actor.starts);
    let mut command = bench.installer(actor.words, root);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed())?;
    if let Some(after) = actor.killed {
        thread::sleep(after);
        child.kill().map_err(failed())?;
    }
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_string(&mut said).map_err(failed())?;
    }
    Ok((platform::code(child.wait().map_err(failed())?), said))
}

/// What a command may say while others work.
fn judge(actor: &Actor, code: i32, said: &str) -> Outcome<Figures> {
    let mut figures = Figures::default();
    let known: &[i32] = if actor.words[0] == "rollback" {
        // The generation to go back to was pruned meanwhile.
        &[0, 2, 30, 40, 50, 137]
    } else if actor.words[0] == "uninstall" || actor.words[0] == "recover" {
        // The root is gone, or its generations are.
        &[0, 2, 30, 50, 137]
    } else if actor.writes {
        // 21, 41: none.
        &[0, 30, 40, 50, 137]
    } else {
        &[0, 30, 41, 137]
    };
    ensure(known.contains(&code), || {
        format!("`{}` ended with {code}: {said}", actor.words.join(" "))
    })?;
    match code {
        137 => figures.add("commands killed", 1),
        30 => {
            figures.add("commands that found it busy", 1);
            ensure(said.contains("error: "), || said.to_owned())?;
        }
        _ => figures.add("commands that ran to their end", 1),
    }
    Ok(figures)
}

/// An installer that hangs in the middle of an update, with the lock.
struct Holder {
    strace: Child,
    pid: u32,
}

impl Holder {
    fn start(bench: &Bench, root: &Path) -> Outcome<Self> {
        let program = bench.command(Op::Update, root);
        let mut command = trace::injected(&program, "syncfs:delay_enter=60000000:when=1");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let strace = command.spawn().map_err(Failure::doing("could not run `strace`"))?;
        let mut holder = Self { strace, pid: 0 };
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(30) {
            let text = fs::read(root.join("state/holder.json")).unwrap_or_default();
            let named = serde_json::from_slice::<Value>(&text)
                .ok()
                .and_then(|v| v["pid"].as_u64());
            let staged = fs::metadata(root.join("state/journal")).is_ok_and(|meta| meta.len() > 0);
            if let (Some(pid), true) = (named.and_then(|pid| u32::try_from(pid).ok()), staged) {
                holder.pid = pid;
                return Ok(holder);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(Failure::new("the update did not come to its sync"))
    }

    fn kill(&mut self) -> Outcome {
        platform::end(std::mem::take(&mut self.pid));
        // It would sit out the delay that it was asked for.
        let ended = self.strace.kill().and_then(|()| self.strace.wait());
        ended.map(drop).map_err(Failure::doing("could not end `strace`"))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        if self.pid != 0 {
            platform::end(self.pid);
        }
        drop(self.strace.kill());
        drop(self.strace.wait());
    }
}

/// While one installer works, everybody else waits or ends with 30 and names it; its death frees the lock at once.
pub fn name_the_holder(bench: &Bench) -> Outcome<Figures> {
    const OTHERS: [&[&str]; 6] = [
        &["prune", "--yes"],
        &["update", "--yes", "--source", "{2}"],
        &["uninstall", "--yes"],
        READERS[0],
        READERS[1],
        READERS[2],
    ];
    let place = bench.copy(Op::Update)?;
    let root = place.root();
    let mut holder = Holder::start(bench, &root)?;
    let name = format!("held by process {}", holder.pid);
    // The launcher only looks, and is not kept waiting.
    let mut launcher = bench.program("kojibox");
    run(launcher.args(["--root"]).arg(&root).arg("status"), &[0])?;
    let mut figures = thread::scope(|scope| {
        let all: Vec<_> = OTHERS
            .iter()
            .map(|words| scope.spawn(|| refused(bench, &root, words, &name)))
            .collect();
        all.into_iter().try_fold(Figures::default(), |mut sum, handle| {
            sum.merge(
                handle
                    .join()
                    .unwrap_or_else(|_| Err(Failure::new("a command panicked")))?,
            );
            Ok(sum)
        })
    })?;
    let mut waiting = bench.installer(&["recover"], &root);
    waiting.stdout(Stdio::null()).stderr(Stdio::null());
    let mut waiting = waiting.spawn().map_err(Failure::doing("could not run the installer"))?;
    thread::sleep(Duration::from_millis(300));
    let early = waiting
        .try_wait()
        .map_err(Failure::doing("could not look at the installer"))?;
    ensure(early.is_none(), || format!("it does not wait: {early:?}"))?;
    holder.kill()?;
    let began = Instant::now();
    let ended = waiting
        .wait()
        .map_err(Failure::doing("could not wait for the installer"))?;
    let freed = ended.success() && began.elapsed() < Duration::from_secs(5);
    ensure(freed, || {
        format!(
            "the lock of a dead process held for {:?}, then {ended}",
            began.elapsed()
        )
    })?;
    figures.add("that waited for its death", 1);
    let active = check(&root, Rest::Clean)?;
    ensure(active == Some(1), || format!("{active:?} is active"))?;
    Ok(figures)
}

fn refused(bench: &Bench, root: &Path, words: &[&str], name: &str) -> Outcome<Figures> {
    let output = run(&mut bench.installer(words, root), &[30])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = said.contains(name) && said.contains("kojibox-installer update");
    ensure(told, || format!("`{}` does not say `{name}`: {said}", words.join(" ")))?;
    let mut figures = Figures::default();
    figures.add("that named the holder", 1);
    Ok(figures)
}
