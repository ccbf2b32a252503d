//! Owns `README.txt` of a stick: how to install, how to check and recover everything without Kojibox, whose keys these are.
//!
//! Plain ASCII, lines that fit a terminal, no clock and no host in it.

use std::fmt::Write as _;

use super::{installer::Installer, plan::Blob};
use crate::depot::{Chain, Parcel};

/// Name of the text where somebody else's `README.txt` is.
pub(super) const OTHER_NAME: &str = "README-KOJIBOX.txt";
const FIRST_LINE: &str = "WHAT THIS IS";

/// True if this program wrote the text.
pub(super) fn is_ours(text: &[u8]) -> bool {
    text.starts_with(FIRST_LINE.as_bytes())
}

/// The text for a stick.
pub(super) fn of(parcels: &[Parcel], publishers: &[Chain], installers: &[Installer], blobs: &[Blob]) -> String {
    let parity = blobs.iter().find_map(|b| b.parity.as_ref());
    let mut names: Vec<_> = installers.iter().map(|i| i.name.clone()).collect();
    names.sort();
    text(&Facts {
        packs: parcels.iter().map(|p| pack(p, blobs)).collect(),
        trusted: installers.iter().all(|i| i.trusted),
        installers: names,
        publishers: publishers.iter().map(publisher).collect(),
        parity: parity.map(|p| p.layout.parity()),
    })
}

fn pack(parcel: &Parcel, blobs: &[Blob]) -> PackFacts {
    let m = &parcel.manifest;
    let title = m.title.get("en").or_else(|| m.title.values().next());
    let counted = |name: &str| {
        m.keys()
            .iter()
            .any(|k| name.ends_with(&format!("{}.sshsig", k.short())))
    };
    let signature = parcel.signatures.iter().find(|(name, _)| counted(name));
    let largest = m.components.iter().max_by_key(|c| c.blob.size);
    let mine = |b: &&Blob| b.cut_anew && m.components.iter().any(|c| c.blob == b.component.blob);
    PackFacts {
        title: title.unwrap_or(&m.pack).clone(),
        name: m.pack.clone(),
        version: m.version.clone(),
        target: m.target.clone(),
        manifest: parcel.name.clone(),
        signature: signature.map(|(name, _)| name.clone()).unwrap_or_default(),
        sums: m.sums.name.clone(),
        blob: largest.map(|c| c.blob.name.clone()).unwrap_or_default(),
        root16: parcel.chain.root16(),
        resplit: blobs.iter().filter(mine).map(resplit).collect(),
    }
}

fn resplit(blob: &Blob) -> Resplit {
    let stated = &blob.component.blob;
    Resplit {
        blob: stated.name.clone(),
        sha256: stated.sha256.to_string(),
    }
}

fn publisher(chain: &Chain) -> Publisher {
    let ring = chain.newest().pack_ring();
    Publisher {
        root16: chain.root16(),
        root_fingerprint: chain.fingerprint(),
        threshold: ring.threshold(),
        keys: ring
            .keys()
            .map(|(_, key)| (key.to_openssh(""), key.fingerprint()))
            .collect(),
    }
}

/// What the text speaks of.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Packs on the stick, sorted.
    pub(super) packs: Vec<PackFacts>,
    /// Installer files on the stick, sorted.
    pub(super) installers: Vec<String>,
    /// True if the installers carry the trust root.
    pub(super) trusted: bool,
    /// Publishers, sorted.
    pub(super) publishers: Vec<Publisher>,
    /// Parity blocks for each 32 blocks, if there is parity.
    pub(super) parity: Option<u32>,
}

/// A pack on the stick.
#[derive(Clone, Debug)]
pub(super) struct PackFacts {
    pub(super) title: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) target: String,
    /// File name of the manifest.
    pub(super) manifest: String,
    /// One file name of a signature of it.
    pub(super) signature: String,
    pub(super) sums: String,
    /// A component's blob name, for the example.
    pub(super) blob: String,
    /// The publisher's folder below `trust/`.
    pub(super) root16: String,
    /// Blobs whose parts differ from those in the list of sums.
    pub(super) resplit: Vec<Resplit>,
}

