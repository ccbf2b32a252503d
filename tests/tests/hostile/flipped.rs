//! One flipped bit in any region of any file of a stick: never installed, always named.

use kojibox_tests::{Outcome, Sandbox, ensure, tree};

use crate::{
    forge::{read, with_flipped, write},
    media::Carried,
};

/// What the installer does with a flipped bit in a file of a stick, by the file's name: codes, and whether the packer names it.
fn expected(name: &str) -> (&'static [i32], bool) {
    if name.ends_with(".kbx.json") || name.ends_with(".sshsig") {
        (&[20], true)
    } else if name.starts_with("trust/") {
        // The trust root that a person named counts; one on the stick that does not follow from it is refused.
        (&[0, 20, 24], true)
    } else if name.starts_with("blobs/") || name.starts_with("packs/") {
        (&[21], true)
    } else if name.starts_with("parity/tree-1.0.0-any") {
        // Parity is of no use to a good blob: the installer does not open it.
        (&[0], true)
    } else {
        // README, installer and the list of parity sums are signed by nobody.
        (&[0], false)
    }
}

/// How the damaged file is called.
fn named(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, name)| name)
}

/// Where the seek table of a blob begins: its last frame, whose number of entries is nine bytes from the end.
fn seek_table(blob: &[u8]) -> usize {
    let (at, mut n) = (blob.len() - 9, [0; 4]);
    n.copy_from_slice(&blob[at..at + 4]);
    let n = usize::try_from(u32::from_le_bytes(n)).unwrap_or(usize::MAX);
    blob.len().saturating_sub(n.saturating_mul(8).saturating_add(17))
}

/// Where each frame of a blob begins, as its seek table says, and where the last one ends.
fn frames(blob: &[u8]) -> Vec<usize> {
    let table = seek_table(blob);
    let mut starts = vec![0];
    for entry in blob[table + 8..blob.len() - 9].chunks_exact(8) {
        let len = usize::from(entry[0]) | usize::from(entry[1]) << 8 | usize::from(entry[2]) << 16;
        starts.push(starts.last().unwrap_or(&0) + len);
    }
    starts
}

/// Where bits are flipped: of a blob the first byte and the middle of the first, a middle and the last frame, and both ends of the seek
/// table; of others beginning, end, and between.
fn places(name: &str, bytes: &[u8]) -> Vec<usize> {
    let len = bytes.len();
    if !name.ends_with(".tar.zst") {
        return [0, len / 7, len / 4, len / 2, len * 5 / 7, len - 1].to_vec();
    }
    let frames = frames(bytes);
    let n = frames.len() - 1;
    let within = [0, n / 2, n - 1]
        .into_iter()
        .flat_map(|n| [frames[n], frames[n].midpoint(frames[n + 1])]);
    within.chain([seek_table(bytes), len - 1]).collect()
}

#[test]
fn a_flipped_bit_in_any_region_of_any_file_is_never_installed_and_always_named() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    // No parity for the blob at first: damage must be refused, not repaired.
    let stick = Carried::new(&sandbox, 2_500_000, &["--without-installer"])?;
    stick.install(&sandbox.path("reference")).answer()?;
    let reference = sandbox.picture("reference/components")?;
    let lay = sandbox
        .packer(["stick", "--parity", "3.125", "--without-installer"])
        .arg(sandbox.path("with"));
    let lay = lay.arg("--depot").arg(stick.publisher.depot()).arg("--trust");
    lay.arg(stick.publisher.root_json()).answer()?;
    sandbox.copy(&sandbox.path("with/parity"), "parity")?;
    let files = sandbox.picture("with")?;
    let names = files.iter().filter(|(_, what)| *what != "dir").map(|(name, _)| name);
    let (mut tried, mut n) = (0, 0);
    for name in names {
        let from_parity = name.starts_with("parity/");
        let place = if from_parity {
            sandbox.path("with")
        } else {
            stick.stick.clone()
        };
        let path = place.join(name);
        let (codes, told) = expected(name);
        for at in places(name, &read(&path)?) {
            with_flipped(&path, at, || {
                n += 1;
                let root = sandbox.path(format!("root-{n}"));
                let (code, done) = stick.install_from(&[&place], &root).any()?;
                let text = format!("`{name}` byte {at}: exit {code}\n{}", done.stderr);
                ensure(codes.contains(&code), || text.clone())?;
                if code == 0 {
                    let got = sandbox.picture(&format!("root-{n}/components"))?;
                    return tree::expect_same("what was installed", &reference, &got);
                }
                let house = ["error: ", "caused by: ", "  state: ", "  hint: "]
                    .iter()
                    .all(|part| done.stderr.contains(part));
                ensure(house, || text.clone())?;
                ensure(done.stderr.contains(named(name)), || format!("not named: {text}"))?;
                crate::expect_nothing_installed(&root)
            })?;
        }
        for at in places(name, &read(&path)?).into_iter().filter(|_| told) {
            with_flipped(&path, at, || {
                let run = sandbox.packer(["verify"]).arg(&place).arg("--trust");
                let (code, done) = run.arg(stick.publisher.root_json()).any()?;
                let text = format!("`{name}` byte {at}: verify ends with {code}\n{}", done.stderr);
                ensure(matches!(code, 20..=24), || text.clone())?;
                ensure(done.stderr.contains(named(name)), || format!("not named: {text}"))
            })?;
        }
        tried += 1;
    }
    ensure(tried >= 11, || format!("only {tried} files were tried"))
}

#[test]
fn bytes_added_on_the_medium_are_damage_that_is_named_and_not_the_publishers_fault() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let stick = Carried::new(&sandbox, 300_000, &["--parity", "3.125", "--without-installer"])?;
    stick.install(&sandbox.path("reference")).answer()?;
    let reference = sandbox.picture("reference/components")?;
    let files = sandbox.picture("stick")?;
    let names = files.iter().filter(|(_, what)| *what != "dir").map(|(name, _)| name);
    let (mut refused, mut n) = (0, 0);
    for name in names {
        let path = stick.stick.join(name);
        let whole = read(&path)?;
        for more in [1, 300_000] {
            n += 1;
            write(&path, [&whole[..], &vec![b'x'; more]].concat())?;
            let root = sandbox.path(format!("root-{n}"));
            let (code, done) = stick.install(&root).any()?;
            let text = format!("`{name}` and {more} bytes: exit {code}\n{}", done.stderr);
            if code == 0 {
                let got = sandbox.picture(&format!("root-{n}/components"))?;
                tree::expect_same("what was installed", &reference, &got)?;
                ensure(expected(name).0.contains(&0), || text)?;
            } else {
                ensure(matches!(code, 20 | 21) && done.stderr.contains(named(name)), || text)?;
                crate::expect_nothing_installed(&root)?;
                refused += 1;
            }
            if expected(name).1 {
                let (code, done) = stick.verify().any()?;
                let told = matches!(code, 20 | 21) && done.stderr.contains(named(name));
                ensure(told, || {
                    format!("`{name}` and {more} bytes: verify ends with {code}\n{}", done.stderr)
                })?;
            }
        }
        write(&path, whole)?;
    }
    ensure(refused >= 8, || format!("only {refused} were refused"))
}
