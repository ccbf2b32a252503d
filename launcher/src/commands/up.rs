//! Owns `up` and `restart`: start, and stay until everything that was wanted serves or cannot.

use std::collections::BTreeSet;

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_supervisor::api::{Request, ServiceStatus, Status};

use super::confirm;
use crate::{
    Outside,
    place::Place,
    session::{self, Heard, Next, Teller},
    turn,
};

/// A service that was wanted does not serve.
#[derive(Debug, thiserror::Error)]
#[error("{}", names(.0))]
struct NotReady(Vec<String>, #[source] Reasons);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Reasons(String);

/// Starts `services` (all that start by themselves if empty) and waits.
pub(crate) fn up(place: &Place, outside: &Outside, services: &[String], ui: &Ui) -> Outcome {
    let request = Request::Up {
        services: services.to_vec(),
    };
    start(place, outside, request, services, ui)
}

/// Starts `services` anew and waits.
pub(crate) fn restart(place: &Place, outside: &Outside, services: &[String], ui: &Ui) -> Outcome {
    let request = Request::Restart {
        services: services.to_vec(),
    };
    start(place, outside, request, services, ui)
}

fn start(place: &Place, outside: &Outside, request: Request, services: &[String], ui: &Ui) -> Outcome {
    let mut turn = Some(turn::take(place, outside, ui)?);
    let client = session::daemon(place, outside)?;
    let wanted = match services {
        [] => super::stack(place)?.wanted(),
        named => named.iter().cloned().collect(),
    };
    let mut teller = Teller::default();
    let look = |status: &Status| {
        drop(turn.take());
        teller.tell(ui, status, &[]);
        let settled = among(status, &wanted).all(|s| s.is_up() || s.is_stuck());
        if settled { Next::Done } else { Next::Wait }
    };
    let interrupted = |times: u32| {
        // What was begun is taken back; a second time, without grace.
        let request = match times {
            1 => Request::Down {
                services: services.to_vec(),
            },
            _ => Request::Force,
        };
        ui.warn("Stopping what was started; press Ctrl-C again to force.");
        match client.ask(request) {
            Ok(_) if times < 3 => Next::Wait,
            _ => Next::Done,
        }
    };
    let heard = session::follow(&client, request, look, interrupted)?;
    if heard.interrupts > 0 {
        return Err(Report::new(Exit::Cancelled, "the start was cancelled").state(now(&heard.status)));
    }
    answer(place, &heard, &wanted, services, ui)?;
    if services.is_empty() {
        confirm::confirm(place, outside, client.hello().generation, ui);
    }
    Ok(Exit::Done)
}

fn among<'a>(status: &'a Status, wanted: &'a BTreeSet<String>) -> impl Iterator<Item = &'a ServiceStatus> {
    status.services.iter().filter(|s| wanted.contains(&s.name))
}

fn answer(place: &Place, heard: &Heard, wanted: &BTreeSet<String>, services: &[String], ui: &Ui) -> Outcome<()> {
    if ui.is_json() {
        let with_data = super::stack(place).map(|stack| heard.status.clone().with_data(&stack));
        ui.json(with_data.as_ref().unwrap_or(&heard.status));
    }
    let enabled =
        |s: &&ServiceStatus| services.contains(&s.name) || s.state != kojibox_supervisor::machine::State::Disabled;
    let missing: Vec<&ServiceStatus> = among(&heard.status, wanted)
        .filter(enabled)
        .filter(|s| !s.is_up())
        .collect();
    if missing.is_empty() && !heard.ended {
        return Ok(());
    }
    if missing.is_empty() {
        return Err(
            Report::new(Exit::NotReady, "the daemon ended while services started").hint("run `kojibox up` again")
        );
    }
    let reason = |s: &&ServiceStatus| {
        let why = s.reason.as_deref().unwrap_or("it does not run");
        format!("`{}` is {}: {why}", s.name, session::word(s.state))
    };
    let reasons: Vec<String> = missing.iter().map(reason).collect();
    let names = missing.iter().map(|s| s.name.clone()).collect();
    // A dependency's failure explains that of others, so the fix of a service that failed by itself comes first.
    let own = missing
        .iter()
        .find(|s| s.code != Some(kojibox_supervisor::machine::ReasonCode::Dependency));
    let fix = own.or(missing.first()).and_then(|s| s.fix.clone());
    let exit = match own.and_then(|s| s.code) {
        Some(kojibox_supervisor::machine::ReasonCode::Space) => Exit::NoSpace,
        _ => Exit::NotReady,
    };
    let report = Report::new(exit, NotReady(names, Reasons(reasons.join("\n")))).state(now(&heard.status));
    Err(match fix {
        Some(fix) => report.hint(fix),
        None => report,
    })
}

fn names(names: &[String]) -> String {
    let ticked: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
    format!("{} did not become ready", ticked.join(", "))
}

fn now(status: &Status) -> String {
    let up = status.services.iter().filter(|s| s.is_up()).count();
    format!("{up} of {} services run", status.services.len())
}
