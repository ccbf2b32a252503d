//! Owns a small, bounded reader of ELF files: which loader a program names, which libraries and symbol versions it needs,
//! and where it looks for them.
//!
//! Only what the loader itself uses is read (program headers, the dynamic section, `DT_VERNEED`), so stripped section
//! headers and patched files are no obstacle. Every offset is checked against the file, every count has a limit.
//!
//! *Limitations*: 64-bit little-endian files; others are reported as foreign.
//!
//! Source: System V ABI, "Program Header" and "Dynamic Section"; Linux Standard Base, "Symbol Versioning".

use kojibox_packs::{Arch, Os, Target};

const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_STRSZ: u64 = 10;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const DT_VERNEED: u64 = 0x6fff_fffe;
const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
/// A reference that the loader only warns about.
const VER_FLG_WEAK: u16 = 2;

const MAX_PROGRAM_HEADERS: u16 = 512;
const MAX_VERSIONS: usize = 4096;
const MAX_NEEDED: usize = 1024;

/// What the loader would look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf {
    /// Machine it is made for.
    pub machine: Machine,
    /// Loader it names; absent in libraries and static programs.
    pub interpreter: Option<String>,
    /// Symbol versions it cannot do without, as `(library, version)`.
    pub versions: Vec<(String, String)>,
    /// It has a dynamic section: the loader does something for it.
    pub dynamic: bool,
    /// Libraries that it names, in their order.
    pub needed: Vec<String>,
    /// What a library is asked for as.
    pub soname: Option<String>,
    /// Where its libraries are looked for: `DT_RUNPATH`, or `DT_RPATH` where there is none.
    pub runpath: Option<String>,
}

impl Elf {
    /// What a file for `machine` is before anything of it was read.
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            interpreter: None,
            versions: Vec::new(),
            dynamic: false,
            needed: Vec::new(),
            soname: None,
            runpath: None,
        }
    }
}

/// Machine an ELF file is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit Intel and AMD.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
    /// Any other, which is not looked into.
    Foreign,
}

impl Machine {
    /// The machine of `target`; None: it has no ELF files.
    pub fn of(target: Target) -> Option<Self> {
        match target {
            Target::On { os: Os::Linux, arch } => Some(match arch {
                Arch::X86_64 => Self::X86_64,
                Arch::Aarch64 => Self::Aarch64,
            }),
            _ => None,
        }
    }
}

/// The file begins like ELF but is cut short or lies about something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// Reads `file`; `None` if it is not ELF at all.
pub fn read(file: &[u8]) -> Result<Option<Elf>, Broken> {
    if file.len() < 20 || !file.starts_with(b"\x7fELF") {
        return Ok(None);
    }
    let ident = slice(file, 0, 20)?;
    let machine = match (ident[4], ident[5], u16_at(ident, 18)) {
        (2, 1, EM_X86_64) => Machine::X86_64,
        (2, 1, EM_AARCH64) => Machine::Aarch64,
        _ => Machine::Foreign,
    };
    let mut elf = Elf::new(machine);
    if machine == Machine::Foreign {
        return Ok(Some(elf));
    }
    let segments = Segments::read(file)?;
    if let Some(interp) = segments.first(PT_INTERP) {
        let bytes = slice(file, interp.offset, interp.size)?;
        elf.interpreter = Some(text(bytes, 0)?.to_owned());
    }
    if let Some(dynamic) = segments.first(PT_DYNAMIC) {
        let bytes = slice(file, dynamic.offset, dynamic.size)?;
        let dynamic = Dynamic::parse(bytes)?;
        elf.dynamic = true;
        dynamic.names(file, &segments, &mut elf)?;
        elf.versions = needed_versions(file, &segments, &dynamic)?;
    }
    Ok(Some(elf))
}

/// A program header, as far as it matters here.
#[derive(Clone, Copy)]
struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

struct Segments(Vec<Segment>);

impl Segments {
    fn read(file: &[u8]) -> Result<Self, Broken> {
        let header = slice(file, 0, 64)?;
        let (offset, entry, count) = (u64_at(header, 32), u16_at(header, 54), u16_at(header, 56));
        if count > MAX_PROGRAM_HEADERS || (count > 0 && entry < 56) {
            return Err(Broken);
        }
        let table = slice(file, offset, u64::from(entry) * u64::from(count))?;
        Ok(Self(
            table
                .chunks_exact(usize::from(entry).max(1))
                .map(|h| Segment {
                    kind: u32_at(h, 0),
                    offset: u64_at(h, 8),
                    address: u64_at(h, 16),
                    size: u64_at(h, 32),
                })
                .collect(),
        ))
    }

    fn first(&self, kind: u32) -> Option<&Segment> {
        self.0.iter().find(|s| s.kind == kind)
    }

