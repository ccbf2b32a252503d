//! What transactions do when nothing stops them, and what they refuse.

use std::{fs, path::PathBuf, sync::atomic::Ordering};

use kojibox_installer::transaction::{Cause, FindingKind, Situation, recover, verify};
use kojibox_state::{
    CrashPoint, GenerationState,
    layout::place,
    receipts::TxOutcome,
    store::{Fault, FaultPlan},
};

use crate::{
    machine::{Machine, overwrite},
    reference::{active_release, check_at_rest, check_finished, give_data},
    rig::{FakeGate, ROOT16, Tree, app, launcher, noise, plan, web},
};

#[test]
fn a_first_install_leaves_a_whole_confirmed_generation_and_its_evidence() {
    let machine = Machine::new();
    let pack = machine.release(1);
    let done = machine.install(&pack).unwrap();
    assert_eq!((done.generation, done.previous, done.started), (1, None, true));
    assert_eq!(machine.world.gate.calls(), ["up 1"]);
    give_data(&machine.root);
    check_finished(&machine.root, Some(1), "first install");
    let root = machine.open();
    assert!(root.pointer().unwrap().unwrap().confirmed);
    assert_eq!(root.manifest(&pack.manifest.digest()).unwrap().pack, "demo");
    let history = root.history().unwrap();
    let receipt = &history[0].0;
    assert_eq!(
        (receipt.outcome, receipt.from, receipt.to),
        (TxOutcome::Done, None, Some(1))
    );
    assert_eq!(receipt.packs[0].digest, pack.manifest.digest());
    assert_eq!(receipt.verdicts[0].outcome, "passed");
    assert!(receipt.bytes.read > 0);
    let floors = root.floors().unwrap().unwrap();
    assert_eq!(floors.packs[&format!("{ROOT16}/demo")].sequence, 1_000_000);
}

#[cfg(unix)]
#[test]
fn installed_files_are_read_only_and_keep_their_kind() {
    use std::os::unix::fs::PermissionsExt as _;
    let machine = Machine::having(&[1]);
    let mode = |file| {
        fs::metadata(machine.installed("app", file))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777
    };
    assert_eq!((mode("bin/run"), mode("lib/changes.bin")), (0o555, 0o444));
    let alias = fs::read_link(machine.installed("app", "lib/alias")).unwrap();
    assert_eq!(alias, PathBuf::from("stays.bin"));
    assert!(machine.installed("app", "var").is_dir());
    let read = |file| fs::read(machine.installed("app", file)).unwrap();
    assert!(read("lib/twin.bin") == read("lib/stays.bin") && read("lib/empty").is_empty());
}

#[test]
fn an_update_reads_only_what_is_new() {
    let machine = Machine::new();
    let big = |n: u8| app(n).file("share/large.bin", 0o644, noise(3, 300_000));
    let pack = |n| machine.stick.pack(n, &[big(n), web(), launcher(n)]);
    machine.install(&pack(1)).unwrap();
    give_data(&machine.root);
    let done = machine.install(&pack(2)).unwrap();
    assert!(
        done.bytes.reused >= 305_000,
        "unchanged files are taken from release 1: {:?}",
        done.bytes
    );
    assert!(
        done.bytes.read < 20_000,
        "frames that nobody needs are not read: {:?}",
        done.bytes
    );
    assert_eq!(machine.world.gate.calls(), ["up 1", "down 1", "up 2"]);
    check_finished(&machine.root, Some(2), "update");
    let trees = machine.open().dir().list(&place::components()).unwrap();
    assert_eq!(trees.len(), 5, "two of app, two launchers, one web for both");
}

#[test]
fn a_changed_file_of_the_old_tree_is_not_carried_over() {
    let machine = Machine::having(&[1]);
    overwrite(&machine.installed("app", "lib/stays.bin"), &noise(8, 5000));
    machine.install(&machine.release(2)).unwrap();
    let seen = verify(&machine.open(), Some(2), &machine.world.env()).unwrap();
    assert_eq!(seen.findings, []);
}

#[test]
fn a_shared_tree_that_is_damaged_stops_an_update_before_anything_is_written() {
    let machine = Machine::having(&[1]);
    fs::remove_file(machine.installed("web", "index.html")).unwrap();
    let refused = machine.install(&machine.release(2)).unwrap_err();
    assert!(
        matches!(refused.cause(), Cause::Damaged { generation: 1, .. }),
        "{refused}"
    );
    assert_eq!(*refused.situation(), Situation::Untouched { active: Some(1) });
    assert_eq!(machine.open().history().unwrap().len(), 1);
}

