//! Owns a whole program for Linux in some two hundred bytes: it says one line and ends well. As a launcher it passes any
//! self-check, and it is small enough to be in thousands of install roots.
//!
//! Source: the ELF-64 object file format, "ELF header" and "Program header"; the system call tables of x86-64 and arm64.

use crate::pack::host_target;

/// Where the program is mapped.
const BASE: u64 = 0x40_0000;
/// Header of the file and of its one segment.
const HEADERS: u64 = 64 + 56;

/// A program for this machine that writes `says` and ends with 0; `rest` stands in its bytes and is never looked at by it.
pub fn program(says: &str, rest: &str) -> Vec<u8> {
    let len = u32::try_from(says.len()).expect("one line");
    let (machine, code) = if host_target().ends_with("aarch64") {
        (183, arm(len))
    } else {
        (62, x86(len))
    };
    let mut bytes = headers(machine, code.len() + says.len());
    bytes.extend(code);
    bytes.extend(says.bytes());
    bytes.extend(rest.bytes());
    bytes
}

/// One segment, readable and executable, that begins with the file.
fn headers(machine: u64, len: usize) -> Vec<u8> {
    let size = HEADERS + len as u64;
    // Bytes of each field, and what is in it.
    let fields: [(usize, u64); 21] = [
        // An executable of this machine: where it begins, where its segment is told; no flags.
        (2, 2),
        (2, machine),
        (4, 1),
        (8, BASE + HEADERS),
        (8, 64),
        (8, 0),
        (4, 0),
        // Length of this header, of one segment's; how many segments; the same for sections, of which there are none.
        (2, 64),
        (2, 56),
        (2, 1),
        (2, 64),
        (2, 0),
        (2, 0),
        // The segment: to be loaded, may be read and executed; from the start of the file, to the base, all of it, by pages.
        (4, 1),
        (4, 5),
        (8, 0),
        (8, BASE),
        (8, BASE),
        (8, size),
        (8, size),
        (8, 0x1000),
    ];
    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for (bytes, value) in fields {
        out.extend(&value.to_le_bytes()[..bytes]);
    }
    out
}

/// `write(1, behind the code, len)`, `exit(0)`.
fn x86(len: u32) -> Vec<u8> {
    let mut code = vec![0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0];
    // lea rsi, [rip + 16]: what follows until the end of the code.
    code.extend([0x48, 0x8d, 0x35, 16, 0, 0, 0]);
    code.push(0xba);
    code.extend(len.to_le_bytes());
    code.extend([0x0f, 0x05]);
    code.extend([0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]);
    code
}

/// The same for arm64.
fn arm(len: u32) -> Vec<u8> {
    let set = |register: u32, value: u32| 0xd280_0000 | (value << 5) | register;
    let (call, behind) = (0xd400_0001_u32, 28_u32);
    // adr x1: from its own place, the second of eight instructions, to behind the last.
    let address = 0x1000_0000 | ((behind >> 2) << 5) | 1;
    let code = [
        set(0, 1),
        address,
        set(2, len),
        set(8, 64),
        call,
        set(0, 0),
        set(8, 93),
        call,
    ];
    code.into_iter().flat_map(u32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use crate::platform;

    #[test]
    fn it_says_its_line_and_ends_well() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        fs::write(&path, super::program("{\"version\":\"9.0.0\"}\n", "a rest\n")).unwrap();
        platform::make_program(&path).unwrap();
        let output = Command::new(&path).arg("self-check").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"{\"version\":\"9.0.0\"}\n");
    }
}
