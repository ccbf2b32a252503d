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
use crate::{Failure, Outcome, Programs, Story, ensure, units, workspace};

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

/// One layer of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Layer {
    /// Every mutation of the store, in one process
    Store,
    /// The real program killed before every system call
    Kill,
    /// The real program refused at every system call
    Refuse,
    /// Every state that a power cut may leave of the real program's system calls
    Power,
    /// Power cuts of a real ext4 (needs root)
    Ext4,
    /// Commands that meet under `kill -9`
    Together,
    /// Launcher and installer that meet under `kill -9`, with a service that keeps data
    Service,
}

impl Layer {
    /// What it must cover, and how much of it at least.
    fn covers(self, extent: Extent) -> (&'static str, u64) {
        match self {
            Self::Store => ("stops of a recovery", extent.of(1000, 10_000)),
            Self::Kill => ("kills", extent.of(50, 600)),
            Self::Refuse => ("refusals", extent.of(50, 5000)),
            Self::Power => ("different states", extent.of(150, 10_000)),
            Self::Ext4 => ("cuts", extent.of(13, 200)),
            Self::Together => ("interleavings", extent.of(12, 200)),
            Self::Service => ("rounds of launcher and installer", extent.of(5, 100)),
        }
    }
}

/// Runs with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(&cli.output, false);
    kojibox_console::finish(&ui, |ui| {
        let story = Story::new(ui);
        walk(&cli, &story).map_err(|failure| Report::new(Exit::Unexpected, failure))?;
        Ok(Exit::Done)
    })
}

fn walk(cli: &Cli, story: &Story<'_>) -> Outcome {
    let extent = if cli.sample { Extent::Sample } else { Extent::Whole };
    let bench = Bench::new(Programs::locate()?)?;
    for layer in Layer::value_variants() {
        if !cli.layers.is_empty() && !cli.layers.contains(layer) {
            continue;
        }
        let title = layer
            .to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string));
        story.chapter(&title.unwrap_or_default());
        let began = Instant::now();
        let figures = match layer {
            Layer::Store => suite("kojibox-installer", "it", "crash::", extent)?,
            Layer::Kill => kill_everywhere(&bench, extent)?,
            Layer::Refuse => refuse_everywhere(&bench, extent)?,
            Layer::Power => cut_everywhere(&bench, extent)?,
            Layer::Ext4 => cut_real_disks(&bench, extent.of(13, 221))?,
            Layer::Together => {
                let mut figures = name_the_holder(&bench)?;
                figures.merge(interleave(&bench, extent.of(12, 200))?);
                figures
            }
            Layer::Service => suite("kojibox-tests", "demo", "meet::", extent)?,
        };
        // A violation ends the walk; too little covered would mean that nothing was looked for.
        let (what, at_least) = layer.covers(extent);
        ensure(figures.get(what) >= at_least, || {
            format!("{what}: expected at least {at_least}, got {figures}")
        })?;
        story.found(&format!("{figures}; no violation; {}", units::time(began.elapsed())));
    }
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
