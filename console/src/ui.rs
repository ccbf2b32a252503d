//! Owns [`Ui`]: the one value through which a program speaks. Answers go to stdout, everything for people to stderr.
//!
//! This is the only place that looks at the terminal and at `NO_COLOR`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;

use crate::{
    Report, Spelling,
    args::{Color, OutputArgs},
    escape,
    progress::{Phase, Unit},
};

/// Speaks for one run of a program.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one terminal")]
pub struct Ui {
    color: bool,
    json: bool,
    level: Level,
    progress: bool,
    interactive: bool,
    answered: AtomicBool,
    spelling: OnceLock<Spelling>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Quiet,
    Normal,
    Verbose,
}

#[derive(Clone, Copy)]
enum Tone {
    Bold,
    Green,
    Red,
    Yellow,
}

impl Ui {
    /// Looks at the terminal once and keeps what it found.
    pub fn new(args: &OutputArgs, json: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let level = match (args.quiet, args.verbose) {
            (true, _) => Level::Quiet,
            (false, 0) => Level::Normal,
            (false, _) => Level::Verbose,
        };
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            color: match args.color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => terminal && !no_color,
            },
            json,
            level,
            progress: terminal && level == Level::Normal && !args.no_progress,
            interactive: terminal && io::stdin().is_terminal(),
            answered: AtomicBool::new(false),
            spelling: OnceLock::new(),
        }
    }

    /// From now on notes, warnings and hints tell commands as they are typed here. The first spelling stays.
    pub fn spell(&self, spelling: Spelling) {
        drop(self.spelling.set(spelling));
    }

    fn spelled(&self, text: &str) -> String {
        self.spelling.get().map_or_else(|| text.to_owned(), |s| s.apply(text))
    }

    /// True if a person can be asked.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// True if stdout carries one JSON document.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// True if details are wanted.
    pub fn is_verbose(&self) -> bool {
        self.level == Level::Verbose
    }

    /// True if colour may be used.
    pub fn has_color(&self) -> bool {
        self.color
    }

    /// Says what happens, a full sentence with a period.
    pub fn status(&self, text: &str) {
        if self.level > Level::Quiet {
            self.tell("", text);
        }
    }

    /// Says that something is done, with a green mark on a colour terminal.
    pub fn done(&self, text: &str) {
        if self.level > Level::Quiet {
            let mark = self.paint("done", Tone::Green);
            self.tell(&format!("{mark}: "), text);
        }
    }

    /// Shows a heading of a longer answer for people.
    pub fn heading(&self, text: &str) {
        if self.level > Level::Quiet {
            let text = escape(text);
            self.raw(&format!("\n{}\n", self.paint(&text, Tone::Bold)));
        }
    }

    /// Adds a detail, shown with `--verbose`.
    pub fn detail(&self, text: &str) {
        if self.level == Level::Verbose {
            self.tell("", text);
        }
    }

    /// Adds something worth knowing.
    pub fn note(&self, text: &str) {
        if self.level > Level::Quiet {
            self.tell("note: ", &self.spelled(text));
        }
    }

    /// Warns; shown even when quiet.
    pub fn warn(&self, text: &str) {
        let label = self.paint("warning", Tone::Yellow);
        self.tell(&format!("{label}: "), &self.spelled(text));
    }

    /// Prints a line of the answer on stdout.
    pub fn answer(&self, text: &str) {
        self.answered.store(true, Ordering::Relaxed);
        let mut out = io::stdout().lock();
        // A reader that went away (`| head`) is no failure of ours.
        drop(writeln!(out, "{text}"));
    }

    /// Prints `value` on stdout as the one JSON document of this run, or as one line of a stream.
    pub fn json(&self, value: &impl Serialize) {
        let text = serde_json::to_string(value).expect("documents of ours have string keys and no failing parts");
        self.answer(&text);
    }

    /// Starts a phase that counts bytes.
    pub fn bytes(&self, label: &str, total: Option<u64>) -> Phase {
        Phase::start(self.phase_style(), Unit::Bytes, label, total)
    }

    /// Starts a phase that counts things.
    pub fn count(&self, label: &str, total: Option<u64>) -> Phase {
        Phase::start(self.phase_style(), Unit::Things, label, total)
    }

    /// Tells a failure: on stderr for people, and with `--json` on stdout unless the answer is out already.
    pub fn report(&self, report: Report) {
        let report = report.spelled(|hint| self.spelled(hint));
        let text = report.render();
        let text = match text.strip_prefix("error: ") {
            Some(rest) if self.color => format!("{}: {rest}", self.paint("error", Tone::Red)),
            _ => text,
        };
        self.raw(&text);
        if self.json && !self.answered.load(Ordering::Relaxed) {
            self.json(&report.to_json());
        }
    }

    fn phase_style(&self) -> crate::progress::Style {
        use crate::progress::Style;
        match self.level {
            Level::Quiet => Style::Hidden,
            _ if self.progress => Style::Bar { color: self.color },
            _ => Style::Lines,
        }
    }

    fn tell(&self, label: &str, text: &str) {
        let mut out = String::new();
        for line in text.lines() {
            out.push_str(label);
            out.push_str(&escape(line));
            out.push('\n');
        }
        self.raw(&out);
    }

    #[expect(
        clippy::unused_self,
        reason = "speaking goes through the value, so that a caller without one cannot speak"
    )]
    fn raw(&self, text: &str) {
        // Nobody is left to be told when stderr is gone.
        drop(io::stderr().lock().write_all(text.as_bytes()));
    }

    fn paint(&self, text: &str, tone: Tone) -> String {
        let code = match tone {
            Tone::Bold => "1",
            Tone::Green => "32",
            Tone::Red => "1;31",
            Tone::Yellow => "33",
        };
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
