//! What a builder gets wrong, and what the world does to a build.

use std::{io::Write as _, net::TcpListener, path::Path, time::Duration};

use kojibox_tests::{
    Outcome, Run, Sandbox, ensure,
    pack::{Publisher, host_target, tree_stack},
};

/// A stack with one component from `source`, and the run that builds it.
fn build(sandbox: &Sandbox, publisher: &Publisher<'_>, source: &str) -> Outcome<Run> {
    let stack = tree_stack("1.0.0").replace("source = { path = \"files\" }", source);
    sandbox.write("s/files/a.txt", "a")?;
    Ok(publisher.build_run(&sandbox.write("s/stack.toml", stack)?))
}

#[test]
fn a_typo_is_named_with_its_place_and_the_nearest_word() -> Outcome {
    let sandbox = Sandbox::new()?;
    let stack = tree_stack("1.0.0").replace("default = true", "defualt = true");
    sandbox.write("s/files/a.txt", "a")?;
    let stack = sandbox.write("s/stack.toml", stack)?;
    for command in ["check", "lock"] {
        let run = sandbox
            .packer([command])
            .arg(&stack)
            .fails(2)
            .says("stack.toml:9:1")
            .says("defualt")
            .says("did you mean `default`?");
        run.errors(2).answer()?;
    }
    Ok(())
}

#[test]
fn every_mistake_of_a_definition_is_told_at_once() -> Outcome {
    let sandbox = Sandbox::new()?;
    let stack = "[pack]\nname = \"Tree\"\nversion = \"1\"\ntargets = [\"linux-riscv\"]\n[[component]]\nid = \"tree\"\nversion = \"1.0.0\"\nsource = { path = \"nowhere\" }\n";
    let stack = sandbox.write("s/stack.toml", stack)?;
    let run = sandbox
        .packer(["check"])
        .arg(&stack)
        .fails(2)
        .says("stack.toml:2:")
        .says("stack.toml:3:")
        .says("stack.toml:4:");
    let run = run.says("linux-riscv").says("nowhere").says("has 4 mistakes");
    run.errors(5).answer().map(drop)
}

#[test]
fn an_unknown_target_is_a_usage_error() -> Outcome {
    let sandbox = Sandbox::new()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let run = build(&sandbox, &publisher, "source = { path = \"files\" }")?;
    let (code, done) = run.args(["--target", "linux-riscv"]).any()?;
    ensure(code == 2 && done.stderr.contains("linux-riscv"), || {
        format!("{code} {}", done.stderr)
    })
}

#[test]
fn a_medium_for_other_machines_says_which_it_is_for() -> Outcome {
    let sandbox = Sandbox::new()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let other = if host_target() == "windows-x86_64" {
        "linux-x86_64"
    } else {
        "windows-x86_64"
    };
    let stack = tree_stack("1.0.0").replace(&host_target(), other);
    sandbox.write("s/files/a.txt", "a")?;
    let stack = sandbox.write("s/stack.toml", stack)?;
    let run = sandbox
        .packer(["build"])
        .arg(&stack)
        .arg("--key")
        .arg(publisher.dir("keys/pack"));
    run.arg("--trust")
        .arg(publisher.root_json())
        .arg("--depot")
        .arg(publisher.depot())
        .answer()?;
    let run = publisher.install_run(&sandbox.path("root"));
    let (code, done) = run.any()?;
    let holds = code != 0 && done.stderr.contains(other) && done.stderr.contains(&host_target());
    ensure(holds, || format!("{code} {}", done.stderr))
}

#[test]
fn a_source_that_cannot_be_reached_is_named_after_all_mirrors() -> Outcome {
    let sandbox = Sandbox::new()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    // Bound and never accepted from, then closed: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .map_or(1, |a| a.port());
    let source = format!(
        "source = {{ url = \"http://127.0.0.1:{port}/a.tar.gz\", mirrors = [\"http://127.0.0.1:{port}/b.tar.gz\"], sha256 = \"{}\" }}",
        "0".repeat(64)
    );
    let run = build(&sandbox, &publisher, &source)?;
    run.fails(33)
        .says("a.tar.gz")
        .says("/b.tar.gz")
        .says("  hint: ")
        .answer()
        .map(drop)
}

#[test]
fn a_source_with_another_checksum_is_damage() -> Outcome {
    let sandbox = Sandbox::new()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let file = sandbox.write("archive.bin", "not what was pinned")?;
    let source = format!(
        "source = {{ url = \"file://{}\", sha256 = \"{}\" }}",
        encoded(&file),
        "0".repeat(64)
    );
    let run = build(&sandbox, &publisher, &source)?.fails(21);
    run.says("is not what was pinned: got sha256 `")
        .says("archive.bin")
        .answer()?;
    ensure(!publisher.depot().join("packs").exists(), || {
        "nothing may be left in the depot".into()
    })
}

/// A path as a URL wants it.
fn encoded(path: &Path) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    let bytes = path.to_string_lossy().into_owned().into_bytes();
    bytes
        .into_iter()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[test]
fn a_download_that_stalls_ends_at_the_first_ctrl_c() -> Outcome {
    let sandbox = Sandbox::new()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    for signal in ["INT", "TERM"] {
        let port = stalling_server();
        let source = format!(
            "source = {{ url = \"http://127.0.0.1:{port}/a.bin\", sha256 = \"{}\" }}",
            "0".repeat(64)
        );
        let delay = Duration::from_millis(1500);
        let run = build(&sandbox, &publisher, &source)?.signal_after(delay, signal);
        let (code, done) = run.within(Duration::from_secs(30)).any()?;
        ensure(code == 3, || format!("expected 3, got {code}\n{}", done.stderr))?;
        ensure(done.took < delay + Duration::from_secs(2), || {
            format!("it took {:?}", done.took)
        })?;
        ensure(!publisher.depot().join("packs").exists(), || {
            "nothing may be left in the depot".into()
        })?;
    }
    Ok(())
}

/// A server that promises a megabyte and sends ten bytes of it, for as long as this process lives.
fn stalling_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for mut stream in listener.incoming().filter_map(Result::ok) {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n0123456789"));
            held.push(stream);
        }
    });
    port
}

#[test]
fn a_tree_that_cannot_be_in_a_pack_is_refused_at_build_time() -> Outcome {
    let sandbox = Sandbox::new()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let stack = sandbox.write("s/stack.toml", tree_stack("1.0.0"))?;
    for (name, text) in [
        ("Aux.txt", "device on Windows"),
        ("a:b", "not allowed in a name"),
        ("dot.", "dot or a space"),
    ] {
        let file = sandbox.write(&format!("s/files/{name}"), "x")?;
        publisher.build_run(&stack).fails(2).says(text).says(name).answer()?;
        remove(&file)?;
    }
    sandbox.write("s/files/one.txt", "x")?;
    let file = sandbox.write("s/files/ONE.txt", "x")?;
    publisher
        .build_run(&stack)
        .fails(2)
        .says("same name on some systems")
        .answer()?;
    remove(&file)
}

fn remove(path: &Path) -> Outcome {
    std::fs::remove_file(path).map_err(kojibox_tests::Failure::doing(format!(
        "could not remove `{}`",
        path.display()
    )))
}
