//! Black box: bad input, each with its exit code and text; nothing outside the command's own staging is ever touched.

mod flipped;
mod forge;
mod machine;
mod malformed;
mod media;
#[cfg(target_os = "linux")]
mod slow;
mod sources;
#[cfg(unix)]
mod swapped;
mod tampered;
mod trust;

use std::path::PathBuf;

use kojibox_tests::{Outcome, Sandbox, ensure, pack::Publisher};

/// A publisher with the pack `tree` 1.0.0: small files, and one with frames of its own.
fn published(sandbox: &Sandbox) -> Outcome<Publisher<'_>> {
    let publisher = Publisher::new(sandbox, "publisher")?;
    let big = forge::noise(2_500_000);
    publisher.build_tree(
        "1.0.0",
        &[("a.txt", b"first"), ("b/c.txt", b"second"), ("b/big.bin", &big)],
    )?;
    Ok(publisher)
}

/// Installs into a fresh root and expects `exit`, `texts` and a root that holds no pack.
fn refuses(sandbox: &Sandbox, publisher: &Publisher<'_>, exit: i32, texts: &[&str]) -> Outcome {
    let root = fresh_root(sandbox);
    let mut run = publisher.install_run(&root).fails(exit).says("  state: ");
    for text in texts {
        run = run.says(*text);
    }
    run.answer()?;
    expect_nothing_installed(&root)
}

/// A path that no other test of this place has used.
fn fresh_root(sandbox: &Sandbox) -> PathBuf {
    let mut n = 0;
    loop {
        let root = sandbox.path(format!("root-{n}"));
        if !root.exists() {
            return root;
        }
        n += 1;
    }
}

fn expect_nothing_installed(root: &std::path::Path) -> Outcome {
    ensure(!root.join("state/current.json").exists(), || {
        format!("`{}` has an active generation", root.display())
    })?;
    let left = kojibox_tests::tree::picture(&root.join("components"))?;
    // Verified files may wait in staging, from where nothing is ever run, for the same command to be repeated.
    ensure(left.is_empty(), || format!("components were left: {left:?}"))
}
