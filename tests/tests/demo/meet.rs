//! Launcher and installer on one root, with a service that keeps data: seeded commands at once, every second of them with
//! a kill that comes while it runs, if it takes as long as it took alone.

use std::{collections::BTreeMap, thread, time::Duration};

use kojibox_tests::{Choices, Failure, Outcome, Part, Run, Sandbox, crash::Figures, ensure, http};

use crate::Machine;

/// Who takes part. What goes back to older data says so; a prune leaves a way back and, with it, work for the next update.
const ACTS: [(bool, &[&str]); 14] = [
    (false, &["up"]),
    (false, &["up"]),
    (false, &["down"]),
    (false, &["down"]),
    (false, &["restart", "guestbook"]),
    (false, &["status"]),
    (true, &["update", "--yes", "--source"]),
    (true, &["update", "--yes", "--source"]),
    (true, &["update", "--yes", "--source"]),
    (true, &["rollback", "--yes", "--restore-data"]),
    (true, &["rollback", "--yes", "--restore-data"]),
    (true, &["prune", "--yes", "--keep", "2"]),
    (true, &["recover"]),
    (true, &["verify"]),
];

/// Each of them in an order in which it has its work to do, beginning where release 1 runs and 2 can be had.
const ALONE: [&str; 9] = [
    "status", "restart", "down", "up", "update", "rollback", "verify", "prune", "recover",
];

