//! Launcher and installer on one root, with a service that keeps data: seeded commands at once, half of them killed.

use std::{thread, time::Duration};

use kojibox_tests::{Choices, Failure, Outcome, Run, Sandbox, ensure, http};

use crate::Machine;

/// Who takes part. What goes back to older data says so.
const ACTS: [(bool, &[&str]); 12] = [
    (false, &["up"]),
    (false, &["up"]),
    (false, &["down"]),
    (false, &["down"]),
    (false, &["restart"]),
    (false, &["status"]),
    (true, &["update", "--yes", "--source"]),
    (true, &["update", "--yes", "--source"]),
    (true, &["rollback", "--yes", "--restore-data"]),
    (true, &["prune", "--yes", "--keep", "1"]),
    (true, &["recover"]),
    (true, &["verify"]),
];

/// One command of a round.
struct Actor {
    words: &'static [&'static str],
    run: Run,
    starts: Duration,
    killed: Option<Duration>,
}

fn actors(machine: &Machine<'_>, seed: u64) -> Vec<Actor> {
    let mut choices = Choices::new(seed);
    let count = 2 + choices.below(3);
    let actor = |_| {
        let at = usize::try_from(choices.below(ACTS.len() as u64)).unwrap_or(0);
        let (installs, words) = ACTS[at];
        let mut run = match (installs, words[0]) {
            (true, "update") => machine.update(),
            (true, _) => machine.installer(words),
            (false, _) => machine.launcher(words),
        };
        let starts = Duration::from_millis(choices.below(400));
        let killed = (choices.below(2) == 0).then(|| Duration::from_millis(choices.below(120)));
        if let Some(after) = killed {
            run = run.signal_after(after, "KILL");
        }
        Actor {
            words,
            run: run.warns(),
            starts,
            killed,
        }
    };
    (0..count).map(actor).collect()
}

/// Lets the actors of `seed` loose; tells how many were killed.
fn meet(machine: &Machine<'_>, seed: u64) -> Outcome<u64> {
    let running: Vec<_> = actors(machine, seed)
        .into_iter()
        .map(|actor| {
            let handle = thread::spawn(move || {
                thread::sleep(actor.starts);
                actor.run.any()
            });
            (actor.words, actor.killed, handle)
        })
        .collect();
    let mut kills = 0;
    for (words, killed, handle) in running {
        let ended = handle.join().map_err(|_| Failure::new("an actor panicked"))?;
        let (code, done) = ended.map_err(|failure| failure.at(&words.join(" ")))?;
        let told = || format!("`{}` ended with {code}: {}", words.join(" "), done.stderr);
        // Done, no way back, busy, overtaken by another's orders, to be recovered, nothing to do.
        ensure(matches!(code, 0 | 2 | 30 | 40 | 41 | 50 | 137), told)?;
        ensure(!done.stderr.contains("panicked at"), told)?;
        let error = !matches!(code, 0 | 50 | 137);
        ensure(!error || done.stderr.contains("error: "), told)?;
        ensure(code != 137 || killed.is_some(), told)?;
        kills += u64::from(code == 137);
    }
    Ok(kills)
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

#[test]
#[expect(clippy::print_stdout, reason = "the figures are a result")]
fn launcher_and_installer_that_meet_under_kill_lose_nothing() -> Outcome {
    let rounds = match std::env::var("KOJIBOX_MATRIX") {
        Ok(extent) if extent == "full" => 100,
        _ => 5,
    };
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.release(2)?;
    machine.sign("first")?;
    let (mut of_one, mut kills) = (vec!["first".to_owned()], 0);
    for seed in 0..rounds {
        let at = |failure: Failure| failure.at(&format!("round {seed}"));
        kills += meet(&machine, seed).map_err(at)?;
        let (code, done) = machine.installer(&["recover"]).any()?;
        ensure(matches!(code, 0 | 50), || {
            format!("round {seed}: recover ends with {code}: {}", done.stderr)
        })?;
        machine.launcher(&["up"]).warns().answer().map_err(at)?;
        let active = machine.installer(&["status"]).json().map_err(at)?;
        let (version, notes) = read(&machine).map_err(at)?;
        // What was written in the older format is in the newer one too, which was made from it.
        let lost: Vec<_> = of_one.iter().filter(|note| !notes.contains(note)).collect();
        ensure(lost.is_empty(), || {
            format!("round {seed}: {version} has lost {lost:?}: it has {notes:?}; {active}")
        })?;
        let listed = active["generations"].as_array().into_iter().flatten();
        let pack = listed
            .filter(|g| g["id"] == active["generation"])
            .filter_map(|g| g["packs"].as_array().cloned());
        let named = pack.flatten().any(|pack| pack["version"] == version.as_str());
        ensure(named, || format!("round {seed}: {version} serves, but {active}"))?;
        machine.installer(&["verify"]).answer().map_err(at)?;
        if version == "1.0.0" {
            let note = format!("note {seed}");
            machine.sign(&note).map_err(at)?;
            of_one.push(note);
        }
    }
    println!("demo: {rounds} rounds of launcher and installer");
    println!("demo: {kills} commands killed");
    machine.end()
}
