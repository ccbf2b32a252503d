//! Owns a publisher for tests: keys, a trust root, a depot with launchers that work, and some that do not.

use std::{fs, path::PathBuf};

use ed25519_dalek::{Signer as _, SigningKey};
use kojibox_packs::{
    Target, Unwatched,
    manifest::Manifest,
    names,
    path::PackPath,
    write::{BlobOptions, DirOutput, InputEntry, write_blob},
};
use kojibox_signing::{
    Digest, Namespace, PublicKey, Signer, UtcTime,
    root::{Role, RootBuilder, root16},
    sshsig,
};
use serde_json::{Value, json};

use crate::fixture::Root;

/// Mark in a launcher's bytes before its version.
const MARK: &[u8] = b"kojibox-launcher-version=";

struct Key(SigningKey);

impl Key {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }
}

impl Signer for Key {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(&self.0.verifying_key().to_bytes()).expect("a good key")
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Somebody with keys and a depot.
pub(crate) struct Publisher {
    dir: tempfile::TempDir,
    seed: u8,
    root: Vec<u8>,
}

impl Publisher {
    pub(crate) fn new(seed: u8) -> Self {
        let time = |text: &str| text.parse::<UtcTime>().expect("a time");
        let mut root = RootBuilder::first(time("2026-01-01T00:00:00Z"), time("2036-01-01T00:00:00Z"));
        root.add_key(Role::Root, &Key::new(seed).public_key(), None);
        root.add_key(Role::Pack, &Key::new(seed + 1).public_key(), None);
        for role in Role::FEED {
            root.add_key(role, &Key::new(seed + 2).public_key(), None);
        }
        root.sign(&Key::new(seed), None).expect("the root key signs");
        let publisher = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            seed,
            root: root.to_bytes().expect("a complete root"),
        };
        for folder in ["packs", "blobs"] {
            fs::create_dir_all(publisher.depot().join(folder)).expect("an empty depot");
        }
        publisher
    }

    pub(crate) fn depot(&self) -> PathBuf {
        self.dir.path().join("depot")
    }

    /// Makes `root` trust this publisher.
    pub(crate) fn pin(&self, root: &Root) {
        let dir = root.layout().trust().join(root16(&self.root));
        fs::create_dir_all(&dir).expect("the root is writable");
        fs::write(dir.join("1.root.json"), &self.root).expect("the root is writable");
    }

    /// Publishes a pack whose launcher is this program; gives its manifest and its blob.
    pub(crate) fn release(&self, version: &str, program: Vec<u8>) -> (PathBuf, PathBuf) {
        let blobs = self.depot().join("blobs");
        let path = PackPath::new("kojibox").expect("a path");
        let entries = vec![InputEntry::bytes(path, 0o755, program)];
        let options = BlobOptions {
            level: 1,
            ..BlobOptions::default()
        };
        let mut out = DirOutput::new(&blobs, "launcher");
        let blob = write_blob(entries, &options, &mut out, &Unwatched).expect("a blob");
        let (_, blob_ref, index_ref) = blob.refs("kojibox-launcher", version, Target::Any);
        out.publish(&blob_ref.name).expect("published");
        fs::write(blobs.join(&index_ref.name), &blob.index_bytes).expect("an index");
        let component = json!({
            "id": "kojibox-launcher", "version": version, "target": "any",
            "upstream": { "source": "path", "sha256": Digest::of(b"upstream") },
            "blob": blob_ref, "index": index_ref, "tree_sha256": blob.tree_sha256,
            "installed_size": blob.installed_size, "n_files": blob.n_files, "max_path_len": blob.max_path_len,
            "default": true,
        });
        let manifest = self.sign(&manifest(version, &component));
        (manifest, blobs.join(blob_ref.name))
    }

