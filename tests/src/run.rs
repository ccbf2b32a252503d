//! Owns [`Run`]: one command of a program and what must come of it.
//!
//! Strict unless said otherwise: it must end with 0 in time, leave stdout empty, and say nothing of errors, warnings,
//! panics or terminal codes on stderr. A failing command must say `error: …` in the house form and nothing on stdout.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Failure, Outcome, failure::ensure, platform};

/// One command, not yet run.
#[derive(Debug)]
#[must_use = "a run that is not run proves nothing"]
pub struct Run {
    pub(crate) prefix: Vec<OsString>,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) cwd: PathBuf,
    pub(crate) env: Vec<(OsString, OsString)>,
    pub(crate) scratch: PathBuf,
    exit: i32,
    says: Vec<String>,
    silent_about: Vec<String>,
    answers: bool,
    warns: bool,
    errors: usize,
    timeout: Duration,
    stdin: Vec<u8>,
    signals: Vec<(Duration, &'static str)>,
}

/// A command that ended as expected.
#[derive(Clone, Debug)]
pub struct Done {
    /// The answer.
    pub stdout: String,
    /// What was said to people.
    pub stderr: String,
    /// Wall clock time.
    pub took: Duration,
}

impl Run {
    pub(crate) fn new(program: PathBuf, cwd: PathBuf, scratch: PathBuf) -> Self {
        Self {
            prefix: Vec::new(),
            program,
            args: Vec::new(),
            cwd,
            env: Vec::new(),
            scratch,
            exit: 0,
            says: Vec::new(),
            silent_about: Vec::new(),
            answers: false,
            warns: false,
            errors: 1,
            timeout: Duration::from_mins(2),
            stdin: Vec::new(),
            signals: Vec::new(),
        }
    }

