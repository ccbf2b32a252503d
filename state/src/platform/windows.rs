//! Owns the file system calls of Windows: verbatim paths, no reparse point followed, flushed through write handles.
//!
//! *Limitations*: names are checked for reparse points before use, not held open segment by segment; the root is
//! opened without delete sharing, so that at least it cannot be exchanged meanwhile. NTFS journals names by itself; a
//! directory is flushed where the system allows it.
#![expect(
    unsafe_code,
    reason = "MoveFileExW, CreateHardLinkW and attribute calls of the Win32 API"
)]

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::windows::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _},
        io::AsRawHandle as _,
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_DISK_FULL, ERROR_DISK_QUOTA_EXCEEDED, ERROR_IO_DEVICE, ERROR_LOCK_VIOLATION,
        ERROR_OPERATION_ABORTED, ERROR_SHARING_VIOLATION, ERROR_WRITE_PROTECT,
    },
    Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS,
        FILE_FLAG_OPEN_REPARSE_POINT, FILE_SHARE_READ, FILE_SHARE_WRITE, GetFileInformationByHandle,
        MOVEFILE_REPLACE_EXISTING, MOVEFILE_WRITE_THROUGH, MoveFileExW, SetFileAttributesW,
    },
};

use crate::{
    path::RootPath,
    store::{FileMode, Kind, Listed, Refusal, Stat},
};

/// Waits between tries when a scanner or an indexer holds a file: about 10 s in all.
const BACKOFF_MS: [u64; 12] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 3000, 5000];

/// An opened root.
pub(crate) struct Handle {
    root: PathBuf,
    _held: File,
}

