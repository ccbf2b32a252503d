//! The wizard from its first question to a service that answers; and left at each question, with nothing written.

use std::{fs, path::PathBuf};

use kojibox_tests::{
    Failure, Outcome, Sandbox, ensure, http,
    pack::{Publisher, demo_stack, shipped_installer},
    terminal, tree,
};

/// A stick with two packs, and the installer of a download beside them: it knows no publisher.
fn stick(sandbox: &Sandbox, publisher: &Publisher<'_>) -> Outcome<PathBuf> {
    publisher.build(&demo_stack(sandbox, 1)?)?;
    publisher.build_tree("1.0.0", &[("a.txt", b"a")])?;
    let stick = sandbox.path("stick");
    let lay = sandbox.packer(["stick", "--without-installer"]).arg(&stick);
    let lay = lay.arg("--depot").arg(publisher.depot()).arg("--trust");
    lay.arg(publisher.root_json()).answer()?;
    shipped_installer(sandbox, "stick/kojibox-installer")
}

/// Every question in the order in which it is asked, and what is typed.
const QUESTIONS: [(&str, &str); 11] = [
    // One down is Indonesian.
    ("Language / Bahasa", "\u{1b}[B\r"),
    ("Direktori pemasangan", "\r"),
    ("Apakah sama, huruf demi huruf?", "y"),
    // The first of two packs.
    ("Paket (spasi memilih", " \r"),
    ("Komponen (spasi memilih", "\r"),
    ("Gunakan port ini?", "y"),
    ("Judul buku tamu", "Buku \"kami\"\r"),
    ("Jalankan layanan setelah semuanya siap?", "y"),
    ("Lanjutkan?", "y"),
    ("Simpan jawaban ini", "y"),
    ("Berkas jawaban", "\r"),
];

fn dialogue(answered: usize) -> Vec<&'static str> {
    let answered = QUESTIONS[..answered].iter();
    answered
        .flat_map(|(question, answer)| [*question, ":", *answer])
        .collect()
}

#[test]
fn a_whole_first_install_from_the_stick_and_the_service_answers() -> Outcome {
    let sandbox = Sandbox::new()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let installer = stick(&sandbox, &publisher)?;
    let before = sandbox.picture("stick")?;
    let run = terminal::run(&sandbox, dialogue(QUESTIONS.len())).arg(&installer);
    let shown = terminal::plain(&run.answer()?.stdout);
    let root = sandbox.dir().join("home/kojibox");
    let trust = sandbox.packer(["trust", "show"]).arg(publisher.root_json()).json()?;
    let fingerprint = trust["fingerprint"].as_str().unwrap_or("none").to_owned();
    let fingerprint = format!("\n    {fingerprint}\n");
    for text in [
        "Tidak ada yang ditulis ke sana.",
        // What the publisher is told is what the person compares.
        &fingerprint,
        "guestbook_admin",
        "pasang demo 1.0.0",
        "Selesai",
        "guestbook berjalan di 127.0.0.1:",
        " install --answers ",
        "Hapus pemasangan:",
    ] {
        let shown = shown.replace('\r', "");
        ensure(shown.contains(text), || format!("expected `{text}` in\n{shown}"))?;
    }
    tree::expect_same("the stick", &before, &sandbox.picture("stick")?)?;
    let status = sandbox.launcher(&root, ["status"]).json()?;
    let port = status["services"][0]["ports"]["main"].as_u64();
    let port = port.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or_else(|| Failure::new(format!("the guest book is not running: {status}")))?;
    let page = http::get(port, "/")?.body;
    ensure(page.contains("<h1>Buku &quot;kami&quot;</h1>"), || page.clone())?;
    let answers = sandbox.dir().join("home/kojibox-answers.toml");
    let answers = fs::read_to_string(&answers).map_err(Failure::doing("could not read the answers"))?;
    for text in [
        "root = \"~/kojibox\"",
        "language = \"id\"",
        "packs = [\"demo\"]",
        "Buku",
    ] {
        ensure(answers.contains(text), || format!("expected `{text}` in\n{answers}"))?;
    }
    let on_root = |words: &[&str]| sandbox.installer(words).arg("--root").arg(&root);
    on_root(&["verify"]).answer()?;
    on_root(&["uninstall", "--yes", "--purge-data"]).answer()?;
    sandbox.expect_no_survivors()
}

#[test]
fn ctrl_c_at_any_question_ends_with_3_and_nothing_is_written() -> Outcome {
    let sandbox = Sandbox::new()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let installer = stick(&sandbox, &publisher)?;
    let places = || Ok::<_, Failure>([tree::picture(&sandbox.dir().join("home"))?, sandbox.picture("stick")?]);
    let before = places()?;
    for (n, (question, _)) in QUESTIONS.into_iter().enumerate() {
        let mut steps = dialogue(n);
        steps.extend([question, ":", "\u{3}"]);
        let (code, done) = terminal::run(&sandbox, steps).arg(&installer).any()?;
        let shown = terminal::plain(&done.stdout);
        let told = shown.contains("error: cancelled") && shown.contains("  state: nothing was written");
        ensure(code == 3 && told, || {
            format!("`{question}` left with Ctrl-C: {code} {}\n{shown}", done.stderr)
        })?;
        for (before, after) in before.iter().zip(&places()?) {
            tree::expect_same("home or stick", before, after)?;
        }
    }
    Ok(())
}
