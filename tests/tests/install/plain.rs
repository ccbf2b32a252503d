//! Not locked in: the chain of an auditor, with `ssh-keygen`, `sha256sum`, `zstd` and `tar` alone.

use std::fs;

use kojibox_tests::{Failure, Outcome, Sandbox, ensure, pack::Publisher, tree};

use crate::life::big;

/// The commands as README.txt of a stick gives them, over one pack of one publisher.
const CHAIN: &str = r#"
set -euo pipefail
manifest=$1 signers=$2 out=$3
cd "$(dirname "$manifest")"
for signature in "$manifest".*.sshsig; do
  ssh-keygen -Y verify -q -f "$signers" -I publisher -n kojibox-pack@v1 -s "$signature" < "$manifest"
done
sums=$(sed -n '/"sums": {/,/}/s/.*"sha256": "\([0-9a-f]*\)".*/\1/p' "$manifest")
echo "$sums  ${manifest%.kbx.json}.SHA256SUMS" | sha256sum --quiet -c
cd ..
sha256sum --quiet -c "${manifest%.kbx.json}.SHA256SUMS"
for blob in blobs/tree-*.tar.zst; do
  zstd -q -dc "$blob" | tar -x -C "$out"
done
"#;

#[test]
fn standard_tools_verify_and_unpack_what_the_installer_installs() -> Outcome {
    let sandbox = Sandbox::without_network()?;
    let publisher = Publisher::new(&sandbox, "publisher")?;
    let files: [(&str, &[u8]); 4] = [
        ("bin/tool", b"#!/bin/sh\n"),
        ("a.txt", b"same"),
        ("b.txt", b"same"),
        ("big.bin", &big(5_000_000, 3)),
    ];
    publisher.build_tree("1.0.0", &files)?;
    publisher.install_run(&sandbox.path("root")).answer()?;
    let signers = sandbox
        .packer(["key", "export", "--allowed-signers", "--trust"])
        .arg(publisher.root_json())
        .answer()?;
    let signers = sandbox.write("signers", signers.stdout)?;
    sandbox.write("out/.keep", "")?;
    let chain = sandbox
        .run("/bin/bash")
        .args(["-c", CHAIN, "chain"])
        .arg(publisher.manifest("tree", "1.0.0"));
    chain.arg(signers).arg(sandbox.path("out")).answer()?;
    fs::remove_file(sandbox.path("out/.keep")).map_err(Failure::doing("could not remove a file"))?;
    let installed = sandbox.picture("root/components")?;
    let dir = installed
        .keys()
        .find(|path| path.starts_with("tree-") && !path.contains('/'))
        .cloned()
        .unwrap_or_default();
    let bytes = |picture: tree::Picture| -> Vec<(String, String)> {
        // The installer takes the right to write away; content and the right to run are compared.
        picture
            .into_iter()
            .map(|(path, what)| {
                (
                    path,
                    what.split_once(' ').map_or(what.clone(), |(_, rest)| rest.to_owned()),
                )
            })
            .collect()
    };
    let (plain, ours) = (
        bytes(sandbox.picture("out")?),
        bytes(sandbox.picture(&format!("root/components/{dir}"))?),
    );
    ensure(plain == ours && plain.len() == 5, || {
        format!("tar sees {plain:#?}, the installer {ours:#?}")
    })
}
