//! Owns installed trees for tests: declared services become a generation on disk, and the program is run against it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use kojibox_packs::manifest::Manifest;
use kojibox_signing::Digest;
use kojibox_state::Layout;
use kojibox_supervisor::api::{ServiceStatus, Status};
use serde_json::{Value, json};

use crate::helper;

/// No wait is longer; a test that reaches it has failed.
pub(crate) const LONG: Duration = Duration::from_secs(40);

/// Waits until `look` gives something.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "did not happen in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A port that was free just now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("some port is free");
    listener.local_addr().expect("it is bound").port()
}

/// A service that runs a shell script.
pub(crate) fn script(id: &str, text: &str) -> Value {
    json!({ "id": id, "component": "app", "command": ["/bin/sh", "-c", text] })
}

/// A service that answers HTTP on its port `main`, and says it is ready when it does.
pub(crate) fn server(id: &str, port: u16) -> Value {
    json!({
        "id": id, "component": "app", "command": helper::command(),
        "env": { helper::VARIABLE: "serve\n{port:main}" },
        "ports": { "main": { "prefer": port } },
        "readiness": { "check": { "http": "http://127.0.0.1:{port:main}/" }, "period": "50ms", "timeout": "30s" },
    })
}

/// Lays keys over a service.
pub(crate) fn with(mut service: Value, more: Value) -> Value {
    let target = service.as_object_mut().expect("a service is an object");
    let Value::Object(more) = more else {
        panic!("more keys are an object")
    };
    target.extend(more);
    service
}

/// An installed tree that is taken down and removed at the end.
pub(crate) struct Root {
    _dir: tempfile::TempDir,
    pub(crate) path: PathBuf,
    /// What the pack declares beside its services.
    pub(crate) extra: BTreeMap<String, Value>,
    pub(crate) files: BTreeMap<String, String>,
    /// Version of the launcher that is installed in the tree, if any.
    pub(crate) launcher: Option<String>,
    generation: u64,
}

impl Root {
    /// A tree with these services, its name with a space and letters outside of ASCII.
    pub(crate) fn new(services: &[Value]) -> Self {
        let mut root = Self::empty();
        root.install("1.0.0", services);
        root
    }

    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("Ünïcode tree ☃");
        fs::create_dir_all(path.join("state")).expect("it is empty");
        let install = json!({ "schema": "kojibox.install/1", "id": random(), "created": "2026-01-01T00:00:00Z" });
        write(&path.join("state/install.json"), &install);
        fs::write(path.join("state/journal"), "").expect("it is empty");
        Self {
            _dir: dir,
            path,
            extra: BTreeMap::new(),
            files: BTreeMap::new(),
            launcher: None,
            generation: 0,
        }
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::new(&self.path)
    }

    /// Makes the next generation and names it in the pointer.
    pub(crate) fn install(&mut self, version: &str, services: &[Value]) {
        let mut components = vec![
            self.component("app", version, &BTreeMap::new()),
            self.component("_pack", version, &self.files),
        ];
        components.extend(self.launcher.as_ref().map(|own| self.install_launcher(own)));
        let offered = [
            &components[..],
            &[self.component("not-selected", version, &BTreeMap::new())],
        ]
        .concat();
        let manifest = manifest(version, &offered, services, &self.extra);
        let digest = Digest::of(&manifest);
        let record = self.layout().pack_record(&digest);
        fs::create_dir_all(&record).expect("records are writable");
        fs::write(record.join("manifest.kbx.json"), &manifest).expect("records are writable");
        self.generation += 1;
        let id = self.generation;
        let generation = json!({
            "schema": "kojibox.generation/1", "id": id, "created": "2026-01-01T00:00:00Z", "txid": format!("t{id}"),
            "packs": [{ "name": "test", "version": version, "target": "any", "sequence": id, "digest": digest, "root16": "0123456789abcdef" }],
            "components": components.iter().map(|c| json!({
                "id": c["id"], "pack": "test", "version": c["version"], "tree_sha256": c["tree_sha256"],
                "dir": dir_of(c),
                "index_sha256": c["tree_sha256"],
            })).collect::<Vec<_>>(),
            "start": true,
        });
        write(&self.layout().generation_record(id), &generation);
        self.point_to(id);
    }

    /// Names a generation in the pointer.
    pub(crate) fn point_to(&self, id: u64) {
        let pointer = json!({ "schema": "kojibox.pointer/1", "current": id, "previous": null, "confirmed": true, "txid": format!("t{id}") });
        write(&self.layout().pointer(), &pointer);
    }

    /// Puts the program under test into the tree, with its front door.
    fn install_launcher(&self, version: &str) -> Value {
        let component = self.component("kojibox-launcher", version, &BTreeMap::new());
        let dir = dir_of(&component);
        let program = env!("CARGO_BIN_EXE_kojibox");
        for place in [
            self.layout().components().join(dir).join("kojibox"),
            self.path.join("kojibox"),
        ] {
            fs::copy(program, place).expect("components are writable");
        }
        component
    }

    /// Makes the tree of a component.
    fn component(&self, id: &str, version: &str, files: &BTreeMap<String, String>) -> Value {
        let tree = Digest::of(format!("{id} {version} {files:?}").as_bytes());
        let dir = self
            .layout()
            .components()
            .join(Layout::component_dir_name(id, version, &tree));
        fs::create_dir_all(&dir).expect("components are writable");
        for (name, text) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("it is below the tree")).expect("components are writable");
            fs::write(path, text).expect("components are writable");
        }
        let stem = format!("{id}-{version}-any-{}", tree.short());
        json!({
            "id": id, "version": version, "target": "any",
            "upstream": { "source": "path", "sha256": tree },
            "blob": { "name": format!("{stem}.tar.zst"), "size": 1, "sha256": tree },
            "index": { "name": format!("{stem}.idx.zst"), "size": 1, "raw_size": 1, "frame_max": 8_388_608, "sha256": tree },
            "tree_sha256": tree, "installed_size": 0, "n_files": 0, "max_path_len": 0, "default": true,
        })
    }

    /// The program with these arguments, in an environment that is not ours.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        // A tree with a launcher of its own is entered by its front door.
        let door = self.launcher.as_ref().map(|_| self.path.join("kojibox"));
        let mut command = Command::new(door.unwrap_or_else(|| env!("CARGO_BIN_EXE_kojibox").into()));
        command.arg("--root").arg(&self.path).args(arguments);
        command.env_remove("KOJIBOX_ROOT").stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program starts")
    }

    /// Runs the program, which must succeed; gives what it printed.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?} failed: {}\n{}",
            text(&output.stderr),
            self.complaints()
        );
        text(&output.stdout)
    }

    /// Runs the program, which must end with `code`; gives what it said to people.
    pub(crate) fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = text(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {said}\n{}",
            self.complaints()
        );
        said
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.path.join("logs/_launcher/stderr.log")).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> Status {
        serde_json::from_str(&self.ok(&["status", "--json"])).expect("status is JSON")
    }

    pub(crate) fn service(&self, name: &str) -> ServiceStatus {
        self.status().service(name).expect("it is declared").clone()
    }

    /// Process of a running service.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        self.service(name).pid.expect("it runs")
    }

    /// The daemon's process.
    pub(crate) fn daemon(&self) -> Option<u32> {
        processes(&self.path, &["daemon"]).first().copied()
    }

    /// Where the sockets of this tree are.
    pub(crate) fn sockets(&self) -> PathBuf {
        let place: Value = serde_json::from_str(&self.read("run/_instances/daemon.place")).expect("it is JSON");
        self.path.join(place["dir"].as_str().expect("it is a path"))
    }

    /// Lines of a service's log.
    pub(crate) fn log(&self, service: &str) -> Vec<Value> {
        let file = self.path.join("logs").join(service).join("current.jsonl");
        let text = fs::read_to_string(file).unwrap_or_default();
        text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect()
    }

    /// Every process that has to do with this tree.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mut all = processes(&self.path, &[]);
        all.retain(|pid| *pid != std::process::id());
        all
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let mut down = self.command(&["down"]);
        let down = down.stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !thread::panicking() {
            assert!(down.is_ok_and(|s| s.success()), "`down` at the end failed");
        }
    }
}

