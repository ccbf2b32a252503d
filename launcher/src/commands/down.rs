//! Owns `down`: stop, and stay until nothing is left.

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_supervisor::{
    api::{Request, ServiceStatus, Status},
    client::{self, Client},
    machine::State,
};

use crate::{
    Outside,
    place::Place,
    session::{self, Next, Teller},
};

/// A service did not end.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` did not end")]
struct StillThere(String, #[source] Why);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Why(String);

/// Stops `services`; everything and the daemon if empty.
pub(crate) fn run(place: &Place, outside: &Outside, services: &[String], ui: &Ui) -> Outcome {
    let Some(client) = find(place, outside)? else {
        return Ok(done(&Status::default(), ui));
    };
    let request = Request::Down {
        services: services.to_vec(),
    };
    let all = services.is_empty();
    let mut teller = Teller::default();
    let look = |status: &Status| {
        teller.tell(ui, status, services);
        let mut asked = status.services.iter().filter(|s| all || services.contains(&s.name));
        let down = asked.all(ServiceStatus::is_down);
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
    Ok(done(&heard.status, ui))
}

/// The daemon to ask; none if nothing runs. One is started only to end what an earlier one left.
fn find(place: &Place, outside: &Outside) -> Outcome<Option<Client>> {
    let found = Client::find(&place.root).map_err(session::unreachable_daemon)?;
    if found.is_some() || !client::has_traces(&place.root) {
        return Ok(found);
    }
    session::daemon(place, outside).map(Some)
}

fn stays(service: &ServiceStatus) -> bool {
    service.state == State::Failed && service.pid.is_some()
}

fn done(status: &Status, ui: &Ui) -> Exit {
    if ui.is_json() {
        ui.json(status);
    }
    ui.done("Everything that was asked for is stopped.");
    Exit::Done
}