/// A blob that was cut anew for this stick.
#[derive(Clone, Debug)]
pub(super) struct Resplit {
    pub(super) blob: String,
    pub(super) sha256: String,
}

/// Who signed.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) root16: String,
    /// `SHA256:…` of the first root.
    pub(super) root_fingerprint: String,
    /// How many of the keys must sign.
    pub(super) threshold: usize,
    /// Public keys in OpenSSH form with their fingerprints.
    pub(super) keys: Vec<(String, String)>,
}

/// The text.
pub(super) fn text(facts: &Facts) -> String {
    let mut out = String::new();
    heading(&mut out, FIRST_LINE);
    out.push_str(
        "Packs of software that install without internet and without administrator\n\
         rights. The installer only reads from this medium; nothing here is changed.\n\n",
    );
    for pack in &facts.packs {
        let _ = writeln!(
            out,
            "  {}  {} {} for {}",
            pack.title, pack.name, pack.version, pack.target
        );
    }
    install(&mut out, facts);
    publishers(&mut out, facts);
    check(&mut out, facts);
    damage(&mut out, facts);
    recover(&mut out, facts);
    ascii(&out)
}

fn heading(out: &mut String, title: &str) {
    if !out.is_empty() {
        out.push('\n');
    }
    let _ = writeln!(out, "{title}\n{}", "=".repeat(title.len()));
}

fn install(out: &mut String, facts: &Facts) {
    heading(out, "HOW TO INSTALL");
    if facts.installers.is_empty() {
        out.push_str(
            "There is no installer on this medium. Take kojibox-installer from your\n\
             publisher and run\n\n    kojibox-installer install --source <this folder> --root <folder>\n",
        );
        return;
    }
    out.push_str("Run the one file for your system and answer its questions:\n\n");
    for name in &facts.installers {
        let line = match name.strip_prefix("install-").unwrap_or(name) {
            t if t.starts_with("windows") => format!("    {name}        (double click)"),
            t if t.starts_with("macos") => {
                format!("    cp {name} /tmp/ && chmod +x /tmp/{name} && /tmp/{name}\n        --source <this folder>")
            }
            _ => format!("    ./{name}"),
        };
        let _ = writeln!(out, "{line}");
    }
    out.push_str(
        "\nIf your system does not run programs from this medium (\"permission denied\"),\n\
         copy that file to your home folder, make it executable (chmod +x) and add\n\
         --source <this folder>.\n",
    );
    if !facts.trusted {
        out.push_str(
            "\nThe installer asks you to compare a fingerprint. Take the right one from your\n\
             publisher, not from this medium.\n",
        );
    }
}

fn publishers(out: &mut String, facts: &Facts) {
    heading(out, "WHO MADE IT");
    out.push_str(
        "Whoever gave you this medium could also have changed this file. Compare the\n\
         fingerprints with what the publisher told you by another way.\n",
    );
    for p in &facts.publishers {
        let _ = writeln!(
            out,
            "\n  trust root (trust/{}/1.root.json)\n      {}",
            p.root16, p.root_fingerprint
        );
        let _ = writeln!(out, "  pack keys, of which {} must sign", p.threshold);
        for (_, fingerprint) in &p.keys {
            let _ = writeln!(out, "      {fingerprint}");
        }
    }
}