    /// Runs `program` instead.
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable; nothing is inherited.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Works in `dir`.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = dir.into();
        self
    }

    /// Must end with `exit`.
    pub fn fails(mut self, exit: i32) -> Self {
        self.exit = exit;
        self
    }

    /// Must say `text` on stderr.
    pub fn says(mut self, text: impl Into<String>) -> Self {
        self.says.push(text.into());
        self
    }

    /// Must not say `text` anywhere.
    pub fn silent_about(mut self, text: impl Into<String>) -> Self {
        self.silent_about.push(text.into());
        self
    }

    /// Must tell `count` errors when it fails, instead of one: a definition has all its mistakes told at once.
    pub fn errors(mut self, count: usize) -> Self {
        self.errors = count;
        self
    }

    /// May warn.
    pub fn warns(mut self) -> Self {
        self.warns = true;
        self
    }

    /// Must end within `timeout` instead of two minutes.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Gets `text` on stdin instead of nothing.
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    /// Gets `signal` (a name without `SIG`) after `delay` from its start, unless it has ended; repeat in order of time.
    pub fn signal_after(mut self, delay: Duration, signal: &'static str) -> Self {
        self.signals.push((delay, signal));
        self
    }

    /// Runs it in a mount namespace of its own, after the shell script `script`, which gets `dir` as `$0` and ends with
    /// `exec "$@"`.
    pub fn in_mounts(mut self, script: &str, dir: &Path) -> Self {
        let mut words: Vec<OsString> = platform::own_mounts().into_iter().map(OsString::from).collect();
        words.extend(["/bin/sh", "-c", script].map(OsString::from));
        words.push(dir.into());
        words.append(&mut self.prefix);
        self.prefix = words;
        self
    }

    /// What it says to people goes into `file` too, where it can be read while it runs.
    pub fn also_into(mut self, file: &Path) -> Self {
        let script = r#"exec "$@" 2> >(exec tee -i "$0" >&2)"#;
        let mut words: Vec<OsString> = ["/bin/bash", "-c", script].map(OsString::from).into();
        words.push(file.into());
        words.append(&mut self.prefix);
        self.prefix = words;
        self
    }

    /// Starts it and goes on once it has begun; it is ended with the value that comes back.
    pub fn start(self) -> Outcome<Started> {
        let started = self.start_at_once()?;
        // Until it has begun; what it does then is the test's to see.
        thread::sleep(Duration::from_millis(300));
        Ok(started)
    }

    /// Starts it and goes on; it is ended, as by a kill, with the value that comes back.
    pub fn start_at_once(self) -> Outcome<Started> {
        let files = Streams::make(&self.scratch)?;
        let child = self.spawn(&files)?;
        Ok(Started { child, _files: files })
    }

    /// Runs it; stdout must stay empty.
    pub fn go(self) -> Outcome<Done> {
        let run = self.end()?;
        run.check()
    }

    /// Runs it; stdout holds the answer.
    pub fn answer(mut self) -> Outcome<Done> {
        self.answers = true;
        self.end()?.check()
    }

    /// Runs it with `--json`; stdout holds one JSON document and nothing else.
    pub fn json(mut self) -> Outcome<serde_json::Value> {
        self.args.push("--json".into());
        let done = self.answer()?;
        serde_json::from_str(&done.stdout).map_err(Failure::doing(format!(
            "stdout is not one JSON document: `{}`",
            done.stdout
        )))
    }

    /// Runs it and gives back the exit code with what was said, whatever it was.
    pub fn any(self) -> Outcome<(i32, Done)> {
        let ended = self.end()?;
        Ok((ended.code, ended.done))
    }

    /// The command as a person would type it.
    pub fn line(&self) -> String {
        let quote = |word: &OsStr| {
            let word = word.to_string_lossy();
            let plain = !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_./=:@,+".contains(&b));
            if plain { word.into_owned() } else { format!("'{word}'") }
        };
        let words = [self.program.as_os_str()]
            .into_iter()
            .chain(self.args.iter().map(OsString::as_os_str));
        words.map(quote).collect::<Vec<_>>().join(" ")
    }

    fn end(self) -> Outcome<Ended> {
        let files = Streams::make(&self.scratch)?;
        let started = Instant::now();
        let mut child = self.spawn(&files)?;
        let code = self.wait(&mut child, started);
        let took = started.elapsed();
        let (stdout, stderr) = files.read()?;
        let done = Done { stdout, stderr, took };
        let transcript = self.transcript(code, &done);
        match code {
            Some(code) => Ok(Ended {
                run: self,
                code,
                done,
                transcript,
            }),
            None => Err(Failure::new(format!("it was still running after {:?}", self.timeout)).with(&transcript)),
        }
    }

    fn spawn(&self, files: &Streams) -> Outcome<Child> {
        let mut words = self
            .prefix
            .iter()
            .map(OsString::as_os_str)
            .chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .args(&self.args)
            .current_dir(&self.cwd)
            .env_clear()
            .envs(self.env.iter().map(|(k, v)| (k, v)));
        command.stdin(if self.stdin.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        });
        command.stdout(
            files
                .out
                .try_clone()
                .map_err(Failure::doing("could not share a file"))?,
        );
        command.stderr(
            files
                .err
                .try_clone()
                .map_err(Failure::doing("could not share a file"))?,
        );
        platform::own_group(&mut command);
        let mut child = command
            .spawn()
            .map_err(Failure::doing(format!("could not run `{}`", self.line())))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its stdin shows in what it says.
            drop(stdin.write_all(&self.stdin));
        }
        Ok(child)
    }

    /// None: it had to be killed.
    fn wait(&self, child: &mut Child, started: Instant) -> Option<i32> {
        let mut signals = self.signals.iter().peekable();
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(platform::code(status));
            }
            if let Some((_, name)) = signals.next_if(|(delay, _)| started.elapsed() >= *delay) {
                drop(platform::signal_group(child, name));
            }
            if started.elapsed() > self.timeout {
                drop(platform::signal_group(child, "KILL"));
                drop(child.wait());
                return None;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn transcript(&self, code: Option<i32>, done: &Done) -> String {
        let code = code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        let took = crate::units::time(done.took);
        let mut text = format!("$ {}\n", self.line());
        for (name, stream) in [("stdout", &done.stdout), ("stderr", &done.stderr)] {
            if !stream.is_empty() {
                text.push_str(&format!("--- {name}\n{stream}").replace('\u{1b}', "␛"));
                if !stream.ends_with('\n') {
                    text.push('\n');
                }
            }
        }
        text + &format!("--- exit {code} after {took}")
    }
}

/// A command that runs beside the test.
#[derive(Debug)]
pub struct Started {
    child: Child,
    _files: Streams,
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(platform::signal_group(&self.child, "KILL"));
        drop(self.child.wait());
    }
}

/// A command that has ended, not yet judged.
struct Ended {
    run: Run,
    code: i32,
    done: Done,
    transcript: String,
}

impl Ended {
    fn check(self) -> Outcome<Done> {
        self.judge().map_err(|failure| failure.with(&self.transcript))?;
        Ok(self.done)
    }

