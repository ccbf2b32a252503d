//! A publisher with keys and a depot, and the installer as a process: what the tests of the command line need.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ed25519_dalek::{Signer as _, SigningKey};
use kojibox_packs::{
    Target, Unwatched,
    manifest::{Component, Compressor, DataFile, Kind, Manifest, Service, Space, Upstream, schema, sequence_of},
    names,
    path::PackPath,
    write::{BlobOptions, DirOutput, InputEntry, write_blob},
};
use kojibox_signing::{
    Digest, Namespace, PublicKey, Signer, UtcTime,
    root::{Role, RootBuilder, TrustedRoot, fingerprint, root16},
    sshsig,
};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const ISSUED: &str = "2026-11-20T00:00:00Z";

/// A key from a number.
pub(crate) struct Key(SigningKey);

impl Key {
    pub(crate) fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }

    pub(crate) fn short(&self) -> String {
        self.public_key().key_id().short()
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

fn at(text: &str) -> UtcTime {
    text.parse().expect("a time")
}

/// Somebody with keys and a depot.
pub(crate) struct Publisher {
    dir: TempDir,
    seed: u8,
    packs: Vec<u8>,
    roots: RefCell<Vec<Vec<u8>>>,
}

/// A file of a component: path, mode, bytes.
pub(crate) type Entry<'a> = (&'a str, u32, Vec<u8>);

/// A pack to be made.
pub(crate) struct Release<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
    /// Component id and its files.
    pub(crate) trees: Vec<(&'a str, Vec<Entry<'a>>)>,
    pub(crate) edit: Box<dyn Fn(&mut Manifest) + 'a>,
}

impl<'a> Release<'a> {
    /// One component of a few files, without services.
    pub(crate) fn tree(version: &'a str) -> Self {
        let note = format!("release {version}\n").into_bytes();
        let files = vec![
            ("a.txt", 0o644, note),
            ("b/big.bin", 0o644, crate::rig::noise(5, 300_000)),
        ];
        Self {
            name: "tree",
            version,
            trees: vec![("tree", files)],
            edit: Box::new(|_| ()),
        }
    }

    /// A service with a launcher that does as the files in `config/` say.
    pub(crate) fn stack(version: &'a str) -> Self {
        let app = vec![("bin/app", 0o755, format!("#!/bin/sh\necho {version}\n").into_bytes())];
        let extra = vec![("extra.txt", 0o644, b"extra\n".to_vec())];
        let launcher = vec![("kojibox", 0o755, launcher(version).into_bytes())];
        Self {
            name: "stack",
            version,
            trees: vec![("app", app), ("extra", extra), ("kojibox-launcher", launcher)],
            edit: Box::new(|manifest| {
                manifest.services = vec![service()];
                let extra = manifest.components.iter_mut().find(|c| c.id == "extra");
                extra.expect("the component").default = false;
            }),
        }
    }

    pub(crate) fn edit(mut self, edit: impl Fn(&mut Manifest) + 'a) -> Self {
        let before = self.edit;
        self.edit = Box::new(move |manifest| {
            before(manifest);
            edit(manifest);
        });
        self
    }
}

fn service() -> Service {
    serde_json::from_value(serde_json::json!({
        "id": "app", "component": "app", "command": ["{component}/bin/app"],
        "ports": { "main": { "prefer": 28_080 } },
    }))
    .expect("a small service")
}

/// A launcher of a release: `up` fails while `config/refuse-<version>` is there, and every call is noted.
fn launcher(version: &str) -> String {
    format!(
        r#"#!/bin/sh
mkdir -p "$2/logs" && echo "$3 {version}" >> "$2/logs/calls"
if [ "$3" = up ] && [ -e "$2/config/refuse-{version}" ]; then
    echo '{{"services":[{{"name":"app","state":"failed","ports":{{}},"reason":"it broke on purpose"}}]}}'
    echo "app: a last word" >&2
    exit 40
fi
[ "$3" = up ] && [ -e "$2/config/hang" ] && exec sleep 30
[ "$3" = up ] && echo '{{"services":[{{"name":"app","state":"running","ports":{{"main":28080}}}}]}}'
exit 0
"#
    )
}

impl Publisher {
    /// One root key, one pack key, a depot with the first root.
    pub(crate) fn new() -> Self {
        Self::with(10, &[20], 1)
    }