    /// Where in the file an address is loaded from, and how many bytes follow there.
    fn file_range(&self, address: u64) -> Option<(u64, u64)> {
        self.0.iter().filter(|s| s.kind == PT_LOAD).find_map(|s| {
            let into = address.checked_sub(s.address).filter(|into| *into < s.size)?;
            Some((s.offset.checked_add(into)?, s.size - into))
        })
    }
}

/// Entries of the dynamic section that say where names and versions are.
#[derive(Default)]
struct Dynamic {
    strings: Option<u64>,
    strings_size: u64,
    needs: Option<u64>,
    needs_count: u64,
    libraries: Vec<u64>,
    soname: Option<u64>,
    rpath: Option<u64>,
    runpath: Option<u64>,
}

impl Dynamic {
    fn parse(bytes: &[u8]) -> Result<Self, Broken> {
        let mut dynamic = Self::default();
        for entry in bytes.chunks_exact(16) {
            let value = u64_at(entry, 8);
            match u64_at(entry, 0) {
                0 => break,
                DT_STRTAB => dynamic.strings = Some(value),
                DT_STRSZ => dynamic.strings_size = value,
                DT_NEEDED if dynamic.libraries.len() == MAX_NEEDED => return Err(Broken),
                DT_NEEDED => dynamic.libraries.push(value),
                DT_SONAME => dynamic.soname = Some(value),
                DT_RPATH => dynamic.rpath = Some(value),
                DT_RUNPATH => dynamic.runpath = Some(value),
                DT_VERNEED => dynamic.needs = Some(value),
                DT_VERNEEDNUM => dynamic.needs_count = value,
                _ => {}
            }
        }
        Ok(dynamic)
    }

    /// Fills in the names that the section itself refers to.
    fn names(&self, file: &[u8], segments: &Segments, elf: &mut Elf) -> Result<(), Broken> {
        let Some(strings) = self.strings else { return Ok(()) };
        let strings = table(file, segments, strings, self.strings_size)?;
        let name = |at: u64| text(strings, usize::try_from(at).map_err(|_| Broken)?).map(str::to_owned);
        elf.needed = self.libraries.iter().map(|at| name(*at)).collect::<Result<_, _>>()?;
        elf.soname = self.soname.map(name).transpose()?;
        elf.runpath = self.runpath.or(self.rpath).map(name).transpose()?;
        Ok(())
    }
}

/// At most `most` bytes from an address, as far as its segment and the file have them.
fn table<'f>(file: &'f [u8], segments: &Segments, address: u64, most: u64) -> Result<&'f [u8], Broken> {
    let (offset, left) = segments.file_range(address).ok_or(Broken)?;
    let in_file = (file.len() as u64).saturating_sub(offset);
    slice(file, offset, most.min(left).min(in_file))
}

fn needed_versions(file: &[u8], segments: &Segments, dynamic: &Dynamic) -> Result<Vec<(String, String)>, Broken> {
    let (Some(strings), Some(needs)) = (dynamic.strings, dynamic.needs) else {
        return Ok(Vec::new());
    };
    let strings = table(file, segments, strings, dynamic.strings_size)?;
    // The size of this table is nowhere written; it cannot be longer than its segment.
    let needs = table(file, segments, needs, u64::MAX)?;
    let name = |at: u32| text(strings, at as usize).map(str::to_owned);
    let mut versions = Vec::new();
    let mut at = 0;
    for _ in 0..dynamic.needs_count {
        let need = field(needs, at)?;
        let library = name(u32_at(need, 4))?;
        let mut aux_at = step(at, u32_at(need, 8))?;
        for _ in 0..u16_at(need, 2) {
            let aux = field(needs, aux_at)?;
            if u16_at(aux, 4) & VER_FLG_WEAK == 0 {
                versions.push((library.clone(), name(u32_at(aux, 8))?));
            }
            if versions.len() > MAX_VERSIONS {
                return Err(Broken);
            }
            aux_at = step(aux_at, u32_at(aux, 12))?;
        }
        match u32_at(need, 12) {
            0 => break,
            next => at = step(at, next)?,
        }
    }
    Ok(versions)
}

fn step(at: usize, by: u32) -> Result<usize, Broken> {
    at.checked_add(by as usize).ok_or(Broken)
}

/// The 16 bytes of a version record.
fn field(bytes: &[u8], at: usize) -> Result<&[u8], Broken> {
    at.checked_add(16).and_then(|end| bytes.get(at..end)).ok_or(Broken)
}

/// `len` bytes at `offset`, if the file has them.
fn slice(file: &[u8], offset: u64, len: u64) -> Result<&[u8], Broken> {
    let start = usize::try_from(offset).map_err(|_| Broken)?;
    let len = usize::try_from(len).map_err(|_| Broken)?;
    start
        .checked_add(len)
        .and_then(|end| file.get(start..end))
        .ok_or(Broken)
}

