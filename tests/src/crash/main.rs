//! Owns `cargo crash-matrix`: every layer of the proof, whole, with its figures and times.

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use clap::{Parser, ValueEnum};
use kojibox_console::{Exit, OutputArgs, Report, Ui};

use super::{
    Bench, Extent, Figures, cut_everywhere, cut_real_disks, interleave, kill_everywhere, name_the_holder,
    refuse_everywhere,
};
use crate::{Failure, Outcome, Programs, Story, ensure, platform, units, workspace};

/// Walk the whole crash matrix: in the process, from outside, power cuts of a model and of ext4, commands that meet
#[derive(Debug, Parser)]
#[command(name = "cargo crash-matrix", version)]
struct Cli {
    /// Only these layers
    #[arg(value_enum)]
    layers: Vec<Layer>,
    /// A bounded part of each, as it runs with the tests
    #[arg(long)]
    sample: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// One layer of the proof. What needs root is the last, so that the others are walked without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layer {
    /// Every mutation of the store, in one process
    Store,
    /// The real program killed before every system call
    Kill,
    /// The real program refused at every system call
    Refuse,
    /// Power cuts after every system call of the real program: every state that may be left, or a selection of very many
    Power,
    /// Commands that meet under `kill -9`
    Together,
    /// Launcher and installer that meet under `kill -9`, with a service that keeps data
    Service,
    /// Power cuts of a real ext4 (needs root)
    Ext4,
}

impl Layer {
    fn title(self) -> String {
        let value = self.to_possible_value();
        value
            .and_then(|value| value.get_help().map(ToString::to_string))
            .unwrap_or_default()
    }

    fn walk(self, bench: &Bench, extent: Extent) -> Outcome<Figures> {
        match self {
            Self::Store => suite("kojibox-installer", "it", "crash::", extent),
            Self::Kill => kill_everywhere(bench, extent),
            Self::Refuse => refuse_everywhere(bench, extent),
            Self::Power => cut_everywhere(bench, extent),
            Self::Together => {
                let mut figures = name_the_holder(bench)?;
                figures.merge(interleave(bench, extent)?);
                Ok(figures)
            }
            Self::Service => suite("kojibox-tests", "demo", "meet::", extent),
            Self::Ext4 => cut_real_disks(bench, extent),
        }
    }

    /// What it must have covered, and how much of it at least, where it does not see to that itself.
    fn floors(self, extent: Extent) -> Vec<(&'static str, u64)> {
        match self {
            Self::Store => vec![("stops of a recovery", extent.of(1000, 10_000))],
            Self::Kill => vec![("kills", extent.of(50, 1000))],
            Self::Refuse => vec![("refusals", extent.of(50, 7000))],
            Self::Service => vec![("rounds of launcher and installer", extent.of(8, 100))],
            Self::Power | Self::Together | Self::Ext4 => Vec::new(),
        }
    }

    /// Those of its figures that count roots which were disturbed and judged.
    fn points(self) -> &'static [&'static str] {
        match self {
            Self::Store => &[
                "stops",
                "stops of a recovery",
                "refusals",
                "refusals of a recovery",
                "disks after a power cut",
                "disks after a power cut in a recovery",
                "schedules of two workers with the mutations of one",
                "seeded ends with two workers",
            ],
            Self::Kill => &["kills", "kills at another thread's call"],
            Self::Refuse => &["refusals"],
            Self::Power => &["states recovered from"],
            Self::Together => &["interleavings"],
            Self::Service => &["rounds of launcher and installer"],
            Self::Ext4 => &["cuts"],
        }
    }
}

/// Runs with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(&cli.output, false);
    kojibox_console::finish(&ui, |ui| {
        let told = |failure| Report::new(Exit::Unexpected, failure);
        let (layers, left_out) = asked(&cli);
        if left_out {
            ui.warn("The layer `ext4` is left out: its disks are mounted, which needs root.");
        }
        walk(&cli, &layers, &Story::new(ui)).map_err(told)?;
        ensure(!left_out, || {
            "the layer `ext4` was left out, because it needs root".into()
        })
        .map_err(told)?;
        Ok(Exit::Done)
    })
}

/// The layers to walk, and whether one that was asked for cannot be.
fn asked(cli: &Cli) -> (Vec<Layer>, bool) {
    let all = Layer::value_variants().iter().copied();
    let asked = all.filter(|layer| cli.layers.is_empty() || cli.layers.contains(layer));
    let (out, walked): (Vec<_>, Vec<_>) = asked.partition(|layer| *layer == Layer::Ext4 && !platform::is_root());
    (walked, !out.is_empty())
}

/// Walks the layers; a violation ends it, and too little covered is one: it would mean that nothing was looked for.
fn walk(cli: &Cli, layers: &[Layer], story: &Story<'_>) -> Outcome {
    let extent = if cli.sample { Extent::Sample } else { Extent::Whole };
    let bench = Bench::new(Programs::locate()?)?;
    let mut points = 0;
    for layer in layers {
        story.chapter(&layer.title());
        let began = Instant::now();
        let figures = layer.walk(&bench, extent)?;
        for (what, at_least) in layer.floors(extent) {
            figures.expect(what, at_least)?;
        }
        points += layer.points().iter().map(|what| figures.get(what)).sum::<u64>();
        story.found(&format!("{figures}; no violation; {}", units::time(began.elapsed())));
    }
    let (walked, all) = (layers.len(), Layer::value_variants().len());
    story.end(&format!("{points} points, in {walked} of {all} layers."));
    Ok(())
}

/// What runs as a suite of tests; the figures that it prints are added up.
fn suite(package: &str, test: &str, filter: &str, extent: Extent) -> Outcome<Figures> {
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--release", "--package", package, "--test", test]);
    command.args([filter, "--", "--nocapture", "--test-threads", "2"]);
    command.env("KOJIBOX_MATRIX", extent.of("sample", "full"));
    let output = command
        .current_dir(workspace())
        .output()
        .map_err(Failure::doing("could not run cargo"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(output.status.success(), || {
        format!("{said}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    let mut figures = Figures::default();
    for line in said.lines() {
        let told = line.split_once(": ").and_then(|(_, told)| told.split_once(' '));
        if let Some((Ok(n), what)) = told.map(|(n, what)| (n.parse::<u64>(), what)) {
            figures.add(what, n);
        }
    }
    Ok(figures)
}
