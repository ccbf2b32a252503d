//! A service through its life: installed, used, updated with its data, broken, returned, rolled back.

use std::{fs, net::TcpListener, path::PathBuf};

use kojibox_tests::{Failure, Outcome, Sandbox, ensure, http, pack::demo_stack};

use crate::Machine;

#[test]
fn data_moves_with_an_update_and_a_broken_release_leaves_it_alone() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.sign("one")?;
    machine.release(2)?;
    machine.update().answer()?;
    machine.expect("2.0.0", &["one"])?;
    machine.sign("two")?;
    machine.release(3)?;
    let run = machine
        .update()
        .fails(40)
        .says("did not become ready")
        .says("`guestbook`")
        .says("rolled back");
    run.says("generation 2 is active").says("  hint: ").answer()?;
    machine.expect("2.0.0", &["two", "one"])?;
    let status = machine.installer(&["status"]).json()?;
    let bad = status["generations"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|g| g["id"] == 3 && g["state"] == "bad");
    ensure(status["generation"] == 2 && bad, || {
        format!("generation 3 must be kept, marked bad: {status}")
    })?;
    machine.end()
}

#[test]
fn a_person_who_starts_and_stops_all_the_while_does_not_disturb_an_update() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.sign("one")?;
    machine.release(2)?;
    let update = machine.update();
    let update = std::thread::spawn(move || update.answer().map(drop));
    let mut met = Vec::new();
    while !update.is_finished() {
        for verb in ["up", "down"] {
            met.push((verb, machine.launcher(&[verb]).any()?));
        }
    }
    update
        .join()
        .map_err(|_| Failure::new("the update panicked".to_owned()))??;
    ensure(!met.is_empty(), || "nobody was in the way".into())?;
    // Done, busy, or overtaken by the installer's own orders.
    for (verb, (code, done)) in met {
        ensure(matches!(code, 0 | 30 | 40), || {
            format!("`{verb}` ended with {code}: {}", done.stderr)
        })?;
    }
    machine.launcher(&["up"]).answer()?;
    machine.expect("2.0.0", &["one"])?;
    machine.end()
}

#[test]
fn a_rollback_across_data_formats_asks_for_a_word_and_keeps_the_newer_data() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.sign("one")?;
    machine.release(2)?;
    machine.update().answer()?;
    machine.sign("two")?;
    machine
        .installer(&["rollback", "--yes"])
        .fails(2)
        .says("older data format")
        .says("--restore-data")
        .answer()?;
    machine.expect("2.0.0", &["two", "one"])?;
    machine.installer(&["rollback", "--yes", "--restore-data"]).answer()?;
    machine.expect("1.0.0", &["one"])?;
    let kept = kojibox_tests::tree::picture(&machine.root.join("data/guestbook"))?;
    let books = kept.keys().filter(|path| path.ends_with("guestbook.sqlite")).count();
    ensure(books == 2, || format!("the newer data must be kept aside: {kept:?}"))?;
    machine.end()
}

#[test]
fn a_first_release_that_does_not_become_ready_is_no_installation() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    machine.release(2)?;
    machine.release(3)?;
    machine
        .install()
        .fails(40)
        .says("did not become ready")
        .says("status 503")
        .answer()?;
    ensure(!machine.root.join("state/current.json").exists(), || {
        "there must be no pointer".into()
    })?;
    sandbox.expect_no_survivors()?;
    let install = sandbox
        .installer(["install", "demo@2.0.0", "--yes", "--source"])
        .arg(machine.publisher.depot());
    let install = install
        .arg("--root")
        .arg(&machine.root)
        .arg("--trust")
        .arg(machine.publisher.root_json());
    install.arg("--allow-downgrade").warns().answer()?;
    machine.expect("2.0.0", &[])?;
    machine.end()
}