/// One component of 40 files of 64 KiB: what an interruption at 90 % costs.
#[test]
fn an_interrupted_install_goes_on_from_the_verified_files() {
    let machine = Machine::new();
    let tree = (0..40).fold(Tree::new("app", "1.0.0"), |tree, n| {
        tree.file(&format!("f{n:02}"), 0o644, noise(n + 1, 64 << 10))
    });
    let pack = machine.stick.pack(1, &[tree]);
    let blob = pack.manifest.components[0].blob.size;
    let whole = Machine::new();
    let all = whole.stopped(&plan(&pack), None, None);
    let staging = all - 40; // What follows the last file: records, names, pointer, receipt.
    let at = staging * 9 / 10;
    let fault = FaultPlan {
        at,
        fault: Fault::TornKill,
        lasting: false,
    };
    machine.stopped(&plan(&pack), Some(fault), None);
    let recovered = recover(&mut machine.locked(), &machine.world.env()).unwrap();
    assert!(recovered.kept > 0, "{recovered:?}");
    let done = machine.install(&pack).unwrap();
    assert!(
        done.bytes.read * 100 <= blob * 15,
        "{:?} of {blob} are read again",
        done.bytes
    );
    assert!(done.bytes.resumed * 100 >= blob * 85, "{:?}", done.bytes);
    give_data(&machine.root);
    check_at_rest(&machine.root, "resumed");
}

#[test]
fn a_refusing_gate_returns_to_the_generation_before_and_marks_the_new_one() {
    let machine = Machine::with(FakeGate::refusing(2));
    machine.install(&machine.release(1)).unwrap();
    give_data(&machine.root);
    let refused = machine.install(&machine.release(2)).unwrap_err();
    assert_eq!(refused.to_string(), "generation 2 did not become ready");
    assert_eq!(
        refused.situation().to_string(),
        "rolled back; generation 1 is active and ready; generation 2 is kept, marked bad"
    );
    assert_eq!(machine.world.gate.calls(), ["up 1", "down 1", "up 2", "down 2", "up 1"]);
    check_finished(&machine.root, Some(1), "returned");
    let again = machine.rollback(Some(2), true).unwrap_err();
    assert!(matches!(again.cause(), Cause::MarkedBad { generation: 2, .. }));
    let last = machine.open().history().unwrap().pop().unwrap().0;
    assert_eq!((last.outcome, last.to), (TxOutcome::Returned, Some(1)));
    assert!(last.reason.unwrap().contains("app: connection refused"));
    assert_eq!(
        machine.open().floors().unwrap().unwrap().packs[&format!("{ROOT16}/demo")].sequence,
        1_000_000
    );
}

#[test]
fn a_first_install_that_is_refused_is_kept_without_a_pointer() {
    let machine = Machine::with(FakeGate::refusing(1));
    let refused = machine.install(&machine.release(1)).unwrap_err();
    assert_eq!(
        refused.situation().to_string(),
        "no generation is active; generation 1 is kept, marked bad"
    );
    let root = machine.open();
    assert_eq!(root.pointer().unwrap(), None);
    assert_eq!(root.generations().unwrap()[0].state, GenerationState::Bad);
    assert_eq!(machine.prune(2).generations, [1]);
    let next = machine.install(&machine.stick.pack(3, &[app(3), launcher(3)])).unwrap();
    assert_eq!(next.generation, 2, "a number is not used twice");
}

#[test]
fn an_unproven_generation_is_not_what_an_automatic_return_goes_to() {
    let machine = Machine::with(FakeGate::refusing(3));
    machine.install(&machine.release(1)).unwrap();
    give_data(&machine.root);
    machine.stopped(&plan(&machine.release(2)), None, Some(CrashPoint::Committed));
    recover(&mut machine.locked(), &machine.world.env()).unwrap();
    assert_eq!(active_release(&machine.root), Some(2), "committed, not confirmed");
    machine.install(&machine.release(3)).unwrap_err();
    assert_eq!(active_release(&machine.root), Some(1));
    check_finished(&machine.root, Some(1), "returned over an unproven one");
}

#[test]
fn a_start_after_an_interrupted_commit_confirms() {
    let machine = Machine::having(&[1]);
    machine.stopped(&plan(&machine.release(2)), None, Some(CrashPoint::Committed));
    recover(&mut machine.locked(), &machine.world.env()).unwrap();
    assert_eq!(
        machine.open().generations().unwrap()[1].state,
        GenerationState::Unconfirmed
    );
    assert!(machine.locked().confirm().unwrap());
    assert!(!machine.locked().confirm().unwrap(), "once is enough");
    assert_eq!(machine.open().generations().unwrap()[1].state, GenerationState::Active);
}