fn check(out: &mut String, facts: &Facts) {
    heading(out, "HOW TO CHECK EVERYTHING WITHOUT KOJIBOX");
    out.push_str(
        "In this folder, with OpenSSH and sha256sum (macOS: shasum -a 256).\n\n\
         1. The keys, once you have compared their fingerprints:\n\n",
    );
    for p in &facts.publishers {
        for (i, (key, _)) in p.keys.iter().enumerate() {
            let redirect = if i == 0 { ">" } else { ">>" };
            let _ = writeln!(out, "    echo 'publisher {key}' {redirect} /tmp/signers-{}", p.root16);
        }
        let _ = writeln!(out, "    cut -d' ' -f2- /tmp/signers-{} | ssh-keygen -lf -", p.root16);
    }
    out.push_str("\n2. For each pack: its signature, the list of sums that it names, the files:\n");
    for pack in &facts.packs {
        let _ = write!(
            out,
            "\n    ssh-keygen -Y verify -f /tmp/signers-{} -I publisher \\\n\
             \x20     -n kojibox-pack@v1 \\\n\
             \x20     -s packs/{} \\\n\
             \x20     < packs/{}\n\
             \x20   grep -A 4 '\"sums\"' packs/{}\n\
             \x20   sha256sum packs/{}\n\
             \x20   sha256sum -c packs/{}\n",
            pack.root16, pack.signature, pack.manifest, pack.manifest, pack.sums, pack.sums,
        );
        if !pack.resplit.is_empty() {
            out.push_str(
                "\n  These files were cut anew for this medium, so their parts are not in the\n  \
                 list. Compare each whole with its \"blob\" in the manifest:\n\n",
            );
        }
        for cut in &pack.resplit {
            let _ = writeln!(out, "    cat blobs/{}.* | sha256sum\n      # {}", cut.blob, cut.sha256);
        }
    }
}

fn damage(out: &mut String, facts: &Facts) {
    let Some(blocks) = facts.parity else { return };
    heading(out, "IF THIS MEDIUM IS FAILING");
    let most = match blocks {
        1 => "one block".to_owned(),
        n => format!("any {n} blocks"),
    };
    let _ = write!(
        out,
        "The files in parity/ are redundancy. The installer repairs up to {most} of\n\
         each 32 blocks of a file in blobs/ (at most 4 MiB each) by itself while it\n\
         reads, and says so; then copy this medium, since it will not get better.\n\
         Parity need not be trusted: what was repaired is compared with what is signed.\n\
         To see whether the parity itself is whole:\n\n"
    );
    for pack in &facts.packs {
        let _ = writeln!(out, "    sha256sum -c parity/{}", pack.sums);
    }
}

fn recover(out: &mut String, facts: &Facts) {
    let Some(pack) = facts.packs.first() else { return };
    heading(out, "HOW TO GET THE FILES OUT WITHOUT KOJIBOX");
    let _ = write!(
        out,
        "Each file (or row of files .001, .002, ...) in blobs/ is one folder tree, packed\n\
         by tar and zstd:\n\n\
         \x20   mkdir /tmp/out\n\
         \x20   cat blobs/{}* \\\n\
         \x20     | zstd -d --long=27 | tar -x -C /tmp/out\n",
        pack.blob
    );
}

/// The text in ASCII: what a title has beyond it becomes `?`.
fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::{Facts, PackFacts, Publisher, Resplit, text};

    #[test]
    fn says_how_to_install_check_and_recover_in_plain_ascii() {
        let text = text(&Facts {
            packs: vec![PackFacts {
                title: "Café stack".to_owned(),
                name: "cafe".to_owned(),
                version: "1.2.0".to_owned(),
                target: "linux-x86_64".to_owned(),
                manifest: "cafe-1.2.0-linux-x86_64.kbx.json".to_owned(),
                signature: "cafe-1.2.0-linux-x86_64.kbx.json.0123456789abcdef.sshsig".to_owned(),
                sums: "cafe-1.2.0-linux-x86_64.SHA256SUMS".to_owned(),
                blob: "tree-1.0.0-any-0011223344556677.tar.zst".to_owned(),
                root16: "fedcba9876543210".to_owned(),
                resplit: vec![Resplit {
                    blob: "big-1.0.0-any-8899aabbccddeeff.tar.zst".to_owned(),
                    sha256: "00".repeat(32),
                }],
            }],
            installers: vec![
                "install-linux-x86_64".to_owned(),
                "install-windows-x86_64.exe".to_owned(),
            ],
            trusted: false,
            parity: Some(2),
            publishers: vec![Publisher {
                root16: "fedcba9876543210".to_owned(),
                root_fingerprint: "SHA256:root".to_owned(),
                threshold: 1,
                keys: vec![("ssh-ed25519 AAAA".to_owned(), "SHA256:key".to_owned())],
            }],
        });
        assert!(text.is_ascii());
        insta::assert_snapshot!(text);
    }
}
