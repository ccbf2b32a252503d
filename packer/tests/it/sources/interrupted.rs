//! Owns the tests of Ctrl-C and of kills while sources are fetched, unpacked and prepared: the first signal ends the work,
//! at once and without litter, and what a killed program left goes with the next run.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    desk::file_url,
    server::{Answer, Server},
};
use crate::{
    bench::{Bench, Ran, set_executable},
    interrupted::wait_for,
};

/// Writes a stack with this source.
fn stack(bench: &Bench, source: &str) {
    let head = "[pack]\nname = \"p\"\nversion = \"1.0.0\"\ntargets = [\"linux-x86_64\"]\n";
    let component = format!("[[component]]\nid = \"t\"\nversion = \"1.0.0\"\nsource = {{ {source} }}\n");
    bench.write("stack.toml", format!("{head}{component}"));
}

/// Runs a command over the stack and sends it `signal` once the work is under way.
fn signalled(bench: &Bench, verb: &str, signal: &str, ready: impl Fn() -> bool) -> Ran {
    let mut command = bench.command(&[verb, "stack.toml"]);
    if verb == "build" {
        command.args(["--key", "keys/pack", "--trust", "keys/root.json", "--depot", "depot"]);
    }
    command.env("PATH", format!("{}:/usr/bin:/bin", bench.path("bin").display()));
    crate::interrupted::signalled(command, signal, ready)
}

/// Names below a folder of the cache; none if it is not there.
fn names(bench: &Bench, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(bench.path("cache").join(folder)).into_iter().flatten();
    entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// Bytes of the spool files of all scratch folders.
fn spooled(bench: &Bench) -> u64 {
    let scratch = names(bench, "temp")
        .into_iter()
        .filter(|name| name.starts_with("scratch-"));
    let files = scratch.flat_map(|name| fs::read_dir(bench.path("cache/temp").join(name)).into_iter().flatten());
    files
        .filter_map(|file| file.ok()?.metadata().ok())
        .map(|found| found.len())
        .sum()
}

#[track_caller]
fn is_clean(bench: &Bench, ran: Ran) {
    ran.ends(3).says("nothing is half written");
    assert_eq!(names(bench, "temp"), [".lock"], "nothing is left in the cache");
    let depot = bench.path("depot").exists();
    assert!(!depot || bench.files("depot").is_empty(), "there is no pack");
}

#[test]
fn a_download_that_stalls_ends_and_goes_on_where_it_was() {
    let bench = Bench::new();
    let body = vec![7; 1_000_000];
    let server = Server::new(&body, &[Answer::Stall(400_000), Answer::Stall(400_000), Answer::Good]);
    stack(&bench, &format!("url = \"{}\"", server.url("a.bin")));
    is_clean(&bench, signalled(&bench, "lock", "-INT", || server.ranges().len() == 1));
    assert_eq!(
        names(&bench, "partial"),
        [""; 0],
        "bytes that no checksum pins are of no use"
    );

    let sha256 = kojibox_signing::Digest::of(&body);
    stack(
        &bench,
        &format!("url = \"{}\", sha256 = \"{sha256}\"", server.url("a.bin")),
    );
    let partial = bench.path(&format!("cache/partial/{sha256}"));
    let came = || partial.metadata().is_ok_and(|found| found.len() == 400_000);
    is_clean(&bench, signalled(&bench, "lock", "-TERM", came));
    bench.run(&["lock", "stack.toml"]).ends(0);
    assert_eq!(server.ranges(), ["-", "-", "bytes=400000-"]);
}

#[test]
fn a_server_that_never_answers_is_left() {
    let bench = Bench::new();
    // The system connects; nobody ever accepts.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    stack(
        &bench,
        &format!("url = \"http://{}/a.bin\"", listener.local_addr().unwrap()),
    );
    let ran = signalled(&bench, "lock", "-INT", || names(&bench, "partial").len() == 1);
    is_clean(&bench, ran);
}

#[test]
fn the_wait_before_another_try_ends() {
    let bench = Bench::new();
    let server = Server::new(b"", &[Answer::Status(503)]);
    stack(&bench, &format!("url = \"{}\"", server.url("a.bin")));
    // Before the fourth round it waits for four seconds.
    is_clean(
        &bench,
        signalled(&bench, "lock", "-TERM", || server.ranges().len() == 3),
    );
}

