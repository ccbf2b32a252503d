//! Owns recording and disturbing a program's system calls with `strace`: every one that can change a file system.
//!
//! `strace` counts `when` per call and tracee, so a call is named by its name and its number among the calls of that name
//! which its thread makes; see [`Call::nth`].

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::{Failure, Outcome, ensure, platform};

/// Every call that can change a file system or make a change durable; `?`: not on every machine.
const CALLS: &str = "openat,?open,?creat,?openat2,mkdirat,?mkdir,renameat2,?renameat,?rename,unlinkat,?unlink,?rmdir,\
    linkat,?link,symlinkat,?symlink,mknodat,?mknod,fchmod,fchmodat,?chmod,fchown,fchownat,?chown,?lchown,write,writev,\
    pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,?sendfile,splice,lseek,fsync,fdatasync,\
    sync_file_range,syncfs,sync,ioctl,setxattr,fsetxattr,lsetxattr,utimensat";

/// The result of a call in which its tracee ended.
const ENDED: i64 = i64::MIN;

/// One call, after it returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Process or thread, counted in the order of their first call.
    pub(crate) tracee: usize,
    /// Name.
    pub(crate) name: String,
    /// Which of the calls of this name this tracee makes here, from 1.
    pub(crate) nth: u64,
    /// Arguments as `strace` writes them, all text in hexadecimal.
    pub(crate) raw: String,
    /// The same, readable; long bytes cut.
    pub(crate) args: String,
    /// What it returned; negative for an error, [`ENDED`] if it did not return.
    pub(crate) result: i64,
}

impl Call {
    /// True if it names something in `root`, or has it open.
    pub(crate) fn is_on(&self, root: &Path) -> bool {
        let root = root.to_string_lossy();
        let open = self.args.contains(&format!("<{root}"));
        open || !self.name.contains("write") && self.args.contains(&format!("\"{root}"))
    }

    /// Its arguments without what is another in each run: where the root lies, numbers of descriptors and of transactions, bytes.
    pub(crate) fn shape(&self, root: &Path) -> String {
        let target = self.args.split_once(", \"").map_or(self.args.as_str(), |(fd, _)| fd);
        let text = if self.name.contains("write") {
            target
        } else {
            &self.args
        };
        let text = text.replace(&*root.to_string_lossy(), "");
        let probe = ".kojibox-probe-";
        let mut parts = text.split(probe);
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            text = text + probe + part.get(6..).unwrap_or_default();
        }
        let mut out = String::new();
        for part in text.split_inclusive(['<', '-', '/', '"', '>', ' ', '.']) {
            let (word, end) = part.split_at(part.len() - 1);
            let is_number = end == "<" && word.bytes().all(|b| b.is_ascii_digit());
            let is_random = word.len() == 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
            out.push_str(if is_number || is_random { "#" } else { word });
            out.push_str(end);
        }
        out
    }

    /// True if it makes a file or a directory, or otherwise changes what is on disk or what is durable.
    pub(crate) fn changes(&self) -> bool {
        match self.name.as_str() {
            "lseek" => false,
            "openat" | "open" => self.args.contains("O_CREAT") || self.args.contains("O_TRUNC"),
            "ioctl" => self.args.contains("FICLONE"),
            _ => true,
        }
    }
}

/// A run that nobody disturbed.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    /// Exit code.
    pub(crate) code: i32,
    /// Every traced call, in order.
    pub(crate) all: Vec<Call>,
    /// Those that tell of the root and change something.
    pub(crate) calls: Vec<Call>,
}

fn strace(program: &Command, options: &[&str]) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "signal=none"]).args(options).arg("--");
    command.arg(program.get_program()).args(program.get_args());
    command.env_clear().stdin(Stdio::null());
    for (name, value) in program.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    if let Ok(path) = std::env::var("PATH") {
        command.env("PATH", path);
    }
    if let Some(dir) = program.get_current_dir() {
        command.current_dir(dir);
    }
    command
}

fn ran(mut command: Command) -> Outcome<Output> {
    command.output().map_err(Failure::doing("could not run `strace`"))
}

/// Runs `program` and records its calls; those on `root` are in [`Recorded::calls`].
pub(crate) fn record(program: &Command, root: &Path) -> Outcome<Recorded> {
    let file = tempfile::NamedTempFile::new().map_err(Failure::doing("could not make a file"))?;
    let path = file.path().to_string_lossy().into_owned();
    let trace = format!("trace={CALLS}");
    let output = ran(strace(
        program,
        &["-y", "-xx", "-s", "8000000", "-o", &path, "-e", &trace],
    ))?;
    let text = fs::read_to_string(file.path()).map_err(Failure::doing("could not read what `strace` wrote"))?;
    let all = parse(&text)?;
    ensure(!all.is_empty(), || "`strace` recorded nothing".into())?;
    let ours = |call: &&Call| call.changes() && call.is_on(root);
    let calls = all.iter().filter(ours).cloned().collect();
    Ok(Recorded {
        code: platform::code(output.status),
        all,
        calls,
    })
}

