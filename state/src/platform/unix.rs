//! Owns the file system calls that Linux and macOS share: everything relative to a directory handle, no link followed.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::{
    fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags},
    io::{Errno, retry_on_intr},
};

#[cfg(target_os = "linux")]
use super::linux as os;
#[cfg(target_os = "macos")]
use super::macos as os;
use crate::{
    path::RootPath,
    store::{FileMode, Kind, Listed, Refusal, Stat},
};

const DIR: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const DIR_MODE: Mode = Mode::from_raw_mode(0o755);
const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// An opened root; remembers the last parent, because trees are written directory by directory.
pub(crate) struct Handle {
    root: Arc<OwnedFd>,
    last: Mutex<Option<(RootPath, Arc<OwnedFd>)>>,
}

impl Handle {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let root = retry_on_intr(|| fs::openat(CWD, path, DIR, Mode::empty()))?;
        Ok(Self {
            root: Arc::new(root),
            last: Mutex::new(None),
        })
    }

    /// Opens the directory `path` one segment at a time; a link on the way is `ENOTDIR` or `ELOOP`.
    fn dir(&self, path: &RootPath) -> io::Result<Arc<OwnedFd>> {
        let mut fd = Arc::clone(&self.root);
        for segment in path.segments() {
            let flags = DIR | OFlags::NOFOLLOW;
            fd = Arc::new(retry_on_intr(|| fs::openat(&*fd, segment, flags, Mode::empty()))?);
        }
        Ok(fd)
    }

    fn parent(&self, path: &RootPath) -> io::Result<Arc<OwnedFd>> {
        let parent = path.parent().ok_or(Errno::INVAL)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, fd)) = &*last
            && *name == parent
        {
            return Ok(Arc::clone(fd));
        }
        let fd = self.dir(&parent)?;
        *last = Some((parent, Arc::clone(&fd)));
        Ok(fd)
    }

    /// A directory changed its name or is gone: what was remembered may be another place now.
    fn forget(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn file(&self, path: &RootPath, flags: OFlags, mode: Mode) -> io::Result<File> {
        let parent = self.parent(path)?;
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| fs::openat(&*parent, path.name(), flags, mode))?.into())
    }

    pub(crate) fn open_read(&self, path: &RootPath) -> io::Result<File> {
        // Without NONBLOCK a pipe that lies here would hold us for ever.
        let file = self.file(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
        if FileType::from_raw_mode(fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(file)
    }

    pub(crate) fn stat(&self, path: &RootPath) -> io::Result<Stat> {
        let stat = if path.is_root() {
            fs::fstat(&*self.root)?
        } else {
            let parent = self.parent(path).map_err(|error| match Errno::from_io_error(&error) {
                // How some systems say that a link is in the way.
                Some(Errno::LOOP) => io::ErrorKind::NotADirectory.into(),
                _ => error,
            })?;
            fs::statat(&*parent, path.name(), AtFlags::SYMLINK_NOFOLLOW)?
        };
        Ok(Stat {
            kind: kind(FileType::from_raw_mode(stat.st_mode)),
            len: u64::try_from(stat.st_size).unwrap_or(0),
            executable: Some(stat.st_mode & 0o100 != 0),
        })
    }

    pub(crate) fn list(&self, path: &RootPath) -> io::Result<Vec<Listed>> {
        let dir = self.dir(path)?;
        let mut out = Vec::new();
        for entry in Dir::read_from(&*dir)? {
            let entry = entry?;
            let raw = entry.file_name();
            if raw == c"." || raw == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => {
                    let stat = fs::statat(&*dir, raw, AtFlags::SYMLINK_NOFOLLOW)?;
                    kind(FileType::from_raw_mode(stat.st_mode))
                }
                known => kind(known),
            };
            let name = match raw.to_str() {
                Ok(name) if RootPath::new(name).is_ok() => Ok(name.to_owned()),
                _ => Err(raw.to_string_lossy().into_owned()),
            };
            let raw = OsStr::from_bytes(raw.to_bytes()).to_owned();
            out.push(Listed { name, raw, kind });
        }
        Ok(out)
    }

    pub(crate) fn read_link(&self, path: &RootPath) -> io::Result<String> {
        let target = fs::readlinkat(&*self.parent(path)?, path.name(), Vec::new())?;
        String::from_utf8(target.into_bytes()).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    pub(crate) fn create_dir(&self, path: &RootPath) -> io::Result<()> {
        let parent = self.parent(path)?;
        Ok(retry_on_intr(|| fs::mkdirat(&*parent, path.name(), DIR_MODE))?)
    }

    pub(crate) fn create_file(&self, path: &RootPath) -> io::Result<File> {
        self.file(path, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, PRIVATE)
    }

    pub(crate) fn append(&self, path: &RootPath, bytes: &[u8]) -> io::Result<()> {
        self.file(path, OFlags::WRONLY | OFlags::APPEND, Mode::empty())?
            .write_all(bytes)
    }

    pub(crate) fn truncate(&self, path: &RootPath, len: u64) -> io::Result<()> {
        let file = self.file(path, OFlags::WRONLY, Mode::empty())?;
        // The superuser may write to what is finished, so opening it says nothing.
        let stat = fs::fstat(&file)?;
        if stat.st_nlink > 1 || stat.st_mode & 0o200 == 0 {
            let why = "it is finished or has another name";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        file.set_len(len)
    }

    pub(crate) fn set_mode(&self, path: &RootPath, mode: FileMode) -> io::Result<()> {
        set_open_mode(&self.open_read(path)?, mode)
    }

    pub(crate) fn reflink(&self, from: &RootPath, to: &RootPath) -> io::Result<()> {
        let source = self.open_read(from)?;
        os::reflink(&source, &*self.parent(to)?, to.name())
    }

    pub(crate) fn hard_link(&self, from: &RootPath, to: &RootPath) -> io::Result<()> {
        let (source, target) = (self.parent(from)?, self.parent(to)?);
        Ok(fs::linkat(
            &*source,
            from.name(),
            &*target,
            to.name(),
            AtFlags::empty(),
        )?)
    }

    pub(crate) fn symlink(&self, target: &str, path: &RootPath) -> io::Result<()> {
        Ok(fs::symlinkat(target, &*self.parent(path)?, path.name())?)
    }

    pub(crate) fn rename(&self, from: &RootPath, to: &RootPath) -> io::Result<()> {
        let (source, target) = (self.parent(from)?, self.parent(to)?);
        self.forget();
        match fs::renameat_with(&*source, from.name(), &*target, to.name(), fs::RenameFlags::NOREPLACE) {
            // A file system without the flag: the exclusive lock keeps the two calls together.
            Err(error) if error == Errno::INVAL || is_unsupported(error) => {
                match fs::statat(&*target, to.name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Err(Errno::NOENT) => Ok(fs::renameat(&*source, from.name(), &*target, to.name())?),
                    Ok(_) => Err(Errno::EXIST.into()),
                    Err(error) => Err(error.into()),
                }
            }
            done => Ok(done?),
        }
    }

    pub(crate) fn replace(&self, from: &RootPath, to: &RootPath) -> io::Result<()> {
        let (source, target) = (self.parent(from)?, self.parent(to)?);
        Ok(fs::renameat(&*source, from.name(), &*target, to.name())?)
    }

    /// A running program keeps its file; only the name moves.
    pub(crate) fn replace_program(&self, from: &RootPath, to: &RootPath, _aside: &RootPath) -> io::Result<()> {
        self.replace(from, to)
    }

    pub(crate) fn remove_file(&self, path: &RootPath) -> io::Result<()> {
        Ok(fs::unlinkat(&*self.parent(path)?, path.name(), AtFlags::empty())?)
    }

    pub(crate) fn remove_dir(&self, path: &RootPath) -> io::Result<()> {
        let parent = self.parent(path)?;
        self.forget();
        Ok(fs::unlinkat(&*parent, path.name(), AtFlags::REMOVEDIR)?)
    }

    /// Removes a whole directory, whatever the names in it; std follows no link below `path`.
    pub(crate) fn remove_all(&self, path: &Path) -> io::Result<()> {
        self.forget();
        let meta = std::fs::symlink_metadata(path)?;
        if meta.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        }
    }

    pub(crate) fn sync_file(&self, path: &RootPath) -> io::Result<()> {
        sync_open_file(&self.open_read(path)?)
    }

    pub(crate) fn sync_dir(&self, path: &RootPath) -> io::Result<()> {
        os::sync_fd(self.dir(path)?.as_fd())
    }

    pub(crate) fn sync_tree(&self, path: &RootPath) -> io::Result<()> {
        os::sync_tree(self, path)
    }

    /// For the twins: the directory `path` itself.
    pub(super) fn dir_of(&self, path: &RootPath) -> io::Result<Arc<OwnedFd>> {
        self.dir(path)
    }
}

fn kind(file_type: FileType) -> Kind {
    match file_type {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

fn set_open_mode(file: &File, mode: FileMode) -> io::Result<()> {
    let read = Mode::RUSR | Mode::RGRP | Mode::ROTH;
    let execute = Mode::XUSR | Mode::XGRP | Mode::XOTH;
    let bits = match mode {
        FileMode::Plain => read | Mode::WUSR,
        FileMode::ReadOnly => read,
        FileMode::Program => read | execute,
        FileMode::FrontDoor => read | execute | Mode::WUSR,
    };
    match retry_on_intr(|| fs::fchmod(file, bits)) {
        // Refused though we may: a file system without modes (FAT, exFAT), where there is nothing to set.
        Err(error) if is_unsupported(error) => Ok(()),
        Err(Errno::PERM) if may_set_modes(file)? => Ok(()),
        done => Ok(done?),
    }
}

/// One number on Linux, two on macOS.
fn is_unsupported(error: Errno) -> bool {
    [Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP].contains(&error)
}

fn may_set_modes(file: &File) -> io::Result<bool> {
    let user = rustix::process::geteuid();
    Ok(user.is_root() || fs::fstat(file)?.st_uid == user.as_raw())
}

/// Makes the bytes of an open file durable, through the drive's cache.
pub(crate) fn sync_open_file(file: &File) -> io::Result<()> {
    os::sync_fd(file.as_fd())
}

/// Sets the mode of a written file and closes it.
pub(crate) fn finish_file(file: File, mode: FileMode) -> io::Result<()> {
    let done = set_open_mode(&file, mode);
    drop(file);
    done
}

/// Opens or makes the lock file `state/lock`; never through a link.
pub(crate) fn open_lock(root: &Handle, path: &RootPath) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE;
    root.file(path, flags, Mode::from_raw_mode(0o644))
}

/// True if `path` is still a name of `file`: the one that was waited for may have removed it.
pub(crate) fn is_named(root: &Handle, path: &RootPath, file: &File) -> io::Result<bool> {
    let held = fs::fstat(file)?;
    match fs::statat(&*root.parent(path)?, path.name(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(there) => Ok((there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes the directory of a new root and what is missing above it, and syncs the parents.
pub(crate) fn create_root(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|p| !p.as_os_str().is_empty() && !p.exists())
        .collect();
    for dir in missing.into_iter().rev() {
        match fs::mkdirat(CWD, dir, DIR_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let parent = dir.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = fs::openat(CWD, parent.unwrap_or(Path::new(".")), DIR, Mode::empty())?;
        // The parent may belong to somebody else or lie on a file system that syncs no directories.
        let _ = fs::fsync(&parent);
    }
    Ok(())
}

/// True unless it is known that no process has this id.
pub(crate) fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH))
}

/// For the power cut model, which builds a disk from nothing: the permission bits of a file.
pub(crate) fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).map_or(0, |meta| meta.mode() & 0o777)
}

/// For the power cut model: sets the permission bits of a file.
pub(crate) fn give_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// For the power cut model: makes a symbolic link.
pub(crate) fn write_link(target: &str, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// For the fault twin: the error number of a refusal.
pub(crate) fn refusal_code(refusal: Refusal) -> i32 {
    let errno = match refusal {
        Refusal::Medium => Errno::IO,
        Refusal::NoSpace => Errno::NOSPC,
        Refusal::Quota => Errno::DQUOT,
        Refusal::Denied => Errno::ACCESS,
        Refusal::Interrupted => Errno::INTR,
        Refusal::ReadOnly => Errno::ROFS,
    };
    errno.raw_os_error()
}
