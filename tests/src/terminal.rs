//! Owns a terminal for a program under test, and what is typed into it.

use crate::{Run, Sandbox};

/// For each three arguments: waits for a text, runs a shell command, and types an answer.
const TERMINAL: &str = r#"
import os, pty, subprocess, sys, termios, time
split = sys.argv.index("--")
dialogue, command = sys.argv[1:split], sys.argv[split + 1:]
pid, fd = pty.fork()
if pid == 0:
    os.execv(command[0], command)
seen = b""
def more():
    try:
        data = os.read(fd, 4096)
    except OSError:
        return b""
    sys.stdout.write(data.decode(errors="replace"))
    return data
for text, before, answer in zip(dialogue[::3], dialogue[1::3], dialogue[2::3]):
    while text.encode() not in seen:
        data = more()
        if not data:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            sys.exit("it ended with %d, no %r in %s" % (code, text, seen.decode(errors="replace")))
        seen += data
    seen = seen.split(text.encode(), 1)[1]
    subprocess.run(["/bin/sh", "-ec", before], check=True)
    # Once keys are read one by one: until then Ctrl-C is a signal, and the system shows what is typed.
    patience = time.monotonic() + 10
    while answer and termios.tcgetattr(fd)[3] & termios.ICANON and time.monotonic() < patience:
        time.sleep(0.002)
    os.write(fd, answer.encode())
while more():
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// A run on a terminal of its own, of the program and the arguments that are added to it. `dialogue`: each time a text that is
/// waited for, a shell command (`:` for none), and what is typed then. Everything that it shows is its stdout.
pub fn run(sandbox: &Sandbox, dialogue: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Run {
    let run = sandbox.run("/usr/bin/env").args(["python3", "-c", TERMINAL]);
    run.args(dialogue).arg("--").env("TERM", "xterm")
}

/// What a terminal showed as a person reads it: without codes for colours and the cursor.
pub fn plain(shown: &str) -> String {
    let mut parts = shown.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let end = part
            .find(|c: char| c.is_ascii_alphabetic())
            .map_or(part.len(), |at| at + 1);
        text + &part[end..]
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn codes_are_taken_out_and_words_stay() {
        assert_eq!(
            super::plain("\u{1b}[1;31merror\u{1b}[0m: \u{1b}[?25hno [x]"),
            "error: no [x]"
        );
    }
}
