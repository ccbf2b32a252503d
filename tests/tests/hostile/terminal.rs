//! Owns a terminal for a program under test, and what is typed into it.

use kojibox_tests::{Run, Sandbox};

/// For each three arguments: waits for a text, runs a shell command, and types an answer.
const TERMINAL: &str = r#"
import os, pty, subprocess, sys
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
            sys.exit("no %r in %s" % (text, seen.decode(errors="replace")))
        seen += data
    seen = seen.split(text.encode(), 1)[1]
    subprocess.run(["/bin/sh", "-ec", before], check=True)
    os.write(fd, answer.encode())
while more():
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// A run on a terminal of its own, of the program and the arguments that are added to it. `dialogue`: each time a text that is
/// waited for, a shell command (`:` for none), and what is typed then.
pub(crate) fn run(sandbox: &Sandbox, dialogue: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Run {
    let run = sandbox.run("/usr/bin/env").args(["python3", "-c", TERMINAL]);
    run.args(dialogue).arg("--").env("TERM", "xterm")
}