#[test]
fn a_local_copy_ends() {
    let bench = Bench::new();
    let huge = bench.write("huge.bin", "");
    File::options()
        .write(true)
        .open(&huge)
        .unwrap()
        .set_len(32 << 30)
        .unwrap();
    stack(&bench, &format!("url = \"{}\"", file_url(&huge)));
    let begun = || bench.files("cache").values().len() > 0 && !names(&bench, "partial").is_empty();
    is_clean(
        &bench,
        signalled(&bench, "lock", "-INT", || bench.path("cache").exists() && begun()),
    );
}

/// An archive of little size that unpacks to 64 GiB.
fn bomb(path: &Path) {
    let mut header = tar::Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_mode(0o644);
    header.set_size(63 << 30);
    header.set_cksum();
    let packed = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let zeros = packed(&vec![0; 64 << 20]);
    fs::write(path, [packed(header.as_bytes()), zeros.repeat(63 << 4)].concat()).unwrap();
}

#[test]
fn unpacking_ends() {
    let bench = Bench::new();
    let archive = bench.path("bomb.tar.zst");
    bomb(&archive);
    stack(&bench, &format!("url = \"{}\"", file_url(&archive)));
    bench.run(&["lock", "stack.toml"]).ends(0);
    is_clean(
        &bench,
        signalled(&bench, "build", "-TERM", || spooled(&bench) > 1 << 20),
    );
}

#[test]
fn hashing_what_no_lock_pins_ends() {
    let bench = Bench::new();
    let huge = bench.write("dir/huge.bin", "");
    File::options()
        .write(true)
        .open(&huge)
        .unwrap()
        .set_len(64 << 30)
        .unwrap();
    stack(&bench, "path = \"dir\"");
    let ran = signalled(&bench, "build", "-INT", || names(&bench, "temp").len() > 1);
    is_clean(&bench, ran);
}

/// A client that starts another program and waits for it. Both numbers are in `bin/pids`.
fn slow_client(bench: &Bench, first: &str) {
    let pids = bench.path("bin/pids");
    let text = format!(
        "#!/bin/sh\n{first}\nsleep 300 &\necho $$ $! > '{0}.new'\nmv '{0}.new' '{0}'\nwait\n",
        pids.display()
    );
    set_executable(&bench.write("bin/pip", text));
    stack(bench, "pypi = \"thing\"");
}

/// True once none of the programs in `bin/pids` runs. Whoever nobody waits for may stay as a zombie.
fn are_gone(bench: &Bench) -> bool {
    let pids = fs::read_to_string(bench.path("bin/pids")).unwrap();
    pids.split_whitespace()
        .all(|pid| match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => !Command::new("kill")
                .args(["-0", pid])
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success(),
        })
}

#[test]
fn a_client_ends_with_everything_that_it_started() {
    for first in ["", "trap '' TERM"] {
        let bench = Bench::new();
        slow_client(&bench, first);
        let ran = signalled(&bench, "lock", "-TERM", || bench.path("bin/pids").exists());
        is_clean(&bench, ran);
        wait_for("the end of the client", || are_gone(&bench));
    }
}

#[test]
fn what_a_killed_run_left_goes_with_the_next() {
    let bench = Bench::new();
    let server = Server::new(&[7; 1000], &[Answer::Stall(400), Answer::Stall(400), Answer::Good]);
    stack(&bench, &format!("url = \"{}\"", server.url("a.bin")));
    signalled(&bench, "lock", "-KILL", || server.ranges().len() == 1).ends(-1);
    assert_eq!(
        names(&bench, "temp").len(),
        2,
        "a kill leaves its folder: {:?}",
        names(&bench, "temp")
    );

    // A run that is under way keeps its own.
    let mut other = bench
        .command(&["lock", "stack.toml"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the other run", || server.ranges().len() == 2);
    assert_eq!(
        names(&bench, "temp").len(),
        2,
        "the old folder is gone, the new one is there"
    );
    bench.run(&["lock", "stack.toml"]).ends(0);
    assert_eq!(
        names(&bench, "temp").len(),
        2,
        "the folder of the other run is still there"
    );
    other.kill().unwrap();
    other.wait().unwrap();
    bench.write("dir/x", "x");
    stack(&bench, "path = \"dir\"");
    bench.run(&["lock", "stack.toml"]).ends(0);
    assert_eq!(names(&bench, "temp"), [".lock"]);
}