/// How long each takes alone on this machine, by its first word.
struct Pace(BTreeMap<&'static str, Duration>);

impl Pace {
    fn measure(machine: &Machine<'_>) -> Outcome<Self> {
        let mut pace = BTreeMap::new();
        for name in ALONE {
            let at = ACTS.iter().position(|(_, words)| words[0] == name).unwrap_or_default();
            let (code, done) = command(machine, at).any()?;
            ensure(matches!(code, 0 | 50), || {
                format!("`{name}` ended with {code}: {}", done.stderr)
            })?;
            pace.insert(name, done.took);
        }
        Ok(Self(pace))
    }

    fn of(&self, name: &str) -> Duration {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn mean(&self) -> Duration {
        let count = u32::try_from(self.0.len()).unwrap_or(1);
        self.0.values().sum::<Duration>() / count
    }
}

/// The act with this number.
fn command(machine: &Machine<'_>, at: usize) -> Run {
    match ACTS[at] {
        (true, ["update", ..]) => machine.update(),
        (true, words) => machine.installer(words).warns(),
        (false, words) => machine.launcher(words).warns(),
    }
}

/// One command of a round.
struct Actor {
    words: &'static [&'static str],
    run: Run,
    starts: Duration,
    killed: bool,
}

fn actors(machine: &Machine<'_>, pace: &Pace, seed: u64) -> Vec<Actor> {
    let mut choices = Choices::new(seed);
    let count = 2 + choices.below(3);
    let actor = |_| {
        let at = usize::try_from(choices.below(ACTS.len() as u64)).unwrap_or(0);
        let (words, mut run) = (ACTS[at].1, command(machine, at));
        let starts = Part::drawn(&mut choices, 2).of(pace.mean());
        let killed = (choices.below(2) == 0).then(|| Part::drawn(&mut choices, 1).of(pace.of(words[0])));
        if let Some(after) = killed {
            run = run.signal_after(after, "KILL");
        }
        Actor {
            words,
            run,
            starts,
            killed: killed.is_some(),
        }
    };
    (0..count).map(actor).collect()
}

/// Lets the actors of `seed` loose.
fn meet(machine: &Machine<'_>, pace: &Pace, seed: u64) -> Outcome<Figures> {
    let running: Vec<_> = actors(machine, pace, seed)
        .into_iter()
        .map(|actor| {
            let handle = thread::spawn(move || {
                thread::sleep(actor.starts);
                actor.run.any()
            });
            (actor.words, actor.killed, handle)
        })
        .collect();
    let mut figures = Figures::default();
    figures.add("rounds of launcher and installer", 1);
    for (words, killed, handle) in running {
        let ended = handle.join().map_err(|_| Failure::new("an actor panicked"))?;
        let (code, done) = ended.map_err(|failure| failure.at(&words.join(" ")))?;
        let told = || format!("`{}` ended with {code}: {}", words.join(" "), done.stderr);
        // Done, busy, overtaken by another's orders, to be recovered, nothing to do; no way back.
        let known = matches!(code, 0 | 30 | 40 | 41 | 50) || code == 2 && words[0] == "rollback";
        let overtaken = code == 40 && words[0] == "down" && done.stderr.contains("was started again");
        ensure(known || code == 137 && killed, told)?;
        ensure(!done.stderr.contains("panicked at"), told)?;
        // What only looks has done it, and warns of what is to be recovered.
        let looked = code == 41 && done.stderr.contains("warning: ");
        ensure(
            matches!(code, 0 | 50 | 137) || looked || done.stderr.contains("error: "),
            told,
        )?;
        figures.add("commands to be killed", u64::from(killed));
        figures.add("commands killed", u64::from(code == 137 && killed));
        figures.add("stops that a start overtook", u64::from(overtaken));
        figures.add("commands that found it busy", u64::from(code == 30));
    }
    Ok(figures)
}

/// What the guest book holds, and the version that serves it.
fn read(machine: &Machine<'_>) -> Outcome<(String, Vec<String>)> {
    let port = machine.port()?;
    let version = http::get(port, "/version")?.json()?["version"]
        .as_str()
        .map(str::to_owned);
    let notes = http::get(port, "/api/notes")?.json()?;
    let text = |note: &serde_json::Value| note["text"].as_str().map(str::to_owned);
    let notes = notes.as_array().into_iter().flatten().filter_map(text).collect();
    Ok((version.unwrap_or_default(), notes))
}

/// Recovers, and has everything up again; nothing of what was written while release 1 ran is lost.
fn settle(machine: &Machine<'_>, seed: u64, of_one: &mut Vec<String>) -> Outcome<Figures> {
    let (code, done) = machine.installer(&["recover"]).any()?;
    ensure(matches!(code, 0 | 50), || {
        format!("recover ends with {code}: {}", done.stderr)
    })?;
    let mut figures = Figures::default();
    figures.add("rounds that left something to recover", u64::from(code == 0));
    machine.launcher(&["up"]).warns().answer()?;
    let active = machine.installer(&["status"]).json()?;
    let (version, notes) = read(machine)?;
    // What was written in the older format is in the newer one too, which was made from it.
    let lost: Vec<_> = of_one.iter().filter(|note| !notes.contains(note)).collect();
    ensure(lost.is_empty(), || {
        format!("{version} has lost {lost:?}: it has {notes:?}; {active}")
    })?;
    let listed = active["generations"].as_array().into_iter().flatten();
    let pack = listed
        .filter(|g| g["id"] == active["generation"])
        .filter_map(|g| g["packs"].as_array().cloned());
    let named = pack.flatten().any(|pack| pack["version"] == version.as_str());
    ensure(named, || format!("{version} serves, but {active}"))?;
    machine.installer(&["verify"]).answer()?;
    if version == "1.0.0" {
        let note = format!("note {seed}");
        machine.sign(&note)?;
        of_one.push(note);
    }
    Ok(figures)
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures are a result")]
fn launcher_and_installer_that_meet_under_kill_lose_nothing() -> Outcome {
    let whole = std::env::var("KOJIBOX_MATRIX").is_ok_and(|extent| extent == "full");
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.release(2)?;
    machine.sign("first")?;
    let pace = Pace::measure(&machine)?;
    let (mut of_one, mut figures) = (vec!["first".to_owned()], Figures::default());
    for seed in 0..if whole { 100 } else { 8 } {
        let round = meet(&machine, &pace, seed).and_then(|met| {
            figures.merge(met);
            settle(&machine, seed, &mut of_one)
        });
        figures.merge(round.map_err(|failure| failure.at(&format!("round {seed}")))?);
    }
    for (what, n) in figures.iter() {
        println!("demo: {n} {what}");
    }
    // Too few would mean that the kills came before or after everything.
    figures.expect("commands killed", if whole { 40 } else { 2 })?;
    figures.expect("rounds that left something to recover", if whole { 3 } else { 0 })?;
    machine.end()
}