    fn judge(&self) -> Outcome {
        let (run, done) = (&self.run, &self.done);
        ensure(self.code == run.exit, || {
            format!("expected exit {}, got {}", run.exit, self.code)
        })?;
        for text in &run.says {
            ensure(done.stderr.contains(text), || format!("expected `{text}` on stderr"))?;
        }
        for text in &run.silent_about {
            let said = done.stderr.contains(text) || done.stdout.contains(text);
            ensure(!said, || format!("expected nothing of `{text}`"))?;
        }
        ensure(run.answers || done.stdout.is_empty(), || {
            "expected an empty stdout".into()
        })?;
        ensure(!done.stderr.contains("panicked at"), || "it panicked".into())?;
        ensure(!done.stderr.contains('\u{1b}'), || {
            "terminal codes without a terminal".into()
        })?;
        let lines = |label: &str| done.stderr.lines().filter(|line| line.starts_with(label)).count();
        ensure(run.warns || lines("warning:") == 0, || "expected no warning".into())?;
        if run.exit == 0 {
            return ensure(lines("error:") == 0, || {
                "an error was told, but the exit code is 0".into()
            });
        }
        self.judge_error()
    }

    /// The house form: `error: …`, lower case, no period at its end.
    fn judge_error(&self) -> Outcome {
        let lines = self.done.stderr.lines().filter_map(|line| line.strip_prefix("error: "));
        let lines: Vec<&str> = lines.collect();
        let expected = self.run.errors;
        ensure(lines.len() == expected, || {
            format!("expected {expected} line(s) `error: …`, got {}", lines.len())
        })?;
        lines.into_iter().try_for_each(|line| {
            ensure(!line.starts_with(char::is_uppercase), || {
                "an error starts in lower case".into()
            })?;
            ensure(!line.ends_with('.'), || "an error has no period at its end".into())
        })
    }
}

/// Files that take what a program says; pipes would be held open by a daemon that stays.
#[derive(Debug)]
struct Streams {
    dir: tempfile::TempDir,
    out: File,
    err: File,
}

impl Streams {
    fn make(scratch: &Path) -> Outcome<Self> {
        let doing = || Failure::doing(format!("could not make a file in `{}`", scratch.display()));
        let dir = tempfile::Builder::new()
            .prefix("run-")
            .tempdir_in(scratch)
            .map_err(doing())?;
        let out = File::create(dir.path().join("out")).map_err(doing())?;
        let err = File::create(dir.path().join("err")).map_err(doing())?;
        Ok(Self { dir, out, err })
    }

    fn read(&self) -> Outcome<(String, String)> {
        let read = |name: &str| {
            let path = self.dir.path().join(name);
            let bytes = fs::read(&path).map_err(Failure::doing(format!("could not read `{}`", path.display())))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok((read("out")?, read("err")?))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use super::Run;

    fn sh(script: &str) -> Run {
        let temp = std::env::temp_dir();
        Run::new("/bin/sh".into(), temp.clone(), temp)
            .args(["-c", script])
            .env("PATH", "/usr/bin:/bin")
    }

    /// Why the run was refused; panics if it was not.
    fn refused(run: Run) -> String {
        run.go().expect_err("the harness must notice").to_string()
    }

    #[test]
    fn silence_and_zero_pass() {
        sh("echo going on >&2").says("going on").go().unwrap();
        assert_eq!(sh("echo 4").answer().unwrap().stdout, "4\n");
        assert_eq!(sh("echo '{\"a\":4}'; :").json().unwrap()["a"], 4);
        sh("echo 'error: no `x`' >&2; exit 24")
            .fails(24)
            .says("no `x`")
            .go()
            .unwrap();
    }

    #[test]
    fn everything_else_is_noticed() {
        for (script, why) in [
            ("exit 3", "expected exit 0, got 3"),
            ("echo x", "expected an empty stdout"),
            ("echo 'warning: x' >&2", "expected no warning"),
            ("echo 'error: x' >&2", "but the exit code is 0"),
            ("echo 'thread main panicked at x' >&2", "it panicked"),
            ("printf '\\033[1m' >&2", "terminal codes"),
        ] {
            let said = refused(sh(script));
            assert!(said.starts_with(why) || said.contains(why), "{script}: {said}");
        }
        for (script, why) in [
            ("exit 0", "expected exit 24, got 0"),
            (
                "echo 'no house form' >&2; exit 24",
                "expected 1 line(s) `error: …`, got 0",
            ),
            ("echo 'error: Upper' >&2; exit 24", "lower case"),
            ("echo 'error: period.' >&2; exit 24", "no period"),
        ] {
            assert!(refused(sh(script).fails(24)).contains(why), "{script}");
        }
        assert!(refused(sh("exit 0").says("hello")).contains("expected `hello`"));
    }

    #[test]
    fn what_hangs_is_killed_and_what_is_signalled_ends() {
        let said = refused(sh("echo begun >&2; sleep 60").within(Duration::from_millis(200)));
        assert!(said.contains("still running") && said.contains("begun"), "{said}");
        let (code, _) = sh("sleep 60")
            .signal_after(Duration::from_millis(50), "INT")
            .any()
            .unwrap();
        assert_eq!(code, 130);
    }
}