/// Processes whose arguments, environment or working directory name `root`, and whose arguments hold all `words`.
fn processes(root: &Path, words: &[&str]) -> Vec<u32> {
    let needle = root.to_str().expect("it is UTF-8").as_bytes();
    let names = |bytes: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let there = fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(root));
        let said: Vec<&[u8]> = arguments.split(|b| *b == 0).collect();
        if (names(&arguments) || names(&environment) || there) && words.iter().all(|w| said.contains(&w.as_bytes())) {
            found.push(pid);
        }
    }
    found
}

/// True if the process lives (a zombie does not).
pub(crate) fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

pub(crate) fn kill(signal: &str, pid: u32) {
    let done = Command::new("/bin/kill")
        .args([format!("-{signal}"), pid.to_string()])
        .status();
    assert!(done.is_ok_and(|s| s.success()), "kill -{signal} {pid}");
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn manifest(version: &str, components: &[Value], services: &[Value], extra: &BTreeMap<String, Value>) -> Vec<u8> {
    let mut components = components.to_vec();
    components.sort_by_key(|c| c["id"].as_str().expect("text").to_owned());
    let stem = format!("test-{version}-any");
    let file = |name: &str| json!({ "name": format!("{stem}.{name}"), "size": 1, "sha256": Digest::of(b"x") });
    let mut all = json!({
        "schema": "kojibox.pack/1.0", "readable_since": 0, "pack": "test", "version": version, "sequence": 1_000_000,
        "channel": "stable", "kind": "full", "target": "any", "min_installer": "0.1.0", "issued": "2026-01-01T00:00:00Z",
        "source_date_epoch": 1_767_225_600, "compressor": { "name": "zstd", "version": "1.5.7", "level": 3, "window_log": 23 },
        "components": components, "services": services, "space": { "staging": 1, "installed": 1, "peak": 1 },
        "sums": { "name": format!("{stem}.SHA256SUMS"), "size": 1, "sha256": Digest::of(b"x") },
        "sbom": file("cdx.json"), "provenance": file("provenance.json"),
    });
    all.as_object_mut().expect("an object").extend(extra.clone());
    let manifest: Manifest = serde_json::from_value(all).expect("the declarations of a test are valid");
    manifest.to_canonical_json()
}

/// Name of a component's tree.
fn dir_of(component: &Value) -> String {
    let text = |key: &str| component[key].as_str().expect("it is text").to_owned();
    let tree: Digest = text("tree_sha256").parse().expect("a digest");
    Layout::component_dir_name(&text("id"), &text("version"), &tree)
}

fn write(path: &Path, value: &Value) {
    fs::create_dir_all(path.parent().expect("it is below the root")).expect("the root is writable");
    fs::write(path, serde_json::to_vec_pretty(value).expect("it is JSON")).expect("the root is writable");
}

fn random() -> String {
    let name = tempfile::NamedTempFile::new().expect("a temporary file");
    Digest::of(name.path().to_string_lossy().as_bytes()).short()
}