#[test]
fn down_ends_every_process_and_up_brings_the_notes_back_elsewhere() -> Outcome {
    let sandbox = Sandbox::new()?;
    let mut machine = Machine::new(&sandbox)?;
    machine.install().answer()?;
    machine.sign("one")?;
    let port = machine.port()?;
    machine.launcher(&["down"]).answer()?;
    sandbox.expect_no_survivors()?;
    let to = sandbox.path("akar lain");
    fs::rename(&machine.root, &to).map_err(Failure::doing("could not move the root"))?;
    machine.root = to;
    machine.launcher(&["up"]).answer()?;
    ensure(machine.port()? == port, || format!("the port must stay {port}"))?;
    machine.expect("1.0.0", &["one"])?;
    machine.end()
}

/// Sockets have names of a hundred bytes and less, and live elsewhere.
#[test]
fn in_a_root_of_250_characters_services_come_up_answer_and_go_down() -> Outcome {
    let sandbox = Sandbox::new()?;
    let below: PathBuf = ["l", "o", "n"].map(|c| c.repeat(83)).iter().collect();
    let machine = Machine::with(&sandbox, sandbox.path(&below))?;
    ensure(below.as_os_str().len() >= 250, || "it is to be long".into())?;
    machine.install().answer()?;
    machine.sign("one")?;
    machine.launcher(&["logs", "guestbook"]).answer()?;
    machine.launcher(&["down"]).answer()?;
    sandbox.expect_no_survivors()?;
    machine.launcher(&["up"]).warns().answer()?;
    machine.release(2)?;
    machine.update().answer()?;
    machine.expect("2.0.0", &["one"])?;
    machine.end()
}

#[test]
fn a_taken_port_moves_unless_it_is_pinned() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    let taken = TcpListener::bind("127.0.0.1:0").map_err(Failure::doing("could not bind"))?;
    let port = taken.local_addr().map_err(Failure::doing("could not bind"))?.port();
    let stack = demo_stack(&sandbox, 1)?;
    let text = fs::read_to_string(&stack).map_err(Failure::doing("could not read the recipe"))?;
    let pinned = text
        .replace("prefer = 28080", &format!("prefer = {port}, pin = true"))
        .replace("\"1.0.0\"\ntargets", "\"1.0.1\"\ntargets");
    machine.publisher.build(&sandbox.write("recipe/pinned.toml", pinned)?)?;
    let install = |pack: &str| {
        let run = sandbox
            .installer(["install", pack, "--yes", "--source"])
            .arg(machine.publisher.depot());
        run.arg("--root")
            .arg(&machine.root)
            .arg("--trust")
            .arg(machine.publisher.root_json())
    };
    let (code, done) = install("demo@1.0.1").any()?;
    let named = done.stderr.contains(&port.to_string()) && done.stderr.contains("guestbook");
    ensure(matches!(code, 2 | 40) && named, || format!("{code} {}", done.stderr))?;

    let moving = text
        .replace("prefer = 28080", &format!("prefer = {port}"))
        .replace("\"1.0.0\"\ntargets", "\"1.0.2\"\ntargets");
    machine.publisher.build(&sandbox.write("recipe/moving.toml", moving)?)?;
    install("demo@1.0.2").warns().answer()?;
    ensure(machine.port()? != port, || {
        "the port is taken by another program".into()
    })?;
    machine.expect("1.0.0", &[])?;
    machine.end()
}

#[test]
fn answers_reach_the_service_and_secrets_are_private() -> Outcome {
    let sandbox = Sandbox::new()?;
    let machine = Machine::new(&sandbox)?;
    let answers = sandbox.write(
        "answers.toml",
        "start = true\n[answers]\nbook_title = \"Buku \\\"tamu\\\" <kami>\"\n",
    )?;
    machine.install().arg("--answers").arg(answers).answer()?;
    let page = http::get(machine.port()?, "/")?;
    ensure(
        page.body.contains("<h1>Buku &quot;tamu&quot; &lt;kami&gt;</h1>"),
        || page.body,
    )?;
    let secrets = kojibox_tests::tree::picture(&machine.root.join("secrets"))?;
    let private = !secrets.is_empty() && secrets.values().all(|what| what.starts_with("600 ") || what == "dir");
    ensure(private, || format!("secrets must be mode 0600: {secrets:?}"))?;
    machine.end()
}
