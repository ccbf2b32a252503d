//! Black box: nothing can be lost. A bounded sample of `cargo crash-matrix`, the same each time.
#![cfg(target_os = "linux")]

use kojibox_tests::{
    Outcome, Programs,
    crash::{self, Bench, Extent, Figures},
    ensure,
};

fn bench() -> Outcome<Bench> {
    Bench::new(Programs::locate()?)
}

/// The figures are the result; too small ones would mean that nothing was tested.
#[expect(clippy::print_stdout, reason = "the figures of the sample are its result")]
fn told(figures: &Figures, what: &str, at_least: u64) -> Outcome {
    println!("{figures}");
    ensure(figures.get(what) >= at_least, || {
        format!("{what}: expected {at_least}, got {figures}")
    })
}

#[test]
fn a_program_that_is_killed_before_a_system_call_loses_nothing() -> Outcome {
    told(&crash::kill_everywhere(&bench()?, Extent::Sample)?, "kills", 50)
}

#[test]
fn a_program_that_is_refused_a_system_call_loses_nothing() -> Outcome {
    told(&crash::refuse_everywhere(&bench()?, Extent::Sample)?, "refusals", 50)
}

#[test]
fn a_power_cut_leaves_no_state_that_cannot_be_recovered() -> Outcome {
    told(
        &crash::cut_everywhere(&bench()?, Extent::Sample)?,
        "states recovered from",
        150,
    )
}

#[test]
fn commands_that_meet_under_kill_leave_a_consistent_root() -> Outcome {
    told(&crash::interleave(&bench()?, Extent::Sample)?, "interleavings", 24)
}

#[test]
fn the_one_that_works_is_named_and_its_death_frees_the_lock() -> Outcome {
    told(&crash::name_the_holder(&bench()?)?, "that named the holder", 6)
}
