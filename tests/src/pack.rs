//! Owns a publisher in a sandbox: keys, a depot, and small stacks that build in no time.

use std::path::{Path, PathBuf};

use crate::{Done, Failure, Outcome, Run, Sandbox, workspace};

/// The target of this machine.
pub fn host_target() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}

/// Somebody with keys and a depot.
#[derive(Debug)]
pub struct Publisher<'a> {
    sandbox: &'a Sandbox,
    name: String,
}

impl<'a> Publisher<'a> {
    /// Makes keys and a trust root in `<name>/keys`; the depot will be `<name>/depot`.
    pub fn new(sandbox: &'a Sandbox, name: &str) -> Outcome<Self> {
        let publisher = Self {
            sandbox,
            name: name.into(),
        };
        sandbox.write(&format!("{name}/.made"), "")?;
        let run = sandbox
            .packer(["trust", "init", "--unsafe-no-password", "--out"])
            .arg(publisher.dir("keys"));
        run.warns().answer()?;
        Ok(publisher)
    }

    /// A directory of this publisher.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.sandbox.path(&self.name).join(name)
    }

    /// The trust root.
    pub fn root_json(&self) -> PathBuf {
        self.dir("keys/root.json")
    }

    /// The depot.
    pub fn depot(&self) -> PathBuf {
        self.dir("depot")
    }

    /// A run that builds `stack` for this machine into the depot.
    pub fn build_run(&self, stack: &Path) -> Run {
        let run = self
            .sandbox
            .packer(["build"])
            .arg(stack)
            .args(["--target", &host_target()]);
        run.arg("--key")
            .arg(self.dir("keys/pack"))
            .arg("--trust")
            .arg(self.root_json())
            .arg("--depot")
            .arg(self.depot())
    }

    /// Builds `stack` for this machine into the depot.
    pub fn build(&self, stack: &Path) -> Outcome<Done> {
        self.build_run(stack).answer()
    }

    /// Writes and builds the pack `tree` in `version`: one component without services, made of `files`.
    pub fn build_tree(&self, version: &str, files: &[(&str, &[u8])]) -> Outcome<Done> {
        let folder = format!("{}/tree-{version}", self.name);
        for (name, content) in files {
            self.sandbox.write(&format!("{folder}/files/{name}"), content)?;
        }
        self.build(
            &self
                .sandbox
                .write(&format!("{folder}/stack.toml"), tree_stack(version))?,
        )
    }

    /// The manifest of the pack `name` in `version` for this machine.
    pub fn manifest(&self, name: &str, version: &str) -> PathBuf {
        self.depot()
            .join("packs")
            .join(format!("{name}-{version}-{}.kbx.json", host_target()))
    }

    /// A run that installs from the depot into `root`, trusting this publisher.
    pub fn install_run(&self, root: &Path) -> Run {
        let run = self
            .sandbox
            .installer(["install", "--yes", "--source"])
            .arg(self.depot());
        run.arg("--root").arg(root).arg("--trust").arg(self.root_json())
    }

    /// The file of the depot whose name starts with `start` and ends with `end`.
    pub fn depot_file(&self, folder: &str, start: &str, end: &str) -> Outcome<PathBuf> {
        let dir = self.depot().join(folder);
        let doing = || Failure::doing(format!("could not list `{}`", dir.display()));
        for entry in std::fs::read_dir(&dir).map_err(doing())? {
            let entry = entry.map_err(doing())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(start) && name.ends_with(end) {
                return Ok(entry.path());
            }
        }
        Err(Failure::new(format!(
            "there is no `{start}…{end}` in `{}`",
            dir.display()
        )))
    }
}

/// A stack of one component from the folder `files`.
pub fn tree_stack(version: &str) -> String {
    format!(
        "[pack]\nname = \"tree\"\nversion = \"{version}\"\ntargets = [\"{}\"]\n\n\
         [[component]]\nid = \"tree\"\nversion = \"{version}\"\ndefault = true\nsource = {{ path = \"files\" }}\n",
        host_target()
    )
}

/// The installer as it is shipped, without what debuggers want, as `name` of the place: a slow driver of a stick takes its time.
pub fn shipped_installer(sandbox: &Sandbox, name: &str) -> Outcome<PathBuf> {
    let installer = sandbox.copy(&sandbox.bin("kojibox-installer"), name)?;
    sandbox.run("/usr/bin/strip").arg(&installer).go()?;
    Ok(installer)
}

/// Puts release `number` of the demo's recipe into `recipe/` of the place, with its program staged; gives back the
/// definition.
pub fn demo_stack(sandbox: &Sandbox, number: u8) -> Outcome<PathBuf> {
    if !sandbox.path("recipe").is_dir() {
        let recipe = workspace().join("packs/recipes/demo");
        for name in ["pages", "templates", "stack-1.toml", "stack-2.toml", "stack-3.toml"] {
            sandbox.copy(&recipe.join(name), &format!("recipe/{name}"))?;
        }
    }
    let program = if number == 1 { "guestbook-1" } else { "guestbook-2" };
    let staged = format!(
        "recipe/stage/{}/{program}/bin/guestbook{}",
        host_target(),
        std::env::consts::EXE_SUFFIX
    );
    sandbox.copy(&sandbox.bin(program), &staged)?;
    Ok(sandbox.path(format!("recipe/stack-{number}.toml")))
}
