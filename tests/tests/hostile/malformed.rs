//! Signed by the right key, and wrong: content that breaks the format ends with 24 and touches nothing.

use kojibox_tests::{Outcome, Sandbox};

use crate::{forge::Forge, refuses};

/// Forges an index in which `from` became `to`, and expects a refusal that says `text`.
fn index_refused(from: &str, to: &str, text: &str) -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    forge.index(|index| index.replace(from, to))?;
    let outside = kojibox_tests::tree::picture(&sandbox.dir().join("home"))?;
    refuses(&sandbox, &forge.publisher, 24, &[text, "  hint: "])?;
    kojibox_tests::tree::expect_same(
        "the home",
        &outside,
        &kojibox_tests::tree::picture(&sandbox.dir().join("home"))?,
    )
}

/// Forges a manifest in which `from` became `to`, and expects a refusal that says `text`.
fn manifest_refused(from: &str, to: &str, text: &str) -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    forge.manifest(|manifest| manifest.replacen(from, to, 1))?;
    refuses(&sandbox, &forge.publisher, 24, &[text])
}

#[test]
fn a_path_that_climbs_out() -> Outcome {
    index_refused("\ta.txt\n", "\t../a.txt\n", "`.` and `..` are no names")
}

#[test]
fn an_absolute_path() -> Outcome {
    index_refused("\ta.txt\n", "\t/a.txt\n", "a segment is empty")
}

#[test]
fn a_device_of_windows() -> Outcome {
    index_refused("\ta.txt\n", "\tAUX.txt\n", "device on Windows")
}

#[test]
fn a_name_that_drives_the_terminal() -> Outcome {
    index_refused("\ta.txt\n", "\ta\u{1b}[2J.txt\n", "not allowed in a name")
}

#[test]
fn two_names_that_are_one_elsewhere() -> Outcome {
    index_refused("\tb/c.txt\n", "\tb/BIG.bin\n", "index")
}

#[test]
fn a_mode_that_is_no_mode_of_packs() -> Outcome {
    index_refused("file\t0644\t5\t", "file\t4755\t5\t", "mode `4755` does not exist")
}

#[test]
fn a_name_that_the_tar_header_does_not_have() -> Outcome {
    // In order, harmless, and not what `tar` would make of the same bytes.
    index_refused("\ta.txt\n", "\ta.txu\n", "tree")
}

#[test]
fn a_schema_from_elsewhere() -> Outcome {
    manifest_refused("\"kojibox.pack/1.", "\"kojibox.receipt/1.", "schema")
}

#[test]
fn a_blob_name_that_climbs_out() -> Outcome {
    manifest_refused("\"name\": \"tree-1.0.0-", "\"name\": \"../tree-1.0.0-", "tree")
}

#[test]
fn a_key_twice() -> Outcome {
    manifest_refused(
        "  \"pack\": \"tree\",\n",
        "  \"pack\": \"tree\",\n  \"pack\": \"tree\",\n",
        "pack",
    )
}

#[test]
fn a_newer_format_is_not_guessed_at() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let forge = Forge::new(&sandbox)?;
    forge.manifest(|manifest| {
        let manifest = manifest.replacen("\"kojibox.pack/1.0\"", "\"kojibox.pack/1.9\"", 1);
        manifest.replacen("\"readable_since\": 0", "\"readable_since\": 9", 1)
    })?;
    refuses(&sandbox, &forge.publisher, 22, &["1.9", "  hint: "])
}
