//! Owns how a long run is told: chapters, the commands as a person would type them, what was found, how long it took.

use std::{
    cell::Cell,
    path::Path,
    time::{Duration, Instant},
};

use kojibox_console::Ui;

use crate::{Done, Outcome, Run, units};

/// Tells a long run on stderr, chapter by chapter.
#[derive(Debug)]
pub struct Story<'a> {
    ui: &'a Ui,
    chapter: Cell<u32>,
    began: Instant,
}

impl<'a> Story<'a> {
    /// Begins to tell through `ui`.
    pub fn new(ui: &'a Ui) -> Self {
        Self {
            ui,
            chapter: Cell::new(0),
            began: Instant::now(),
        }
    }

    /// Begins a chapter.
    pub fn chapter(&self, title: &str) {
        self.chapter.set(self.chapter.get() + 1);
        self.ui.heading(&format!("{}. {title}", self.chapter.get()));
    }

    /// Does `work` and says how long it took.
    pub fn timed<T>(&self, what: &str, work: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let began = Instant::now();
        let done = work()?;
        self.command(what, began.elapsed());
        Ok(done)
    }

    /// Runs `run`, shown with paths below `base` shortened.
    pub fn run(&self, base: &Path, run: Run) -> Outcome<Done> {
        let line = shorten(&run.line(), base);
        let done = run.answer()?;
        self.command(&line, done.took);
        Ok(done)
    }

    /// Says what was found.
    pub fn found(&self, text: &str) {
        self.ui.status(&format!("   {text}"));
    }

    /// Prints the answer on stdout.
    pub fn answer(&self, text: &str) {
        self.ui.answer(text);
    }

    /// Ends the story with `text` and how long everything took.
    pub fn end(&self, text: &str) {
        let took = units::time(self.began.elapsed());
        self.ui.heading(&format!("{text} Everything held, in {took}."));
    }

    fn command(&self, line: &str, took: Duration) {
        self.ui.status(&format!("   $ {line}   ({})", units::time(took)));
    }
}

/// Makes a command line short enough to read: programs by name, paths relative to the place.
fn shorten(line: &str, base: &Path) -> String {
    let work = base.join("work");
    let mut line = line.to_owned();
    for (long, short) in [(work.join(""), ""), (base.join("bin").join(""), ""), (work, ".")] {
        line = line.replace(&*long.to_string_lossy(), short);
    }
    // What was quoted only for its place needs no quotes any more.
    line.split('\'').enumerate().map(|(i, part)| requote(i, part)).collect()
}

fn requote(i: usize, part: &str) -> String {
    if i % 2 == 1 && part.contains(' ') {
        format!("'{part}'")
    } else {
        part.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    #[test]
    fn a_command_line_is_shown_as_one_would_type_it_there() {
        let line = "'/tmp/k é 1/bin/kojibox-packer' build '/tmp/k é 1/work/demo/stack-1.toml' --title 'a b' --depot '/tmp/k é 1/work'";
        assert_eq!(
            super::shorten(line, Path::new("/tmp/k é 1")),
            "kojibox-packer build demo/stack-1.toml --title 'a b' --depot ."
        );
    }
}
