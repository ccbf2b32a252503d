//! Owns `self-update`: looks for a newer launcher in a source, and installs it without touching a service.

use kojibox_console::{Exit, Outcome, Ui};
use serde_json::json;

use crate::{
    Outside,
    cli::SelfUpdate,
    place::Place,
    session,
    update::{self, Setting, Swap},
    version::version,
};

/// Updates the launcher, or only looks with `--check`.
pub(crate) fn run(place: &Place, outside: &Outside, args: &SelfUpdate, ui: &Ui) -> Outcome {
    let now = (outside.now)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let setting = Setting {
        root: &place.root,
        source: &args.source,
        version: version(),
        now: &now,
        retry_refused: args.retry_refused,
        crash_at: session::crash_point(outside),
    };
    if args.check {
        let offer = update::look(&setting).map_err(|e| e.report(version(), &place.root))?;
        let available = offer.map(|o| o.component.version);
        if ui.is_json() {
            ui.json(&json!({ "version": version(), "available": available }));
        }
        return Ok(match available {
            Some(newer) => {
                ui.status(&format!("Launcher {newer} is available; {} is active.", version()));
                Exit::UpdateAvailable
            }
            None => nothing(ui),
        });
    }
    let settings = session::settings(place, outside);
    let swap = Swap { settings: &settings };
    let updated = update::run(&setting, &swap).map_err(|e| e.report(version(), &place.root))?;
    let Some(updated) = updated else {
        if ui.is_json() {
            ui.json(&json!({ "version": version(), "available": null }));
        }
        return Ok(nothing(ui));
    };
    if ui.is_json() {
        ui.json(&updated);
    }
    for note in &updated.notes {
        ui.note(note);
    }
    ui.done(&format!(
        "Launcher {} replaced {}; {} running services were taken over untouched",
        updated.to, updated.from, updated.reattached
    ));
    Ok(Exit::Done)
}

fn nothing(ui: &Ui) -> Exit {
    ui.status(&format!("Launcher {} is the newest there is.", version()));
    Exit::NothingToDo
}