#[test]
fn without_a_start_the_commit_confirms_and_nothing_is_started() {
    let machine = Machine::new();
    let mut plan = plan(&machine.release(1));
    plan.start = false;
    assert!(!machine.carry_out(&plan).unwrap().started);
    assert!(machine.world.gate.calls().is_empty());
    assert!(machine.open().pointer().unwrap().unwrap().confirmed);
}

#[test]
fn a_rollback_needs_no_medium_and_can_be_taken_back() {
    let machine = Machine::having(&[1, 2]);
    fs::remove_dir_all(machine.stick.dir.path()).unwrap();
    let done = machine.rollback(None, false).unwrap();
    assert_eq!((done.from, done.to), (2, 1));
    check_finished(&machine.root, Some(1), "back");
    machine.rollback(None, false).unwrap();
    check_finished(&machine.root, Some(2), "forth");
    let refused = machine.rollback(Some(7), false).unwrap_err();
    assert!(matches!(refused.cause(), Cause::NoGeneration(7)));
}

#[test]
fn a_rollback_to_a_damaged_generation_is_refused() {
    let machine = Machine::having(&[1]);
    let victim = machine.installed("app", "lib/changes.bin");
    machine.install(&machine.release(2)).unwrap();
    overwrite(&victim, &noise(99, 1000));
    let refused = machine.rollback(None, false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "generation 1 is damaged: component `app`: `lib/changes.bin` is changed"
    );
    assert_eq!(active_release(&machine.root), Some(2));
}

#[test]
fn an_older_data_format_needs_agreement() {
    let machine = Machine::new();
    let pack = |n, format| machine.stick.pack(n, &[app(n).data_format(format), launcher(n)]);
    machine.install(&pack(1, "16")).unwrap();
    machine.install(&pack(2, "18")).unwrap();
    let refused = machine.rollback(None, false).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "generation 1 reads an older data format: `app` goes back from data format `18` to `16`: what was written since \
         2026-11-21T00:00:00Z will be missing; it is kept in `data/app/18.aside-1`"
    );
    assert_eq!(*refused.situation(), Situation::Untouched { active: Some(2) });
    let back = machine.rollback(None, true).unwrap();
    assert_eq!(back.formats[0].kept_in.as_deref(), Some("data/app/18.aside-1"));
    let forward = machine.rollback(None, false).unwrap();
    assert_eq!(
        (forward.to, forward.formats.len()),
        (2, 0),
        "forward takes nothing away"
    );
}

#[test]
fn data_that_was_not_left_cleanly_is_in_the_way_of_a_move_only() {
    let machine = Machine::with(FakeGate::killing(1));
    let pack = |n, format| machine.stick.pack(n, &[app(n).data_format(format), launcher(n)]);
    machine.install(&pack(1, "16")).unwrap();
    let refused = machine.install(&pack(2, "18")).unwrap_err();
    assert!(
        matches!(refused.cause(), Cause::NotClean { generation: 1, .. }),
        "{refused}"
    );
    let Situation::Undone { active, kept, down } = *refused.situation() else {
        panic!("{refused:?}");
    };
    assert_eq!((active, kept > 0, down), (Some(1), true, false));
    assert_eq!(
        machine.world.gate.calls()[1..],
        ["down 1", "up 1"],
        "the version that can repair its data runs again"
    );
    let receipt = machine.open().history().unwrap().pop().unwrap().0;
    assert!(
        receipt.reason.as_ref().unwrap().contains("`app`: it was killed"),
        "{receipt:?}"
    );

    machine.install(&pack(3, "16")).unwrap();
    let receipt = machine.open().history().unwrap().pop().unwrap().0;
    assert_eq!(
        receipt.notes,
        ["service `app` of generation 1 did not stop cleanly: it was killed"]
    );
    assert_eq!(active_release(&machine.root), Some(3));
}

#[test]
fn a_withdrawn_pack_needs_agreement() {
    let machine = Machine::having(&[1]);
    let one = machine.open().current().unwrap().unwrap().packs[0].digest;
    let mut next = plan(&machine.release(2));
    next.trust.floors.revoked.insert(one);
    machine.carry_out(&next).unwrap();
    let refused = machine.rollback(None, false).unwrap_err();
    assert!(matches!(refused.cause(), Cause::Revoked { generation: 1, .. }));
    assert_eq!(machine.rollback(None, true).unwrap().to, 1);
}

