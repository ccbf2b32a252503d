//! Owns file systems in a file: made, mounted (sticks through FUSE, which needs no driver of the kernel), taken away with the value.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use crate::{Failure, Outcome, ensure, platform};

/// Where programs of the system are, for a superuser too.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Below this many bytes there is no FAT32.
pub const SMALLEST: u64 = 64_000_000;

/// What a file is formatted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    /// What most sticks have.
    Fat32,
    /// What large sticks have; needs a loop device, so root.
    ExFat,
    /// What disks have; needs a loop device, so root.
    Ext4,
    /// What disks have whose files share blocks; has 300 MiB at least. Needs a loop device, so root.
    Xfs,
}

/// What may be done with a mounted file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// As a stick whose switch is set.
    ReadOnly,
    /// Everything.
    Writable,
}

/// A file with a file system in it.
#[derive(Clone, Debug)]
pub struct Image {
    file: PathBuf,
    kind: FileSystem,
}

impl Image {
    /// Makes `file` of at least `len` bytes with an empty file system.
    pub fn make(file: PathBuf, kind: FileSystem, len: u64) -> Outcome<Self> {
        let doing = || Failure::doing(format!("could not make `{}`", file.display()));
        let made = File::create(&file).map_err(doing())?;
        made.set_len(len.next_multiple_of(1 << 20)).map_err(doing())?;
        drop(made);
        let (program, words): (_, &[&str]) = match kind {
            FileSystem::Fat32 => ("mkfs.vfat", &["-F", "32"]),
            FileSystem::ExFat => ("mkfs.exfat", &[]),
            FileSystem::Ext4 => ("mkfs.ext4", &["-q", "-F", "-E", "root_owner=65534:65534"]),
            FileSystem::Xfs => ("mkfs.xfs", &["-q", "-f", "-m", "reflink=1"]),
        };
        let args = words.iter().map(Path::new).chain([file.as_path()]);
        system(program, &args.collect::<Vec<_>>())?;
        Ok(Self { file, kind })
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Mounts it at the directory `at`, which is made.
    pub fn mount(&self, at: PathBuf, access: Access) -> Outcome<Mounted> {
        match fs::create_dir(&at) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Failure::doing(format!("could not make `{}`", at.display()))(error));
            }
            _ => {}
        }
        let mut mounted = Mounted { at, device: None };
        if self.kind != FileSystem::Fat32 {
            let device = system("losetup", &[Path::new("-f"), Path::new("--show"), &self.file])?;
            mounted.device = Some(PathBuf::from(device.trim()));
        }
        let from = mounted.device.as_deref().unwrap_or(&self.file);
        let mut options = match (self.kind, access) {
            (_, Access::ReadOnly) => "ro",
            // FUSE's driver asks for the plus as a sign that its warnings were read.
            (FileSystem::Fat32, Access::Writable) => "rw+",
            (_, Access::Writable) => "rw",
        }
        .to_owned();
        let program = match self.kind {
            FileSystem::Fat32 => "fusefat",
            FileSystem::ExFat => {
                options += ",uid=65534,gid=65534";
                "mount.exfat-fuse"
            }
            FileSystem::Ext4 | FileSystem::Xfs => "mount",
        };
        // The programs under test run as somebody else when the tests run as root.
        if program != "mount" && platform::User::if_root().is_some() {
            options += ",allow_other";
        }
        system(program, &[Path::new("-o"), Path::new(&options), from, &mounted.at])?;
        // A driver goes into the background before it knows whether it may mount.
        for _ in 0..100 {
            if is_mount(&mounted.at) {
                if self.kind == FileSystem::Xfs && access == Access::Writable {
                    // It is made for root.
                    system("chown", &[Path::new("65534:65534"), &mounted.at])?;
                }
                return Ok(mounted);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(Failure::new(format!(
            "`{program}` did not mount `{}`",
            mounted.at.display()
        )))
    }
}

/// A mounted file system.
#[derive(Debug)]
pub struct Mounted {
    at: PathBuf,
    device: Option<PathBuf>,
}

impl Mounted {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// Does `work` while FUSE's driver answers nothing, as a stick does that has frozen.
    pub fn frozen<T>(&self, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let drivers = drivers(&self.at);
        ensure(!drivers.is_empty(), || "no driver of FUSE serves it".into())?;
        let send = |signal: &str| {
            let args = [signal].into_iter().chain(drivers.iter().map(String::as_str));
            system("kill", &args.map(Path::new).collect::<Vec<_>>()).map(drop)
        };
        let done = send("-STOP").and_then(|()| work());
        send("-CONT")?;
        done
    }
}

impl Mounted {
    /// Pulls it out: whoever has a file of it open reads nothing more, and where it was is an empty directory.
    pub fn pull(self) -> Outcome {
        let drivers = drivers(&self.at);
        ensure(!drivers.is_empty(), || "no driver of FUSE serves it".into())?;
        let args = ["-KILL"].into_iter().chain(drivers.iter().map(String::as_str));
        system("kill", &args.map(Path::new).collect::<Vec<_>>())?;
        system("umount", &[Path::new("-l"), &self.at]).map(drop)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What a failed test has left running; afterwards its place could not be found any more.
        for (id, _) in platform::processes_below(&self.at) {
            platform::end(id);
        }
        let unmount = || {
            // A plain user may unmount FUSE's only.
            system("fusermount", &[Path::new("-u"), &self.at]).or_else(|_| system("umount", &[&self.at]))
        };
        for _ in 0..100 {
            // FUSE writes what is left when it is unmounted, and its driver is gone a moment later.
            if unmount().is_ok() || !is_mount(&self.at) {
                break;
            }
            thread::sleep(Duration::from_millis(50));
        }
        if is_mount(&self.at) {
            // Somebody has a file open there still.
            drop(system("umount", &[Path::new("-l"), &self.at]));
        }
        for _ in 0..200 {
            if drivers(&self.at).is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        if let Some(device) = &self.device {
            drop(system("losetup", &[Path::new("-d"), device]));
        }
    }
}

fn is_mount(at: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts.contains(&at.to_string_lossy().replace(' ', "\\040"))
}

/// The drivers of FUSE that run for `at`, by process id.
fn drivers(at: &Path) -> Vec<String> {
    let at = at.to_string_lossy();
    let serves = |line: &str| (line.starts_with("fusefat") || line.starts_with("mount.exfat")) && line.contains(&*at);
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let lines = entries.filter_map(|entry| Some((entry.file_name(), fs::read(entry.path().join("cmdline")).ok()?)));
    lines
        .filter(|(_, line)| serves(&String::from_utf8_lossy(line)))
        .map(|(id, _)| id.to_string_lossy().into_owned())
        .collect()
}

/// Runs a program of the system to its end; its stdout.
pub fn system(program: &str, args: &[&Path]) -> Outcome<String> {
    let mut command = Command::new(program);
    command
        .args(args)
        .env("PATH", PATH)
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
    })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a machine lacks: `None`, told on stderr, unless it is the one that must have everything (`.ci/run`).
pub fn unless_lacking<T>(what: &str, tried: Outcome<T>) -> Outcome<Option<T>> {
    match tried {
        Ok(made) => Ok(Some(made)),
        Err(why) if std::env::var_os("NEXTEST_PROFILE").is_some_and(|profile| profile == "ci") => {
            Err(why.at(&format!("no {what} here; run `.ci/run setup` as root")))
        }
        Err(why) => {
            #[expect(clippy::print_stderr, reason = "what is left out is told")]
            {
                eprintln!("left out, no {what} here: {why:?}");
            }
            Ok(None)
        }
    }
}