    /// Root key `seed`, pack keys with a threshold.
    pub(crate) fn with(seed: u8, packs: &[u8], threshold: u32) -> Self {
        let publisher = Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
            seed,
            packs: packs.to_vec(),
            roots: RefCell::default(),
        };
        let mut root = RootBuilder::first(at(ISSUED), at("2036-11-20T00:00:00Z"));
        publisher.fill(&mut root, packs, threshold);
        root.sign(&Key::new(seed), None).expect("the root key signs");
        publisher.publish_root(root.to_bytes().expect("a complete root"));
        for folder in ["packs", "blobs"] {
            fs::create_dir(publisher.depot().join(folder)).expect("an empty depot");
        }
        publisher
    }

    fn fill(&self, root: &mut RootBuilder, packs: &[u8], threshold: u32) {
        root.add_key(Role::Root, &Key::new(self.seed).public_key(), Some("root"));
        for pack in packs {
            root.add_key(Role::Pack, &Key::new(*pack).public_key(), Some("pack"));
        }
        root.set_threshold(Role::Pack, threshold).expect("enough keys");
        for role in Role::FEED {
            root.add_key(role, &Key::new(self.seed + 100).public_key(), Some("feed"));
        }
    }

    fn publish_root(&self, bytes: Vec<u8>) {
        self.roots.borrow_mut().push(bytes);
        let roots = self.roots.borrow();
        let dir = self.depot().join("trust").join(root16(&roots[0]));
        fs::create_dir_all(&dir).expect("a directory");
        let newest = roots.last().expect("at least one");
        fs::write(dir.join(names::root(roots.len() as u64)), newest).expect("a root");
    }

    /// Publishes the next root after `change`, signed by the root key.
    pub(crate) fn next_root(&self, change: impl FnOnce(&mut RootBuilder)) {
        let roots = self.roots.borrow().clone();
        let mut last = TrustedRoot::pin(&roots[0]).expect("the first root");
        roots[1..]
            .iter()
            .for_each(|r| last.advance(r).expect("the chain holds"));
        let mut next = RootBuilder::after(&last, at("2026-11-21T00:00:00Z"), at("2036-11-20T00:00:00Z"));
        change(&mut next);
        next.sign(&Key::new(self.seed), Some(&last))
            .expect("the root key signs");
        self.publish_root(next.to_bytes().expect("a complete root"));
    }

    pub(crate) fn depot(&self) -> PathBuf {
        self.dir.path().join("depot")
    }

    pub(crate) fn root16(&self) -> String {
        root16(&self.roots.borrow()[0])
    }

    /// Fingerprint of the newest root.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(self.roots.borrow().last().expect("at least one"))
    }

    /// The first root as a file outside the depot.
    pub(crate) fn root_json(&self) -> PathBuf {
        let path = self.dir.path().join("root.json");
        fs::write(&path, &self.roots.borrow()[0]).expect("a root");
        path
    }

    /// Makes and signs a pack with every pack key; gives its manifest.
    pub(crate) fn release(&self, release: &Release<'_>) -> PathBuf {
        let path = self.unsigned(release);
        self.packs.iter().for_each(|key| sign(&path, &Key::new(*key)));
        path
    }

    /// Makes a pack without any signature.
    pub(crate) fn unsigned(&self, release: &Release<'_>) -> PathBuf {
        let components = release
            .trees
            .iter()
            .map(|(id, files)| self.component(id, release.version, files));
        let mut manifest = manifest(release.name, release.version, components.collect());
        (release.edit)(&mut manifest);
        let path = self.depot().join("packs").join(names::manifest(&manifest.file_stem()));
        fs::write(&path, manifest.to_canonical_json()).expect("a manifest");
        path
    }

    /// A site's countersignature, as a file outside the depot.
    pub(crate) fn approval(&self, manifest: &Path, key: &Key) -> PathBuf {
        let bytes = fs::read(manifest).expect("a manifest");
        let path = self.dir.path().join("approval.sshsig");
        fs::write(&path, sshsig::sign(Namespace::Approval, &bytes, key)).expect("a signature");
        path
    }

    fn component(&self, id: &str, version: &str, files: &[Entry<'_>]) -> Component {
        let blobs = self.depot().join("blobs");
        let entries = files
            .iter()
            .map(|(path, mode, bytes)| InputEntry::bytes(PackPath::new(path).expect("a path"), *mode, bytes.clone()));
        let options = BlobOptions {
            frame_max: 64 << 10,
            level: 1,
            part_size: 200_000,
            ..BlobOptions::default()
        };
        let mut out = DirOutput::new(&blobs, id);
        let blob = write_blob(entries.collect(), &options, &mut out, &Unwatched).expect("a blob");
        let (_, blob_ref, index_ref) = blob.refs(id, version, Target::Any);
        out.publish(&blob_ref.name).expect("published");
        fs::write(blobs.join(&index_ref.name), &blob.index_bytes).expect("an index");
        Component {
            id: id.to_owned(),
            title: BTreeMap::new(),
            version: version.to_owned(),
            license: "MIT".to_owned(),
            target: "any".to_owned(),
            upstream: Upstream {
                source: "path".to_owned(),
                sha256: Digest::of(b"upstream"),
                signature: None,
            },
            blob: blob_ref,
            index: index_ref,
            tree_sha256: blob.tree_sha256,
            installed_size: blob.installed_size,
            n_files: blob.n_files,
            max_path_len: blob.max_path_len,
            runtime: None,
            needs: Vec::new(),
            requires: Vec::new(),
            conflicts: Vec::new(),
            default: true,
            data_format: None,
        }
    }
}