impl Handle {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        // `canonicalize` gives the verbatim form, which lifts the limit of 260 characters.
        let root = std::fs::canonicalize(path)?;
        let held = OpenOptions::new()
            .read(true)
            .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
            .open(&root)?;
        Ok(Self { root, _held: held })
    }

    /// The full path, after a look at every directory above the last segment.
    fn at(&self, path: &RootPath) -> io::Result<PathBuf> {
        let mut full = self.root.clone();
        let mut segments = path.segments().peekable();
        while let Some(segment) = segments.next() {
            full.push(segment);
            if segments.peek().is_some() && is_reparse(&std::fs::symlink_metadata(&full)?) {
                return Err(io::Error::new(
                    io::ErrorKind::NotADirectory,
                    "a segment is a reparse point",
                ));
            }
        }
        Ok(full)
    }

    fn checked(&self, path: &RootPath, options: &OpenOptions) -> io::Result<File> {
        let full = self.at(path)?;
        let file = patiently(|| options.open(&full))?;
        let meta = file.metadata()?;
        if !meta.is_file() || is_reparse(&meta) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        Ok(file)
    }

    pub(crate) fn open_read(&self, path: &RootPath) -> io::Result<File> {
        self.checked(path, options().read(true))
    }

    pub(crate) fn stat(&self, path: &RootPath) -> io::Result<Stat> {
        let meta = std::fs::symlink_metadata(self.at(path)?)?;
        Ok(Stat {
            kind: kind(&meta),
            len: meta.len(),
            executable: None,
        })
    }

    pub(crate) fn list(&self, path: &RootPath) -> io::Result<Vec<Listed>> {
        let full = self.at(path)?;
        if is_reparse(&std::fs::symlink_metadata(&full)?) {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is a reparse point"));
        }
        let mut out = Vec::new();
        for entry in std::fs::read_dir(full)? {
            let entry = entry?;
            let raw = entry.file_name();
            let name = match raw.clone().into_string() {
                Ok(name) if RootPath::new(name.as_str()).is_ok() => Ok(name),
                Ok(name) => Err(name),
                Err(raw) => Err(raw.to_string_lossy().into_owned()),
            };
            let kind = kind(&entry.metadata()?);
            out.push(Listed { name, raw, kind });
        }
        Ok(out)
    }

    pub(crate) fn read_link(&self, path: &RootPath) -> io::Result<String> {
        let target = std::fs::read_link(self.at(path)?)?;
        let text = target.to_str().ok_or(io::ErrorKind::InvalidData)?;
        Ok(text.replace('\\', "/"))
    }

    pub(crate) fn create_dir(&self, path: &RootPath) -> io::Result<()> {
        std::fs::create_dir(self.at(path)?)
    }

    pub(crate) fn create_file(&self, path: &RootPath) -> io::Result<File> {
        let full = self.at(path)?;
        options().write(true).create_new(true).open(full)
    }

    pub(crate) fn append(&self, path: &RootPath, bytes: &[u8]) -> io::Result<()> {
        self.checked(path, options().append(true))?.write_all(bytes)
    }

    pub(crate) fn truncate(&self, path: &RootPath, len: u64) -> io::Result<()> {
        self.checked(path, options().write(true))?.set_len(len)
    }

    pub(crate) fn set_mode(&self, path: &RootPath, mode: FileMode) -> io::Result<()> {
        let full = self.at(path)?;
        if mode.is_read_only() {
            // A stop between the last byte and the mode leaves bytes that were never flushed, and a read-only file is not.
            self.sync_file(path)?;
        }
        let mut permissions = std::fs::symlink_metadata(&full)?.permissions();
        permissions.set_readonly(mode.is_read_only());
        std::fs::set_permissions(full, permissions)
    }

    /// Block cloning exists on `ReFS` only, where the system's own copy does it.
    pub(crate) fn reflink(&self, _from: &RootPath, _to: &RootPath) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn hard_link(&self, from: &RootPath, to: &RootPath) -> io::Result<()> {
        std::fs::hard_link(self.at(from)?, self.at(to)?)
    }

    /// Packs for Windows hold no links; one that is asked for all the same is refused by name.
    pub(crate) fn symlink(&self, _target: &str, _path: &RootPath) -> io::Result<()> {
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "symbolic links are not used on Windows",
        ))
    }

    pub(crate) fn rename(&self, from: &RootPath, to: &RootPath) -> io::Result<()> {
        move_file(&self.at(from)?, &self.at(to)?, MOVEFILE_WRITE_THROUGH)
    }

    pub(crate) fn replace(&self, from: &RootPath, to: &RootPath) -> io::Result<()> {
        let flags = MOVEFILE_WRITE_THROUGH | MOVEFILE_REPLACE_EXISTING;
        move_file(&self.at(from)?, &self.at(to)?, flags)
    }

    /// A running program may be renamed, not replaced: it goes to `aside` first, and comes back if the second step fails.
    pub(crate) fn replace_program(&self, from: &RootPath, to: &RootPath, aside: &RootPath) -> io::Result<()> {
        let (source, target, aside) = (self.at(from)?, self.at(to)?, self.at(aside)?);
        if !target.try_exists()? {
            return move_file(&source, &target, MOVEFILE_WRITE_THROUGH);
        }
        if aside.try_exists()? {
            writable(&aside)?;
            std::fs::remove_file(&aside)?;
        }
        move_file(&target, &aside, MOVEFILE_WRITE_THROUGH)?;
        move_file(&source, &target, MOVEFILE_WRITE_THROUGH).inspect_err(|_| {
            // Nothing better is left than to try; the first error is the one that is told.
            drop(move_file(&aside, &target, MOVEFILE_WRITE_THROUGH));
        })
    }

    pub(crate) fn remove_file(&self, path: &RootPath) -> io::Result<()> {
        let full = self.at(path)?;
        let meta = std::fs::symlink_metadata(&full)?;
        if meta.file_type().is_symlink_dir() {
            return std::fs::remove_dir(full);
        }
        // The attribute belongs to all names of a file, so it is taken away only where the system insists on it.
        match std::fs::remove_file(&full) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            done => return done,
        }
        writable(&full)?;
        patiently(|| std::fs::remove_file(&full))
    }

    pub(crate) fn remove_dir(&self, path: &RootPath) -> io::Result<()> {
        let full = self.at(path)?;
        patiently(|| std::fs::remove_dir(&full))
    }

    /// Removes a whole directory, whatever the names in it; std follows no link below `path`.
    #[expect(clippy::unused_self, reason = "the twin forgets what it has open")]
    pub(crate) fn remove_all(&self, path: &Path) -> io::Result<()> {
        let meta = std::fs::symlink_metadata(path)?;
        if meta.is_dir() {
            std::fs::remove_dir_all(path)
        } else {
            std::fs::remove_file(path)
        }
    }

    /// Read-only files were flushed when they became so.
    pub(crate) fn sync_file(&self, path: &RootPath) -> io::Result<()> {
        let full = self.at(path)?;
        if std::fs::symlink_metadata(&full)?.permissions().readonly() {
            return Ok(());
        }
        self.checked(path, options().write(true))?.sync_all()
    }

    pub(crate) fn sync_dir(&self, path: &RootPath) -> io::Result<()> {
        let full = self.at(path)?;
        let opened = OpenOptions::new()
            .write(true)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
            .open(full);
        match opened.and_then(|dir| dir.sync_all()) {
            // Some file systems flush no directory handles; NTFS has the rename in its log either way.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            done => done,
        }
    }

    pub(crate) fn sync_tree(&self, path: &RootPath) -> io::Result<()> {
        let mut todo = vec![path.clone()];
        while let Some(dir) = todo.pop() {
            for entry in self.list(&dir)? {
                let Ok(name) = &entry.name else { continue };
                let below = dir.join(name).map_err(io::Error::other)?;
                match entry.kind {
                    Kind::Dir => todo.push(below),
                    Kind::File => self.sync_file(&below)?,
                    Kind::Link | Kind::Other => {}
                }
            }
            self.sync_dir(&dir)?;
        }
        Ok(())
    }
}

/// Opens what the name is, not what a reparse point leads to.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
    options
}

