//! Owns `down`: stop, and stay until nothing is left.

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_supervisor::{
    api::{Request, ServiceStatus, Status},
    machine::{Desired, State},
};

use crate::{
    Outside,
    place::Place,
    session::{self, Next, Teller},
    turn,
};

/// A service did not end.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` did not end")]
struct StillThere(String, #[source] Why);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Why(String);

/// Another command wants to have running what was to be stopped.
#[derive(Debug, thiserror::Error)]
#[error("{} was started again by another command", names(.0))]
struct Overtaken(Vec<String>);

/// The data of a service is not as a clean stop leaves it.
#[derive(Debug, thiserror::Error)]
#[error("{} was not stopped cleanly", names(.0))]
struct NotClean(Vec<String>, #[source] Why);

fn names(services: &[String]) -> String {
    let ticked: Vec<String> = services.iter().map(|n| format!("`{n}`")).collect();
    ticked.join(", ")
}

/// Stops `services`; everything and the daemon if empty.
///
/// What was not left cleanly now, or the last time it ran, is an error although nothing runs: who copies or moves the
/// data next has to know.
pub(crate) fn run(place: &Place, outside: &Outside, services: &[String], ui: &Ui) -> Outcome {
    let mut turn = Some(turn::take(place, outside, ui)?);
    let Some(client) = session::running(place, outside)? else {
        return end(place, at_rest(place, outside), services, ui);
    };
    let request = Request::Down {
        services: services.to_vec(),
    };
    let all = services.is_empty();
    let mut teller = Teller::default();
    let mut overtaken = Vec::new();
    let look = |status: &Status| {
        drop(turn.take());
        teller.tell(ui, status, services);
        let asked = status.services.iter().filter(|s| all || services.contains(&s.name));
        let down = asked.clone().all(ServiceStatus::is_down);
        // The order had been taken before the first state was told: whoever wants it otherwise came later.
        let again = asked.filter(|s| s.desired == Desired::Up);
        overtaken = again.map(|s| s.name.clone()).collect();
        if !overtaken.is_empty() {
            return Next::Done;
        }
        // Without names the daemon ends too, unless something stays.
        if down && (!all || status.services.iter().any(stays)) {
            Next::Done
        } else {
            Next::Wait
        }
    };
    let interrupted = |times: u32| {
        if times == 1 {
            ui.warn("Services are being stopped; press Ctrl-C again to force.");
        } else {
            drop(client.ask(Request::Force));
        }
        Next::Wait
    };
    let heard = session::follow(&client, request, look, interrupted)?;
    if !overtaken.is_empty() {
        let report = Report::new(Exit::NotReady, Overtaken(overtaken));
        return Err(report
            .state("the services are as that command wants them")
            .hint("run the same command again"));
    }
    if let Some(service) = heard.status.services.iter().find(|s| stays(s)) {
        let why = Why(service.reason.clone().unwrap_or_default());
        let report = Report::new(Exit::NotReady, StillThere(service.name.clone(), why));
        return Err(report.hint(service.fix.clone().unwrap_or_default()));
    }
    if all {
        client
            .wait_until_gone(&place.root)
            .map_err(session::unreachable_daemon)?;
    }
    end(place, heard.status, services, ui)
}

/// The services as they are declared; nothing if none can be read, which is nothing to stop either.
fn at_rest(place: &Place, outside: &Outside) -> Status {
    super::status::at_rest(place, outside).unwrap_or_default()
}

/// Tells how everything was left.
fn end(place: &Place, status: Status, services: &[String], ui: &Ui) -> Outcome {
    let status = match super::status::stack(place) {
        Ok(stack) => status.with_data(&stack),
        Err(_) => status,
    };
    if ui.is_json() {
        ui.json(&status);
    }
    let asked = |s: &&ServiceStatus| services.is_empty() || services.contains(&s.name);
    let complaint = |s: &ServiceStatus| Some((s.name.clone(), s.data.as_ref()?.unclean.clone()?));
    let unclean: Vec<_> = status.services.iter().filter(asked).filter_map(complaint).collect();
    if unclean.is_empty() {
        ui.done("Everything that was asked for is stopped.");
        return Ok(Exit::Done);
    }
    let names: Vec<String> = unclean.iter().map(|(name, _)| name.clone()).collect();
    let why: Vec<String> = unclean.iter().map(|(name, why)| format!("`{name}`: {why}")).collect();
    let report = Report::new(Exit::NotReady, NotClean(names, Why(why.join("\n"))));
    let state = if services.is_empty() {
        "nothing runs; the data is as the program left it, and is not moved to another format"
    } else {
        "what was asked for is stopped; the data is as the program left it, and is not moved to another format"
    };
    Err(report
        .state(state)
        .hint("run `kojibox up`, so that the same version repairs its data, then `kojibox down`"))
}

fn stays(service: &ServiceStatus) -> bool {
    service.state == State::Failed && service.pid.is_some()
}
