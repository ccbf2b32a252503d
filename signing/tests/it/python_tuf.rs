//! Owns the test against python-tuf, the reference implementation: it reads our roots as we do, and we read its.
//!
//! The interpreter comes from `KOJIBOX_PYTHON_TUF`; else from `python3` if it has the module `tuf`; else a virtual
//! environment with that module is made once below the target directory, which needs the network: without it the test is left
//! out, except where everything must be there. A wrong answer from any of them is a failure.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use kojibox_signing::{
    Signer as _,
    root::{Role, RootBuilder, TrustedRoot},
};

use crate::support::{ROOT, first_root, key, left_out, run_ok};

/// Walks the chain the way a client does, then writes what it understood, and each root as it would write it.
const SCRIPT: &str = r#"
import json, sys, pathlib
from tuf.api.metadata import Metadata, Root
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType
from tuf.api import exceptions

folder = pathlib.Path(sys.argv[1])
first, second, third, forged = [(folder / f"{name}.root.json").read_bytes() for name in ("1", "2", "3", "forged")]
trusted = TrustedMetadataSet(first, EnvelopeType.METADATA)
trusted.update_root(second)
try:
    trusted.update_root(forged)
    sys.exit("python-tuf took the forged root")
except exceptions.UnsignedMetadataError:
    pass
trusted.update_root(third)

for name, data in (("1", first), ("2", second), ("3", third)):
    root = Metadata[Root].from_bytes(data)
    for keyid, key in root.signed.keys.items():
        assert key.keytype == key.scheme == "ed25519"
        from securesystemslib.signer._utils import compute_default_keyid
        assert keyid == compute_default_keyid(key.keytype, key.scheme, key.keyval), keyid
    (folder / f"{name}.rewritten.json").write_bytes(root.to_bytes())

signed = Metadata[Root].from_bytes(third).signed
print(json.dumps({
    "version": signed.version,
    "root": [signed.roles["root"].threshold, len(signed.roles["root"].keyids)],
    "consistent": signed.consistent_snapshot,
    "pack": len(signed.unrecognized_fields["x-kojibox"]["pack"]["keyids"]),
    "issued": signed.unrecognized_fields["x-issued"],
}, sort_keys=True))
"#;

fn can_import(python: &Path) -> bool {
    let output = Command::new(python).args(["-c", "import tuf"]).output();
    output.is_ok_and(|output| output.status.success())
}

/// An interpreter with the module, or why there is none here.
fn python() -> Result<PathBuf, String> {
    if let Some(given) = env::var_os("KOJIBOX_PYTHON_TUF") {
        let given = PathBuf::from(given);
        assert!(
            can_import(&given),
            "KOJIBOX_PYTHON_TUF is `{}`, which cannot `import tuf`",
            given.display()
        );
        return Ok(given);
    }
    let system = if cfg!(windows) { "python" } else { "python3" };
    if can_import(Path::new(system)) {
        return Ok(system.into());
    }
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-tuf");
    let python = venv.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python3"
    });
    if !can_import(&python) {
        try_run(Path::new(system), &["-m", "venv", "--clear", "python-tuf"])?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "tuf>=6,<8",
        ];
        try_run(&python, &pip)?;
    }
    Ok(python)
}

fn try_run(program: &Path, args: &[&str]) -> Result<(), String> {
    let here = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let output = Command::new(program).args(args).current_dir(here).output();
    let output = output.map_err(|e| format!("`{}` cannot be run: {e}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let failed = || format!("`{} {}` failed: {}", program.display(), args.join(" "), said.trim());
    output.status.success().then_some(()).ok_or_else(failed)
}

/// A chain of three, the second handing over to two of three keys, and a third that lacks the old keys' consent.
fn write_chain(dir: &Path) {
    let time = |text: &str| text.parse().unwrap();
    let next =
        |root: &TrustedRoot| RootBuilder::after(root, time("2026-06-01T00:00:00Z"), time("2036-06-01T00:00:00Z"));
    let mut root = TrustedRoot::pin(&first_root()).unwrap();
    fs::write(dir.join("1.root.json"), root.bytes()).unwrap();

    let mut draft = next(&root);
    draft.add_key(Role::Root, &key(2).public_key(), Some("Bób \"b\" \\"));
    draft.add_key(Role::Root, &key(3).public_key(), None);
    draft.set_threshold(Role::Root, 2).unwrap();
    draft.sign(&key(ROOT), Some(&root)).unwrap();
    draft.sign(&key(2), Some(&root)).unwrap();
    root.advance(&draft.to_bytes().unwrap()).unwrap();
    fs::write(dir.join("2.root.json"), root.bytes()).unwrap();

    let mut draft = next(&root);
    draft.sign(&key(3), Some(&root)).unwrap();
    fs::write(dir.join("forged.root.json"), draft.to_bytes().unwrap()).unwrap();
    draft.sign(&key(2), Some(&root)).unwrap();
    fs::write(dir.join("3.root.json"), draft.to_bytes().unwrap()).unwrap();
}

#[test]
fn python_tuf_walks_our_chain_and_we_walk_what_it_writes() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return left_out(&why),
    };
    let dir = tempfile::tempdir().unwrap();
    write_chain(dir.path());
    let said = run_ok(
        python.to_str().unwrap(),
        &["-", dir.path().to_str().unwrap()],
        dir.path(),
        SCRIPT.as_bytes(),
    );
    insta::assert_snapshot!(
        said.trim(),
        @r#"{"consistent": true, "issued": "2026-06-01T00:00:00Z", "pack": 1, "root": [2, 3], "version": 3}"#
    );
    // Another layout of the same content: other bytes, the same signatures.
    let rewritten = |n: u8| fs::read(dir.path().join(format!("{n}.rewritten.json"))).unwrap();
    assert_ne!(rewritten(1), first_root());
    let mut root = TrustedRoot::pin(&rewritten(1)).unwrap();
    root.advance(&rewritten(2)).unwrap();
    root.advance(&rewritten(3)).unwrap();
    assert_eq!(root.version(), 3);
    assert_eq!(root.name_of(&key(2).public_key().key_id()), Some("Bób \"b\" \\"));
}
