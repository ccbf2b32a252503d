//! Owns sticks: FAT32 images, filled by the packer, mounted read-only through FUSE.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use kojibox_tests::{Failure, Outcome, Sandbox, Story, ensure, tree, units};

/// Debian packages that bring the programs of this file.
const PACKAGES: [&str; 4] = ["fusefat", "dosfstools", "fuse", "bubblewrap"];

/// A mounted stick.
pub(crate) struct Stick {
    at: PathBuf,
}

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
        let image = sandbox.path(format!("{name}.img"));
        let at = sandbox.path(name);
        std::fs::create_dir(&at).map_err(Failure::doing("could not make a mount point"))?;
        story.timed(
            &format!("mkfs.vfat, copy {}, mount read-only", units::size(bytes)),
            || {
                format(&image, bytes)?;
                let writable = Self::mount(&image, &at, "rw+,allow_other")?;
                command("cp", &[Path::new("-r"), &laid_out.join("."), &writable.at])?;
                drop(writable);
                Self::mount(&image, &at, "ro,allow_other")
            },
        )
    }

    /// Where the stick is.
    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    fn mount(image: &Path, at: &Path, options: &str) -> Outcome<Self> {
        command("fusefat", &[Path::new("-o"), Path::new(options), image, at])?;
        Ok(Self { at: at.into() })
    }
}

impl Drop for Stick {
    fn drop(&mut self) {
        // FUSE writes what is left when it is unmounted, and is gone a moment later.
        drop(command("fusermount", &[Path::new("-u"), &self.at]));
        let mounted = || std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let escaped = self.at.to_string_lossy().replace(' ', "\\040");
        for _ in 0..200 {
            if !mounted().contains(&escaped) && !running("fusefat", &self.at) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// True while a process of `program` has `path` among its arguments.
fn running(program: &str, path: &Path) -> bool {
    let path = path.to_string_lossy();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .any(|line| line.starts_with(program) && line.contains(&*path))
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
        command("apt-get", &["update", "-qq"].map(Path::new))?;
        let words = ["install", "-qq", "-y", "--no-install-recommends"]
            .into_iter()
            .chain(PACKAGES);
        command("apt-get", &words.map(Path::new).collect::<Vec<_>>())
    })
}

fn exists(tool: &str) -> bool {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .any(|dir| Path::new(dir).join(tool).exists())
}

/// Makes an empty FAT32 file system with room for `bytes`.
fn format(image: &Path, bytes: u64) -> Outcome {
    // Below 33 MB there is no FAT32.
    let len = bytes + bytes / 10 + 64_000_000;
    let file = File::create(image).map_err(Failure::doing(format!("could not make `{}`", image.display())))?;
    file.set_len(len.next_multiple_of(1 << 20))
        .map_err(Failure::doing("could not size an image"))?;
    command(
        "mkfs.vfat",
        &[
            Path::new("-F"),
            Path::new("32"),
            Path::new("-n"),
            Path::new("KOJIBOX"),
            image,
        ],
    )
}

/// Runs a program of the system to its end.
pub(crate) fn command(program: &str, args: &[&Path]) -> Outcome {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let mut command = Command::new(program);
    command
        .args(args)
        .env("PATH", path)
        .env("DEBIAN_FRONTEND", "noninteractive");
    let output = command
        .output()
        .map_err(Failure::doing(format!("could not run `{program}`")))?;
    ensure(output.status.success(), || {
        format!(
            "`{program} {args:?}` ended with {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
    })
}
