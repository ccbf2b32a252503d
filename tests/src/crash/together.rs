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
    Extent, Figures,
    actors::{Actor, READERS, actors, pace},
    bench::{Bench, run},
    each,
    model::{Rest, check, check_data},
    op::Op,
    trace,
};
use crate::{Failure, Outcome, ensure, platform};

/// What `kill -9` makes of an exit code.
const KILLED: i32 = 128 + 9;
/// Another one works, or has changed the root meanwhile.
const BUSY: i32 = 30;

/// One command with its moments on this machine.
struct Turn {
    actor: Actor,
    starts: Duration,
    killed: Option<Duration>,
}

/// What came of one command.
struct Ended {
    code: i32,
    said: String,
    from: Instant,
    to: Instant,
}

/// Lets seeded sets of commands loose, once with nobody killed and once with kills, on a root each; recovers, and compares
/// with the model.
pub fn interleave(bench: &Bench, extent: Extent) -> Outcome<Figures> {
    let seeds: Vec<u64> = (0..extent.of(12, 200)).collect();
    let pace = pace(bench)?;
    let figures = each(&seeds, |seed| {
        one(bench, *seed, pace).map_err(|failure| failure.at(&format!("interleaving {seed}")))
    })?;
    // Commands that came one after the other, or whose kills came too late, would show nothing. Far below what is measured:
    // this machine has other work too.
    for (what, at_least) in [
        ("commands that ran while another did", extent.of(12, 300)),
        ("commands killed", extent.of(3, 100)),
        ("commands that found it busy", extent.of(0, 5)),
        ("ends that left something to recover", extent.of(0, 10)),
    ] {
        figures.expect(what, at_least)?;
    }
    Ok(figures)
}

fn one(bench: &Bench, seed: u64, pace: Duration) -> Outcome<Figures> {
    let turn = |actor: Actor| Turn {
        starts: actor.starts.of(pace),
        killed: None,
        actor,
    };
    let mut turns: Vec<Turn> = actors(seed).into_iter().map(turn).collect();
    let told = |turns: &[Turn]| turns.iter().map(Turn::told).collect::<Vec<_>>().join("\n");
    // How long a command takes hangs on the machine and on those that it meets, so its kill is a part of what it took here.
    let (mut figures, ended) = loose(bench, &turns).map_err(|failure| failure.with(&told(&turns)))?;
    for (turn, end) in turns.iter_mut().zip(&ended) {
        turn.killed = turn.actor.killed.map(|part| part.of(end.to - end.from));
    }
    let (more, _) = loose(bench, &turns).map_err(|failure| failure.with(&told(&turns)))?;
    figures.merge(more);
    Ok(figures)
}

impl Turn {
    /// For a failure.
    fn told(&self) -> String {
        let words = self.actor.words.join(" ");
        format!("`{words}` after {:?}, killed after {:?}", self.starts, self.killed)
    }
}

/// Lets them loose on one root.
fn loose(bench: &Bench, turns: &[Turn]) -> Outcome<(Figures, Vec<Ended>)> {
    let place = bench.copy(Op::Rollback)?;
    let root = place.root();
    let ended = thread::scope(|scope| {
        let running: Vec<_> = turns
            .iter()
            .map(|turn| scope.spawn(|| act(bench, &root, turn)))
            .collect();
        running
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|_| Err(Failure::new("an actor panicked"))))
            .collect::<Outcome<Vec<_>>>()
    })?;
    let mut figures = Figures::default();
    figures.add("interleavings", 1);
    for (turn, end) in turns.iter().zip(&ended) {
        figures.merge(judge(turn, end)?);
    }
    figures.add("commands that ran while another did", meetings(&ended));
    let recovered = run(&mut bench.installer(&["recover"], &root), &[0, 50])?;
    let left = recovered.status.success();
    let killed = ended.iter().any(|end| end.code == KILLED);
    ensure(killed || !left, || {
        "nobody was killed, and something was left to recover".into()
    })?;
    figures.add("ends that left something to recover", u64::from(left));
    let active = check(&root, Rest::Pruned)?;
    let removed = turns.iter().any(|turn| turn.actor.words[0] == "uninstall");
    ensure(active.is_some() || removed, || "nothing is active".into())?;
    check_data(&root)?;
    run(&mut bench.installer(&["recover"], &root), &[50])?;
    run(&mut bench.installer(&["status"], &root), &[0])?;
    run(&mut bench.installer(&["verify"], &root), &[0])?;
    Ok((figures, ended))
}

/// How many ran while another one did.
fn meetings(all: &[Ended]) -> u64 {
    let met = |n: usize, one: &Ended| {
        let mut others = all.iter().enumerate().filter(|(other, _)| *other != n);
        others.any(|(_, other)| one.from < other.to && other.from < one.to)
    };
    all.iter().enumerate().map(|(n, one)| u64::from(met(n, one))).sum()
}

fn act(bench: &Bench, root: &Path, turn: &Turn) -> Outcome<Ended> {
    let failed = || Failure::doing("could not run the installer");
    thread::sleep(turn.starts);
    let mut command = bench.installer(turn.actor.words, root);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let from = Instant::now();
    let mut child = command.spawn().map_err(failed())?;
    if let Some(after) = turn.killed {
        thread::sleep(after);
        child.kill().map_err(failed())?;
    }
    let mut said = String::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_string(&mut said).map_err(failed())?;
    }
    let code = platform::code(child.wait().map_err(failed())?);
    let to = Instant::now();
    Ok(Ended { code, said, from, to })
}

/// What a command may say while others work.
fn judge(turn: &Turn, end: &Ended) -> Outcome<Figures> {
    let Ended { code, said, .. } = end;
    let words = turn.actor.words;
    let mut figures = Figures::default();
    let known: &[i32] = match words[0] {
        // The generation to go back to was pruned meanwhile.
        "rollback" => &[0, 2, 30, 40, 50],
        // The root is gone, or its generations are.
        "uninstall" | "recover" => &[0, 2, 30, 50],
        // 21, 41: none.
        _ if turn.actor.writes => &[0, 30, 40, 50],
        _ => &[0, 30, 41],
    };
    ensure(known.contains(code) || *code == KILLED && turn.killed.is_some(), || {
        format!("`{}` ended with {code}: {said}", words.join(" "))
    })?;
    figures.add("commands to be killed", u64::from(turn.killed.is_some()));
    figures.add("commands killed", u64::from(*code == KILLED));
    figures.add("commands that found it busy", u64::from(*code == BUSY));
    figures.add(
        "commands that ran to their end",
        u64::from(![KILLED, BUSY].contains(code)),
    );
    ensure(*code != BUSY || said.contains("error: "), || said.clone())?;
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
