//! Owns the evidence of an install root: one archive for an auditor, checked with `tar`, `sha256sum` and `ssh-keygen` alone.
//!
//! Everything in it is byte for byte what the root has: receipts, and what they name. Equal roots give equal archives.
//!
//! Source: state/TRANSACTIONS.md, "The evidence".

use std::{collections::BTreeSet, fmt::Write as _, io};

use kojibox_signing::{
    Digest, Keyring, Namespace, PublicKey,
    root::{RootError, TrustedRoot},
};
use kojibox_state::{InstallRoot, StateError, doc::Versioned as _, records::Install, trust};

/// Folder that everything lies in.
const TOP: &str = "kojibox-evidence";

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EvidenceError {
    /// The root could not be read, or its receipts do not follow from one another.
    #[error(transparent)]
    State(#[from] StateError),
    /// A pinned trust root is damaged.
    #[error("trust root {version} of publisher `{root16}` is damaged")]
    Root {
        /// Publisher.
        root16: String,
        /// Of the document.
        version: u64,
        /// Why.
        source: RootError,
    },
    /// The archive could not be put together.
    #[error("could not put the archive together")]
    Archive(#[source] io::Error),
}

/// What was put together.
pub(crate) struct Evidence {
    /// An uncompressed tar archive.
    pub(crate) archive: Vec<u8>,
    /// Receipts in it.
    pub(crate) receipts: u64,
}

/// Puts the evidence of `root` together, after following the chain of its receipts.
pub(crate) fn collect(root: &InstallRoot) -> Result<Evidence, EvidenceError> {
    let mut files = Files::default();
    let history = root.history()?;
    let mut named = BTreeSet::new();
    for (receipt, _) in &history {
        let bytes = root.receipt_bytes(receipt)?;
        files.add(format!("receipts/{}.json", receipt.txid), bytes);
        named.extend(receipt.packs.iter().map(|pack| pack.digest));
    }
    if let Some(install) = root.install()? {
        files.add("install.json".to_owned(), Install::to_bytes(&install));
    }
    let mut gone = Vec::new();
    for digest in named {
        match root.manifest_bytes(&digest) {
            Ok(bytes) => add_pack(root, &digest, bytes, &mut files)?,
            Err(StateError::Missing { .. }) => gone.push(digest),
            Err(error) => return Err(error.into()),
        }
    }
    for root16 in trust::publishers(root.dir())? {
        add_publisher(root, &root16, &mut files)?;
    }
    files.add("README.txt".to_owned(), readme(&gone).into_bytes());
    Ok(Evidence {
        archive: files.pack().map_err(EvidenceError::Archive)?,
        receipts: history.len() as u64,
    })
}

fn add_pack(root: &InstallRoot, digest: &Digest, manifest: Vec<u8>, files: &mut Files) -> Result<(), EvidenceError> {
    files.add(format!("packs/{digest}/manifest.kbx.json"), manifest);
    for (name, bytes) in root.signatures(digest)? {
        files.add(format!("packs/{digest}/{name}"), bytes);
    }
    Ok(())
}

/// The chain of a publisher, and every key that it ever gave the right to sign packs or to approve them.
fn add_publisher(root: &InstallRoot, root16: &str, files: &mut Files) -> Result<(), EvidenceError> {
    let mut lines = BTreeSet::new();
    let mut trusted: Option<TrustedRoot> = None;
    for (version, bytes) in trust::roots(root.dir(), root16)? {
        let broken = |source| EvidenceError::Root {
            root16: root16.to_owned(),
            version,
            source,
        };
        match &mut trusted {
            None => trusted = Some(TrustedRoot::pin(&bytes).map_err(broken)?),
            Some(trusted) => trusted.advance(&bytes).map_err(broken)?,
        }
        if let Some(now) = &trusted {
            let packs = now.pack_ring();
            lines.extend(packs.keys().map(|(_, key)| signer("publisher", Namespace::Pack, key)));
            let approvals = now.approval_ring();
            let keys = approvals.iter().flat_map(Keyring::keys);
            lines.extend(keys.map(|(_, key)| signer("site", Namespace::Approval, key)));
        }
        files.add(format!("trust/{root16}/{version}.root.json"), bytes);
    }
    let mut text = lines.into_iter().collect::<Vec<_>>().join("\n");
    text.push('\n');
    files.add(format!("trust/{root16}/allowed_signers"), text.into_bytes());
    Ok(())
}

/// A line of an `allowed_signers` file.
fn signer(who: &str, namespace: Namespace, key: &PublicKey) -> String {
    format!("{who} namespaces=\"{namespace}\" {}", key.to_openssh(""))
        .trim_end()
        .to_owned()
}

/// What an auditor does with it.
fn readme(gone: &[Digest]) -> String {
    let mut text = format!(
        r#"Evidence of a Kojibox install root
==================================

receipts/<transaction>.json        one per transaction, as written when it ended; `previous` names the digest of the one before
packs/<digest>/manifest.kbx.json   the manifests that the receipts name, with the signatures that were beside them
trust/<publisher>/N.root.json      the trust roots that were pinned, and `allowed_signers`: every key they ever gave a right to
install.json                       the id of the install root

All of it is checked with tools of the system (run in this folder):

1. Nothing was changed since the archive was made:

    sha256sum -c SHA256SUMS

2. The receipts follow from one another: each names the digest of the one before it.

    last=none
    for r in receipts/*.json; do
      grep -q "\"sha256\": \"$last\"" "$r" || [ $last = none ] || echo "$r does not follow"
      last=$(sha256sum "$r" | cut -d' ' -f1)
    done

3. A manifest is the one that a receipt names (its folder is named by its digest):

    for m in packs/*/manifest.kbx.json; do echo "$(basename "$(dirname "$m")")  $m"; done | sha256sum -c

4. A publisher has signed it (an approval: `-I site -n {approval}`):

    ssh-keygen -Y verify -f trust/<publisher>/allowed_signers -I publisher -n {pack} \
      -s packs/<digest>/<signature>.sshsig < packs/<digest>/manifest.kbx.json

The chain shows that no receipt was changed or taken out of the middle. That none is missing at the end, only an earlier copy
of the newest receipt's digest can show: keep one outside of this machine.
"#,
        pack = Namespace::Pack,
        approval = Namespace::Approval
    );
    if !gone.is_empty() {
        text.push_str(
            "\nThe receipts also name these manifests, which are not in the root any more (pruned or uninstalled):\n\n",
        );
    }
    for digest in gone {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "    {digest}");
    }
    text
}

/// Files by path.
#[derive(Default)]
struct Files(Vec<(String, Vec<u8>)>);

impl Files {
    fn add(&mut self, path: String, bytes: Vec<u8>) {
        self.0.push((path, bytes));
    }

    /// Adds the sums, and packs everything in the order of the paths.
    fn pack(mut self) -> io::Result<Vec<u8>> {
        self.0.sort();
        let sums: String = self.0.iter().fold(String::new(), |mut sums, (path, bytes)| {
            // Writing to a string cannot fail.
            let _ = writeln!(sums, "{}  {path}", Digest::of(bytes));
            sums
        });
        self.add("SHA256SUMS".to_owned(), sums.into_bytes());
        let mut archive = tar::Builder::new(Vec::new());
        for (path, bytes) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(tar::EntryType::Regular);
            archive.append_data(&mut header, format!("{TOP}/{path}"), &bytes[..])?;
        }
        archive.into_inner()
    }
}