/// Signs a manifest as a pack.
pub(crate) fn sign(manifest: &Path, key: &Key) {
    let bytes = fs::read(manifest).expect("a manifest");
    let name = names::signature(file_name(manifest), &key.short());
    let signature = sshsig::sign(Namespace::Pack, &bytes, key);
    fs::write(manifest.with_file_name(name), signature).expect("a signature");
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|n| n.to_str()).expect("a name of ours")
}

fn manifest(name: &str, version: &str, mut components: Vec<Component>) -> Manifest {
    components.sort_by(|a, b| a.id.cmp(&b.id));
    let stem = names::stem(name, version, Target::Any);
    let installed = components.iter().map(|c| c.installed_size).sum();
    let file = |name: String| DataFile {
        sha256: Digest::of(name.as_bytes()),
        size: 1,
        name,
    };
    Manifest {
        schema: schema(),
        readable_since: 0,
        pack: name.to_owned(),
        title: BTreeMap::new(),
        version: version.to_owned(),
        sequence: sequence_of(version).expect("a plain version"),
        min_sequence: 0,
        channel: "stable".to_owned(),
        kind: Kind::Full,
        target: "any".to_owned(),
        min_installer: "0.1.0".to_owned(),
        issued: ISSUED.to_owned(),
        expires: None,
        source_date_epoch: 1_767_225_600,
        compressor: Compressor {
            name: "zstd".to_owned(),
            version: "1.5.7".to_owned(),
            level: 1,
            window_log: 16,
        },
        components,
        services: Vec::new(),
        templates: Vec::new(),
        secrets: Vec::new(),
        questions: Vec::new(),
        migrations: Vec::new(),
        space: Space {
            staging: installed,
            installed,
            peak: 2 * installed,
        },
        base: None,
        delta: None,
        sums: file(names::sums(&stem)),
        sbom: file(names::sbom(&stem)),
        provenance: file(names::provenance(&stem)),
        revokes: Vec::new(),
    }
}

/// A machine: a place for install roots, and the installer.
pub(crate) struct Machine {
    dir: TempDir,
}

/// What a run of the installer came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.path("root")
    }

    /// The installer with these words, without a terminal.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kojibox-installer"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path());
        command.stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().expect("the installer runs");
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// `install` from a publisher's depot into [`Machine::root`], trusting its root file.
    pub(crate) fn install(&self, publisher: &Publisher, more: &[&str]) -> Ran {
        let (depot, trust, root) = (publisher.depot(), publisher.root_json(), self.root());
        let words = [
            "install",
            "--yes",
            "--source",
            text(&depot),
            "--root",
            text(&root),
            "--trust",
            text(&trust),
        ];
        self.run(&[&words, more].concat())
    }

    /// Any command on [`Machine::root`].
    pub(crate) fn on_root(&self, words: &[&str]) -> Ran {
        let root = self.root();
        self.run(&[words, &["--root", text(&root)]].concat())
    }

    pub(crate) fn status(&self) -> Value {
        self.on_root(&["status", "--json"]).json()
    }
}

impl Ran {
    /// It must have ended with `code` and said every one of `texts`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32, texts: &[&str]) -> Self {
        let said = self.said();
        assert_eq!(self.code, code, "{said}");
        for text in texts {
            assert!(said.contains(text), "expected `{text}` in\n{said}");
        }
        self
    }

    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.said()))
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("names of ours are text")
}
