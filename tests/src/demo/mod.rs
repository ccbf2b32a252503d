//! Owns the demo: from nothing to a running stack, an update, a return from a broken release, and nothing again.
//!
//! Every step drives the real programs and checks what came of it; the first expectation that does not hold ends the
//! demo with 1 and shows the whole command. It works in a temporary place, needs no network but for crates that cargo
//! has not fetched yet, and leaves nothing behind unless `--keep` asks for it.

mod guestbook;
mod machine;
mod publisher;

use std::process::ExitCode;

use clap::Parser;
use kojibox_console::{Exit, OutputArgs, Report, Ui};

use crate::{Network, Outcome, Programs, Sandbox, Story, platform};
use machine::Machine;
use publisher::Release;

/// Build everything and walk the whole way: keys, pack, stick, install, run, update, return, uninstall
#[derive(Debug, Parser)]
#[command(name = "cargo demo", version)]
struct Cli {
    /// Leave it installed and running after the update, and say where
    #[arg(long)]
    keep: bool,
    /// Open the running service in the browser
    #[arg(long)]
    open: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the demo with the arguments of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let ui = Ui::new(&cli.output, false);
    kojibox_console::finish(&ui, |ui| {
        let story = Story::new(ui);
        tell(&cli, &story).map_err(|failure| Report::new(Exit::Unexpected, failure))?;
        Ok(Exit::Done)
    })
}

fn tell(cli: &Cli, story: &Story<'_>) -> Outcome {
    let programs = build(story)?;
    let sandbox = Sandbox::with(&programs, Network::Host)?;
    publisher::make_keys(story, &sandbox)?;
    publisher::release(story, &sandbox, Release::One)?;
    publisher::lay_out_stick(story, &sandbox)?;

    let machine = Machine::new(&sandbox)?;
    machine.install(story)?;
    let book = machine.guest_book()?;
    story.found(&format!("Guest book {} answers at {}", book.version()?, book.address()));
    if cli.open && !platform::open_browser(&book.address()) {
        story.found("There is no browser to open it in.");
    }
    book.sign("Ani", "The first note, written in version 1.")?;
    story.found("A visitor signs it.");

    publisher::release(story, &sandbox, Release::Two)?;
    publisher::lay_out_stick(story, &sandbox)?;
    machine.update(story)?;
    machine.expect_release_two(story)?;

    publisher::release_launcher(story, &sandbox)?;
    machine.self_update(story)?;

    if cli.keep {
        sandbox.keep();
        return machine.leave_running(story);
    }
    publisher::release(story, &sandbox, Release::Three)?;
    publisher::lay_out_stick(story, &sandbox)?;
    machine.refuse_release_three(story)?;
    machine.verify(story)?;
    machine.uninstall(story)?;
    sandbox.expect_no_survivors()?;
    story.end("Nothing was left behind.");
    Ok(())
}

/// Brings the release programs up to date, one status line each.
fn build(story: &Story<'_>) -> Outcome<Programs> {
    story.chapter("Build the programs");
    if std::env::var_os("KOJIBOX_BIN_DIR").is_some() {
        return Programs::locate();
    }
    let programs = Programs::of_this_build()?;
    let release = !cfg!(debug_assertions);
    for package in crate::programs::PACKAGES {
        story.timed(&format!("cargo build --package {package}"), || {
            programs.build(&[package], release)
        })?;
    }
    // Not `locate`: building the whole workspace after its packages would compile most of them again, with other features.
    Programs::at(programs.dir().to_owned())
}