/// Runs `program` and kills it before the `nth` call `name` of a tracee; gives also the calls at which a tracee ended.
pub(crate) fn killing(program: &Command, name: &str, nth: u64) -> Outcome<(Output, Vec<Call>)> {
    let file = tempfile::NamedTempFile::new().map_err(Failure::doing("could not make a file"))?;
    let path = file.path().to_string_lossy().into_owned();
    let (trace, inject) = (
        format!("trace={name}"),
        format!("inject={name}:signal=SIGKILL:when={nth}"),
    );
    let output = ran(strace(
        program,
        &["-y", "-xx", "-s", "400", "-o", &path, "-e", &trace, "-e", &inject],
    ))?;
    let text = fs::read_to_string(file.path()).map_err(Failure::doing("could not read what `strace` wrote"))?;
    let mut calls = parse(&text)?;
    calls.retain(|call| call.result == ENDED);
    Ok((output, calls))
}

/// Runs `program` with one `inject` expression.
pub(crate) fn injecting(program: &Command, inject: &str) -> Outcome<Output> {
    let name = inject.split(':').next().unwrap_or_default();
    let (trace, inject) = (format!("trace={name}"), format!("inject={inject}"));
    ran(strace(program, &["-o", "/dev/null", "-e", &trace, "-e", &inject]))
}

/// The same; tells also whether a call was refused.
pub(crate) fn refusing(program: &Command, inject: &str) -> Outcome<(Output, bool)> {
    let file = tempfile::NamedTempFile::new().map_err(Failure::doing("could not make a file"))?;
    let path = file.path().to_string_lossy().into_owned();
    let name = inject.split(':').next().unwrap_or_default();
    let (trace, inject) = (format!("trace={name}"), format!("inject={inject}"));
    let output = ran(strace(program, &["-s", "0", "-o", &path, "-e", &trace, "-e", &inject]))?;
    let text = fs::read_to_string(file.path()).map_err(Failure::doing("could not read what `strace` wrote"))?;
    Ok((output, text.contains(" (INJECTED)")))
}

/// A program to run with one `inject` expression, for those who do not wait for it.
pub(crate) fn injected(program: &Command, inject: &str) -> Command {
    let name = inject.split(':').next().unwrap_or_default();
    let (trace, inject) = (format!("trace={name}"), format!("inject={inject}"));
    strace(program, &["-o", "/dev/null", "-e", &trace, "-e", &inject])
}

/// True if the program ended as killed: `strace` ends the same way.
pub(crate) fn was_killed(output: &Output) -> bool {
    platform::code(output.status) == 128 + 9
}

fn parse(text: &str) -> Outcome<Vec<Call>> {
    let mut calls = Vec::new();
    let mut tracees: Vec<&str> = Vec::new();
    let mut counts: BTreeMap<(usize, String), u64> = BTreeMap::new();
    let mut unfinished: BTreeMap<&str, String> = BTreeMap::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').unwrap_or_default();
        let rest = rest.trim_start();
        // The last: a thread that waits while the process ends.
        if rest.starts_with("+++") || rest.starts_with("---") || rest.ends_with("<detached ...>") {
            continue;
        }
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(pid, begun.to_owned());
            continue;
        }
        let whole = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let (_, end) = resumed.split_once(" resumed>").unwrap_or_default();
                format!("{}{end}", unfinished.remove(pid).unwrap_or_default())
            }
            None => rest.to_owned(),
        };
        let tracee = tracees.iter().position(|known| *known == pid).unwrap_or_else(|| {
            tracees.push(pid);
            tracees.len() - 1
        });
        let (name, raw, result) = split(&whole)
            .ok_or_else(|| Failure::new(format!("`strace` wrote a line that is not understood: {whole}")))?;
        let nth = counts.entry((tracee, name.clone())).or_default();
        *nth += 1;
        calls.push(Call {
            tracee,
            name,
            nth: *nth,
            args: readable(&raw),
            raw,
            result,
        });
    }
    Ok(calls)
}

/// `name(raw) = result…`; the text inside is hexadecimal, so the first `(` and the last `) = ` are those.
fn split(line: &str) -> Option<(String, String, i64)> {
    let (name, rest) = line.split_once('(')?;
    let (raw, result) = rest.rsplit_once(" = ").map(|(raw, result)| (raw.trim_end(), result))?;
    let raw = raw.strip_suffix(')')?;
    if result.starts_with('?') {
        return Some((name.to_owned(), raw.to_owned(), ENDED));
    }
    let digits: String = result.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    Some((name.to_owned(), raw.to_owned(), digits.parse().unwrap_or(-1)))
}

/// Decodes `\xHH…`; every run of it is cut to its first 400 bytes.
fn readable(raw: &str) -> String {
    let (mut out, mut text) = (String::new(), Vec::new());
    let mut rest = raw;
    while !rest.is_empty() {
        if let Some(byte) = rest
            .strip_prefix("\\x")
            .and_then(|hex| u8::from_str_radix(hex.get(..2)?, 16).ok())
        {
            if text.len() < 400 {
                text.push(byte);
            }
            rest = &rest[4..];
            continue;
        }
        out.push_str(&String::from_utf8_lossy(&std::mem::take(&mut text)));
        let next = rest.chars().next().unwrap_or_default();
        out.push(next);
        rest = &rest[next.len_utf8()..];
    }
    out.push_str(&String::from_utf8_lossy(&text));
    out
}

/// The bytes of `\xHH…`.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    hex.split("\\x")
        .filter_map(|digits| u8::from_str_radix(digits, 16).ok())
        .collect()
}