/// The zero-terminated text at `at`.
fn text(bytes: &[u8], at: usize) -> Result<&str, Broken> {
    let rest = bytes.get(at..).ok_or(Broken)?;
    let end = rest.iter().position(|b| *b == 0).ok_or(Broken)?;
    std::str::from_utf8(&rest[..end]).map_err(|_| Broken)
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(b[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(b: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::{Broken, Elf, Machine, read};

    const INTERP: &[u8] = b"/lib64/ld-linux-x86-64.so.2\0";
    const BASE: u64 = 0x40_0000;

    /// A program with one loadable segment that holds everything, and one needed version per entry of `versions`.
    fn sample(versions: &[(&str, u16)]) -> Vec<u8> {
        let mut strings = b"\0libc.so.6\0".to_vec();
        let mut needs = Vec::new();
        for (i, (version, flags)) in versions.iter().enumerate() {
            let name = u32::try_from(strings.len()).unwrap();
            strings.extend(version.bytes());
            strings.push(0);
            let next: u32 = if i + 1 == versions.len() { 0 } else { 16 };
            needs.extend(0u32.to_le_bytes());
            needs.extend(flags.to_le_bytes());
            needs.extend(0u16.to_le_bytes());
            needs.extend(name.to_le_bytes());
            needs.extend(next.to_le_bytes());
        }
        let mut need = Vec::new();
        need.extend(1u16.to_le_bytes());
        need.extend(u16::try_from(versions.len()).unwrap().to_le_bytes());
        need.extend([1u32, 16, 0].map(u32::to_le_bytes).concat());
        need.extend(needs);

        let at_interp = 64 + 3 * 56;
        let at_strings = at_interp + INTERP.len() as u64;
        let at_needs = at_strings + strings.len() as u64;
        let at_dynamic = at_needs + need.len() as u64;
        let size = strings.len() as u64;
        let names = [(1, 1), (14, 1), (15, 0), (29, 1)];
        let versions = [(0x6fff_fffe, BASE + at_needs), (0x6fff_ffff, 1)];
        let tables = [(5, BASE + at_strings), (10, size)];
        let entries = names.into_iter().chain(tables).chain(versions).chain([(0, 0)]);
        let dynamic: Vec<u8> = entries
            .flat_map(|(tag, value): (u64, u64)| [tag, value].map(u64::to_le_bytes).concat())
            .collect();
        let total = at_dynamic + dynamic.len() as u64;

        let mut out = b"\x7fELF\x02\x01\x01".to_vec();
        out.resize(16, 0);
        out.extend([3u16, 62].map(u16::to_le_bytes).concat());
        out.extend(1u32.to_le_bytes());
        out.extend([BASE, 64, 0].map(u64::to_le_bytes).concat());
        out.extend(0u32.to_le_bytes());
        out.extend([64u16, 56, 3, 0, 0, 0].map(u16::to_le_bytes).concat());
        for (kind, at, len) in [
            (1u32, 0, total),
            (3, at_interp, INTERP.len() as u64),
            (2, at_dynamic, dynamic.len() as u64),
        ] {
            out.extend(kind.to_le_bytes());
            out.extend(4u32.to_le_bytes());
            out.extend([at, BASE + at, BASE + at, len, len, 8].map(u64::to_le_bytes).concat());
        }
        out.extend(INTERP);
        out.extend(strings);
        out.extend(need);
        out.extend(dynamic);
        out
    }

    #[test]
    fn names_the_loader_the_libraries_and_the_versions_that_are_not_weak() {
        let bytes = sample(&[("GLIBC_2.17", 0), ("GLIBC_2.34", 2), ("GLIBC_2.28", 0)]);
        let libc = |v: &str| ("libc.so.6".to_owned(), v.to_owned());
        assert_eq!(
            read(&bytes).unwrap(),
            Some(Elf {
                interpreter: Some("/lib64/ld-linux-x86-64.so.2".to_owned()),
                versions: vec![libc("GLIBC_2.17"), libc("GLIBC_2.28")],
                dynamic: true,
                needed: vec!["libc.so.6".to_owned()],
                soname: Some("libc.so.6".to_owned()),
                runpath: Some("libc.so.6".to_owned()),
                ..Elf::new(Machine::X86_64)
            })
        );
    }

    #[test]
    fn every_cut_and_every_flipped_byte_ends_without_a_panic() {
        let bytes = sample(&[("GLIBC_2.17", 0), ("GLIBC_2.28", 0)]);
        for len in 64..bytes.len() {
            assert_eq!(read(&bytes[..len]), Err(Broken), "cut at {len}");
        }
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] ^= flip;
                drop(read(&bad));
            }
        }
        assert!(read(b"#!/bin/sh\n12345678901234567890").unwrap().is_none());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn agrees_with_the_program_that_runs_this_test() {
        let me = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = read(&me).unwrap().unwrap();
        assert!(elf.interpreter.is_some());
        assert!(elf.versions.iter().any(|(_, v)| v.starts_with("GLIBC_2.")), "{elf:?}");
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"), "{elf:?}");
    }
}