fn is_reparse(meta: &std::fs::Metadata) -> bool {
    meta.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0
}

fn kind(meta: &std::fs::Metadata) -> Kind {
    if is_reparse(meta) {
        Kind::Link
    } else if meta.is_dir() {
        Kind::Dir
    } else if meta.is_file() {
        Kind::File
    } else {
        Kind::Other
    }
}

fn wide(path: &Path) -> Vec<u16> {
    path.as_os_str().encode_wide().chain([0]).collect()
}

/// Repeats `act` while somebody else holds the file for a moment.
fn patiently<T>(act: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for wait in BACKOFF_MS {
        match act() {
            Err(error) if is_passing(&error) => thread::sleep(Duration::from_millis(wait)),
            done => return done,
        }
    }
    act()
}

fn is_passing(error: &io::Error) -> bool {
    let code = error.raw_os_error().and_then(|c| u32::try_from(c).ok());
    matches!(
        code,
        Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION | ERROR_ACCESS_DENIED)
    )
}

fn move_file(from: &Path, to: &Path, flags: u32) -> io::Result<()> {
    let (from, to) = (wide(from), wide(to));
    patiently(|| {
        // SAFETY: both are NUL-terminated UTF-16 strings that live until the call returns.
        match unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), flags) } {
            0 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    })
}

/// Takes the read-only attribute away, which would refuse a removal.
fn writable(path: &Path) -> io::Result<()> {
    let attributes = std::fs::symlink_metadata(path)?.file_attributes();
    if attributes & FILE_ATTRIBUTE_READONLY == 0 {
        return Ok(());
    }
    // SAFETY: the path is a NUL-terminated UTF-16 string that lives until the call returns.
    match unsafe { SetFileAttributesW(wide(path).as_ptr(), attributes & !FILE_ATTRIBUTE_READONLY) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Makes the bytes of an open file durable.
pub(crate) fn sync_open_file(file: &File) -> io::Result<()> {
    file.sync_all()
}

/// Flushes, sets the read-only attribute and closes: a read-only file gives no write handle to flush through later.
pub(crate) fn finish_file(file: File, mode: FileMode) -> io::Result<()> {
    file.sync_all()?;
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(mode.is_read_only());
    file.set_permissions(permissions)
}

/// Opens or makes the lock file `state/lock`; never through a reparse point.
pub(crate) fn open_lock(root: &Handle, path: &RootPath) -> io::Result<File> {
    root.checked(path, options().read(true).write(true).create(true).truncate(false))
}

/// True if `path` still names `file`: a lock on a removed file keeps nobody out.
pub(crate) fn is_named(root: &Handle, path: &RootPath, file: &File) -> io::Result<bool> {
    match options().read(true).open(root.at(path)?) {
        Ok(there) => Ok(identity(&there)? == identity(file)?),
        // Removed, or about to be once the last one has closed it.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Volume and number of an open file.
fn identity(file: &File) -> io::Result<(u32, u32, u32)> {
    let mut about = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open for the call, and the structure is a local that it fills.
    if unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut about) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((about.dwVolumeSerialNumber, about.nFileIndexHigh, about.nFileIndexLow))
}

/// Makes the directory of a new root and what is missing above it.
pub(crate) fn create_root(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Not needed: a tree with a running program in it cannot be renamed here, and that is how it is noticed.
pub(crate) fn in_use_below(_root: &Path) -> Vec<PathBuf> {
    Vec::new()
}

/// True: asking takes rights that a plain user may not have, and the answer only decorates a message.
pub(crate) fn is_alive(_pid: u32) -> bool {
    true
}

/// For the power cut model, which builds a disk from nothing: bits that say what the read-only attribute says.
pub(crate) fn mode_of(path: &Path) -> u32 {
    match std::fs::symlink_metadata(path) {
        Ok(meta) if meta.permissions().readonly() => 0o555,
        Ok(_) => 0o755,
        Err(_) => 0,
    }
}

/// For the power cut model: sets the read-only attribute.
pub(crate) fn give_mode(path: &Path, mode: u32) -> io::Result<()> {
    let mut permissions = std::fs::symlink_metadata(path)?.permissions();
    permissions.set_readonly(mode & 0o200 == 0);
    std::fs::set_permissions(path, permissions)
}

/// For the power cut model: links are not used on Windows.
pub(crate) fn write_link(_target: &str, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// For the fault twin: the error number of a refusal.
pub(crate) fn refusal_code(refusal: Refusal) -> i32 {
    let code = match refusal {
        Refusal::Medium => ERROR_IO_DEVICE,
        Refusal::NoSpace => ERROR_DISK_FULL,
        Refusal::Quota => ERROR_DISK_QUOTA_EXCEEDED,
        Refusal::Denied => ERROR_ACCESS_DENIED,
        Refusal::Interrupted => ERROR_OPERATION_ABORTED,
        Refusal::ReadOnly => ERROR_WRITE_PROTECT,
    };
    code.cast_signed()
}
