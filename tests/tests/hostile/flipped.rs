//! One flipped bit in any region of any file of a stick: never installed, always named.

use kojibox_tests::{Outcome, Sandbox, ensure, tree};

use crate::{
    forge::{read, with_flipped},
    media::Carried,
};

/// What the installer does with a flipped bit in a file of a stick, by the file's name: codes, and whether the packer names it.
fn expected(name: &str) -> (&'static [i32], bool) {
    if name.ends_with(".kbx.json") || name.ends_with(".sshsig") {
        (&[20], true)
    } else if name.starts_with("trust/") {
        // The trust root that a person named counts; one on the stick that does not follow from it is refused.
        (&[0, 20, 24], true)
    } else if name.starts_with("blobs/") {
        (&[21], true)
    } else if name.starts_with("packs/") || name.starts_with("parity/tree-1.0.0-any") {
        // The SBOM, the statement and the list of sums are for people, and parity is of no use to a good blob: the installer opens none.
        (&[0], true)
    } else {
        // README, installer and the list of parity sums are signed by nobody.
        (&[0], false)
    }
}

#[test]
fn a_flipped_bit_in_any_region_of_any_file_is_never_installed_and_always_named() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    // No parity for the blob at first: damage must be refused, not repaired.
    let stick = Carried::new(&sandbox, 300_000, &["--without-installer"])?;
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
        let len = read(&path)?.len();
        for at in [0, len / 4, len / 2, len - 1] {
            with_flipped(&path, at, || {
                n += 1;
                let root = sandbox.path(format!("root-{n}"));
                let (code, done) = stick.install_from(&[&place], &root).any()?;
                let text = format!("`{name}` byte {at}: exit {code}\n{}", done.stderr);
                // An install does not read the seek table, which says nothing that the index does not; the packer does.
                let codes = if name.ends_with(".tar.zst") && at == len - 1 {
                    &[0]
                } else {
                    codes
                };
                ensure(codes.contains(&code), || text.clone())?;
                if code == 0 {
                    let got = sandbox.picture(&format!("root-{n}/components"))?;
                    return tree::expect_same("what was installed", &reference, &got);
                }
                let house = ["error: ", "caused by: ", "  state: ", "  hint: "]
                    .iter()
                    .all(|part| done.stderr.contains(part));
                ensure(house, || text)?;
                crate::expect_nothing_installed(&root)
            })?;
        }
        for at in [len / 2, len - 1].into_iter().filter(|_| told) {
            with_flipped(&path, at, || {
                let run = sandbox.packer(["verify"]).arg(&place).arg("--trust");
                let (code, done) = run.arg(stick.publisher.root_json()).any()?;
                ensure(matches!(code, 20..=24), || {
                    format!("`{name}`: verify ends with {code}\n{}", done.stderr)
                })
            })?;
        }
        tried += 1;
    }
    ensure(tried >= 11, || format!("only {tried} files were tried"))
}
