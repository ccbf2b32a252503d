//! Owns sticks: FAT32 images, filled by the packer, mounted read-only through FUSE.

use std::path::Path;

use kojibox_tests::{
    Outcome, Sandbox, Story,
    image::{self, Access, FileSystem, Image, Mounted, system},
    tree, units,
};

/// Debian packages that bring the programs of this file.
const PACKAGES: [&str; 4] = ["fusefat", "dosfstools", "fuse", "bubblewrap"];

/// A mounted stick.
pub(crate) struct Stick(Mounted);

impl Stick {
    /// Writes a stick named `name` with the pack `pack` (`name@version`) of the depot, and mounts it read-only.
    pub(crate) fn make(story: &Story<'_>, sandbox: &Sandbox, name: &str, pack: &str) -> Outcome<Self> {
        let laid_out = sandbox.path(format!("{name}-files"));
        let run = sandbox
            .builder(["stick"])
            .arg(&laid_out)
            .arg("--depot")
            .arg(sandbox.path("depot"));
        let run = run.args(["--pack", pack, "--target", "linux-x86_64", "--trust"]);
        story.run(sandbox.dir(), run.arg(sandbox.path("keys/root.json")))?;
        let bytes = tree::bytes_below(&laid_out);
        let at = sandbox.path(name);
        story.timed(
            &format!("mkfs.vfat, copy {}, mount read-only", units::size(bytes)),
            || {
                let file = sandbox.path(format!("{name}.img"));
                let image = Image::make(file, FileSystem::Fat32, bytes + bytes / 10 + image::SMALLEST)?;
                let writable = image.mount(at.clone(), Access::Writable)?;
                system("cp", &[Path::new("-r"), &laid_out.join("."), writable.path()])?;
                drop(writable);
                image.mount(at.clone(), Access::ReadOnly).map(Self)
            },
        )
    }

    /// Where the stick is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Installs what is missing, as root, or names it.
pub(crate) fn need_tools(story: &Story<'_>) -> Outcome {
    let missing = ["fusefat", "mkfs.vfat", "fusermount", "bwrap"]
        .into_iter()
        .any(|tool| !exists(tool));
    if !missing {
        return Ok(());
    }
    story.timed("apt-get install", || {
        system("apt-get", &["update", "-qq"].map(Path::new))?;
        let words = ["install", "-qq", "-y", "--no-install-recommends"]
            .into_iter()
            .chain(PACKAGES);
        system("apt-get", &words.map(Path::new).collect::<Vec<_>>()).map(drop)
    })
}

fn exists(tool: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .any(|dir| Path::new(dir).join(tool).exists())
}
