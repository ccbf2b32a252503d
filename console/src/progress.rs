//! Owns progress: one bar per phase on a terminal, plain lines elsewhere, nothing when quiet.

use std::{
    io::{self, Write as _},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::escape;

/// Seconds without a plain line after which the next progress is told, however small it is.
const SILENCE: u64 = 30;

/// What a phase counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Things,
}

/// Where a phase shows itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Style {
    Hidden,
    Lines,
    Bar { color: bool },
}

/// A piece of long work; may be fed from several threads.
#[derive(Debug)]
#[must_use = "a phase is finished with `finish`, or its bar stays"]
pub struct Phase {
    style: Style,
    unit: Unit,
    label: String,
    total: Option<u64>,
    done: AtomicU64,
    /// Tenths already told as plain lines.
    told: AtomicU64,
    /// Seconds from the start to the last plain line.
    spoke: AtomicU64,
    started: Instant,
    bar: ProgressBar,
}

impl Phase {
    pub(crate) fn start(style: Style, unit: Unit, label: &str, total: Option<u64>) -> Self {
        let label = escape(label).into_owned();
        let bar = match style {
            Style::Bar { color } => new_bar(unit, &label, total, color),
            Style::Hidden | Style::Lines => ProgressBar::hidden(),
        };
        let phase = Self {
            style,
            unit,
            label,
            total,
            done: AtomicU64::new(0),
            told: AtomicU64::new(0),
            spoke: AtomicU64::new(0),
            started: Instant::now(),
            bar,
        };
        if matches!(style, Style::Lines) {
            let of = total.map(|t| format!(" {}", phase.amount(t))).unwrap_or_default();
            tell(&format!("{}{of} …", phase.label));
        }
        phase
    }

    /// Counts `n` more bytes or things.
    pub fn add(&self, n: u64) {
        let done = self.done.fetch_add(n, Ordering::Relaxed) + n;
        self.bar.inc(n);
        if let (Style::Lines, Some(total)) = (self.style, self.total)
            && total > 0
        {
            let tenth = (u128::from(done) * 10 / u128::from(total)).min(9) as u64;
            // Long work is told by tenths, at most once each; short work only by its end.
            let elapsed = self.started.elapsed();
            if elapsed <= Duration::from_secs(2) {
                return;
            }
            let now = elapsed.as_secs();
            if self.told.fetch_max(tenth, Ordering::Relaxed) < tenth {
                self.spoke.store(now, Ordering::Relaxed);
                tell(&format!("{} {}0 % of {}", self.label, tenth, self.amount(total)));
            } else if now >= self.spoke.load(Ordering::Relaxed) + SILENCE
                && self.spoke.swap(now, Ordering::Relaxed) < now
            {
                // A tenth takes long on a slow medium, which must not look as if nothing happened.
                tell(&format!(
                    "{} {} of {}",
                    self.label,
                    self.amount(done),
                    self.amount(total)
                ));
            }
        }
    }

    /// Shows `text` behind the bar, e.g. the file at hand.
    pub fn message(&self, text: &str) {
        self.bar.set_message(escape(text).into_owned());
    }

    /// Ends the phase and says what came of it.
    pub fn finish(&self, text: &str) {
        self.bar.finish_and_clear();
        if matches!(self.style, Style::Hidden) {
            return;
        }
        let text = if text.is_empty() {
            self.summary()
        } else {
            escape(text).into_owned()
        };
        tell(&text);
    }

    /// What was counted, how long it took and how fast it was.
    pub fn summary(&self) -> String {
        let done = self.done.load(Ordering::Relaxed);
        let secs = self.started.elapsed().as_secs_f64();
        let rate = match self.unit {
            Unit::Bytes if secs >= 0.1 => format!(", {}/s", bytes(rate(done, secs))),
            _ => String::new(),
        };
        format!("{}: {} in {secs:.1} s{rate}", self.label, self.amount(done))
    }

    fn amount(&self, n: u64) -> String {
        match self.unit {
            Unit::Bytes => bytes(n),
            Unit::Things => n.to_string(),
        }
    }
}

impl Drop for Phase {
    fn drop(&mut self) {
        // A phase that failed leaves no half bar above the error.
        if !self.bar.is_finished() {
            self.bar.finish_and_clear();
        }
    }
}

/// Size with a binary unit and one decimal: `512 B`, `1.5 MiB`.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate for people"
)]
fn rate(n: u64, secs: f64) -> u64 {
    (n as f64 / secs) as u64
}

fn new_bar(unit: Unit, label: &str, total: Option<u64>, color: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(10));
    let fill = if color { "{bar:24.green}" } else { "{bar:24}" };
    let template = match (unit, total) {
        (Unit::Bytes, Some(_)) => format!(
            "{{prefix:22}} {fill} {{binary_bytes:>10}} of {{binary_total_bytes}}  {{binary_bytes_per_sec}}  {{eta}} left  {{wide_msg}}"
        ),
        (Unit::Bytes, None) => {
            "{prefix:22} {spinner} {binary_bytes:>10}  {binary_bytes_per_sec}  {wide_msg}".to_owned()
        }
        (Unit::Things, Some(_)) => format!("{{prefix:22}} {fill} {{pos:>6}} of {{len}}  {{wide_msg}}"),
        (Unit::Things, None) => "{prefix:22} {spinner} {pos:>6}  {wide_msg}".to_owned(),
    };
    bar.set_style(
        ProgressStyle::with_template(&template)
            .expect("the templates above are valid")
            .progress_chars("=> "),
    );
    bar.set_prefix(label.to_owned());
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn tell(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_carry_their_unit() {
        let shown = [0, 1023, 1024, 1536, 1_048_575, 1_048_576, 5 << 30].map(super::bytes);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.0 MiB", "5.0 GiB"]
        );
    }
}