    /// Publishes a release of something else, which withdraws the one with this manifest.
    pub(crate) fn withdraw(&self, manifest_file: &std::path::Path) {
        let digest = Digest::of(&fs::read(manifest_file).expect("it was published"));
        let stem = format!("other-3.0.0-any-{}", digest.short());
        let any = json!({
            "id": "other", "version": "3.0.0", "target": "any", "upstream": { "source": "path", "sha256": digest },
            "blob": { "name": format!("{stem}.tar.zst"), "size": 1, "sha256": digest },
            "index": { "name": format!("{stem}.idx.zst"), "size": 1, "raw_size": 1, "frame_max": 8_388_608, "sha256": digest },
            "tree_sha256": digest, "installed_size": 1, "n_files": 1, "max_path_len": 1, "default": true,
        });
        let mut manifest = manifest("3.0.0", &any);
        manifest.revokes = vec![digest];
        self.sign(&manifest);
    }

    fn sign(&self, manifest: &Manifest) -> PathBuf {
        let bytes = manifest.to_canonical_json();
        let file = names::manifest(&manifest.file_stem());
        let path = self.depot().join("packs").join(&file);
        fs::write(&path, &bytes).expect("a manifest");
        let key = Key::new(self.seed + 1);
        let name = names::signature(&file, &key.public_key().key_id().short());
        fs::write(path.with_file_name(name), sshsig::sign(Namespace::Pack, &bytes, &key)).expect("a signature");
        path
    }
}

fn manifest(version: &str, component: &Value) -> Manifest {
    let stem = names::stem("tools", version, Target::Any);
    let file = |name: String| json!({ "name": name, "size": 1, "sha256": Digest::of(b"x") });
    let size = component["installed_size"].as_u64().expect("a number");
    let sequence = kojibox_packs::manifest::sequence_of(version).expect("a plain version");
    serde_json::from_value(json!({
        "schema": "kojibox.pack/1.0", "readable_since": 0, "pack": "tools", "version": version, "sequence": sequence,
        "channel": "stable", "kind": "full", "target": "any", "min_installer": "0.1.0", "issued": "2026-02-01T00:00:00Z",
        "source_date_epoch": 1_767_225_600, "compressor": { "name": "zstd", "version": "1.5.7", "level": 1, "window_log": 23 },
        "components": [component], "space": { "staging": size, "installed": size, "peak": 2 * size },
        "sums": file(names::sums(&stem)), "sbom": file(names::sbom(&stem)), "provenance": file(names::provenance(&stem)),
    }))
    .expect("a small manifest")
}

/// The program under test with another version written into it.
pub(crate) fn program(version: &str) -> Vec<u8> {
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_kojibox")).expect("the program is built");
    let own = env!("CARGO_PKG_VERSION");
    assert_eq!(own.len(), version.len(), "it is written over the old one");
    let wanted = [MARK, own.as_bytes()].concat();
    let places: Vec<usize> = (0..bytes.len() - wanted.len())
        .filter(|at| bytes[*at..].starts_with(&wanted))
        .collect();
    assert!(!places.is_empty(), "the program says its version in its bytes");
    for at in places {
        bytes[at + MARK.len()..at + wanted.len()].copy_from_slice(version.as_bytes());
    }
    bytes
}

/// A launcher that works, by this name and version, and does `first` whenever a daemon is started.
pub(crate) fn meddler(version: &str, root: &Root, first: &str) -> Vec<u8> {
    let (root, program) = (root.path.display(), env!("CARGO_BIN_EXE_kojibox"));
    format!(
        "#!/bin/sh\nexport KOJIBOX_ROOT='{root}'\n\
         case \"$*\" in *self-check*) echo '{{\"version\":\"{version}\"}}'; exit ;; daemon*) {first} ;; esac\n\
         exec {program} \"$@\"\n"
    )
    .into_bytes()
}

/// A program that checks itself well and then does as `daemon` says; everything else the real one does.
pub(crate) fn pretender(version: &str, daemon: &str) -> Vec<u8> {
    format!(
        "#!/bin/sh\ncase \"$*\" in *self-check*) echo '{{\"version\":\"{version}\"}}' ;; daemon*) {daemon} ;; esac\n"
    )
    .into_bytes()
}