#[test]
fn verify_names_what_is_changed_missing_and_extra_on_any_number_of_threads() {
    let mut machine = Machine::having(&[1]);
    overwrite(&machine.installed("app", "lib/changes.bin"), &noise(99, 1000));
    overwrite(&machine.installed("app", "lib/twin.bin"), b"short");
    fs::remove_file(machine.installed("app", "only-in-1.txt")).unwrap();
    fs::write(machine.installed("web", "index.html").with_file_name("new.html"), "x").unwrap();
    let mut results = Vec::new();
    for threads in [1, 2, 8] {
        machine.world.threads = threads;
        results.push(verify(&machine.open(), None, &machine.world.env()).unwrap());
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    let told: Vec<_> = results[0]
        .findings
        .iter()
        .map(|f| (f.component.as_str(), f.path.as_str(), f.kind.clone()))
        .collect();
    let expected = [
        ("app", "lib/changes.bin", FindingKind::Changed),
        ("app", "lib/twin.bin", FindingKind::Changed),
        ("app", "only-in-1.txt", FindingKind::Missing),
        ("web", "new.html", FindingKind::Extra),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_cancelled_install_is_undone() {
    let machine = Machine::having(&[1]);
    machine.world.cancel.store(true, Ordering::Relaxed);
    let ended = machine.install(&machine.release(2)).unwrap_err();
    assert!(matches!(ended.cause(), Cause::Cancelled));
    machine.world.cancel.store(false, Ordering::Relaxed);
    check_at_rest(&machine.root, "cancelled");
    assert_eq!(machine.world.gate.calls(), ["up 1"], "nothing was stopped");
}

#[test]
fn a_medium_that_goes_away_leaves_the_old_generation_and_the_staged_files() {
    let machine = Machine::having(&[1]);
    let two = machine.release(2);
    let launcher = two
        .manifest
        .components
        .iter()
        .find(|c| c.id != "app" && c.id != "web")
        .unwrap();
    fs::remove_file(machine.stick.dir.path().join("blobs").join(&launcher.blob.name)).unwrap();
    let ended = machine.install(&two).unwrap_err();
    assert!(matches!(ended.cause(), Cause::Read { component, .. } if component == "kojibox-launcher"));
    let told = ended.situation().to_string();
    assert!(
        told.ends_with("that were staged are kept for the next attempt; generation 1 stays active"),
        "{told}"
    );
    check_at_rest(&machine.root, "medium gone");
    let done = machine.install(&machine.release(2)).unwrap();
    assert!(done.bytes.resumed > 0, "{:?}", done.bytes);
}

#[test]
fn packs_that_stay_need_no_medium() {
    let machine = Machine::having(&[1]);
    let mut next = plan(&machine.release(1));
    next.packs[0].source = None;
    next.packs[0].components.remove("web");
    let done = machine.carry_out(&next).unwrap();
    assert_eq!((done.generation, done.bytes.read), (2, 0));
    let mut unknown = plan(&machine.release(2));
    unknown.packs[0].source = None;
    let refused = machine.carry_out(&unknown).unwrap_err();
    assert!(matches!(refused.cause(), Cause::NotKept { .. }));
}

#[test]
fn what_lies_at_a_final_name_by_chance_is_not_taken_for_a_tree() {
    let machine = Machine::new();
    let pack = machine.release(1);
    let app = pack.manifest.components.iter().find(|c| c.id == "app").unwrap();
    drop(machine.locked());
    let dir = kojibox_state::Layout::component_dir_name(&app.id, &app.version, &app.tree_sha256);
    let planted = place::component(&dir).below(&machine.root);
    fs::create_dir_all(&planted).unwrap();
    fs::write(planted.join("evil"), "x").unwrap();
    machine.install(&pack).unwrap();
    give_data(&machine.root);
    check_finished(&machine.root, Some(1), "planted");
    let receipt = machine.open().history().unwrap().pop().unwrap().0;
    assert!(
        receipt.notes[0].contains("belonged to no generation"),
        "{:?}",
        receipt.notes
    );
}

#[test]
fn a_moved_root_goes_on() {
    let mut machine = Machine::having(&[1]);
    let moved = machine.root.with_file_name("Ünïcode moved");
    fs::rename(&machine.root, &moved).unwrap();
    machine.root = moved;
    machine.install(&machine.release(2)).unwrap();
    machine.rollback(None, false).unwrap();
    check_finished(&machine.root, Some(1), "moved");
}
