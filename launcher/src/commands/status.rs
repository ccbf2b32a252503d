//! Owns `status` and `ports`: what runs, what waits and why, and where.

use std::collections::BTreeMap;

use kojibox_console::{Exit, Outcome, Report, Ui, bytes, escape};
use kojibox_state::StateError;
use kojibox_supervisor::{
    DataStatus,
    api::{Request, ServiceStatus, Status},
    machine::Machine,
    ports::Ports,
    stack::{Stack, StackError},
};
use serde::Serialize;

use crate::{
    Outside,
    place::Place,
    session::{self, Next, word},
};

/// Shows the state once, or every change.
pub(crate) fn run(place: &Place, outside: &Outside, watch: bool, ui: &Ui) -> Outcome {
    if watch {
        let client = session::daemon(place, outside)?;
        let look = |status: &Status| {
            show(status, ui);
            Next::Wait
        };
        session::follow(&client, Request::Watch, look, |_| Next::Done)?;
        return Ok(Exit::Done);
    }
    let status = now(place, outside)?;
    show(&status.with_data(&stack(place)?), ui);
    Ok(Exit::Done)
}

/// The state: from the daemon, or from what is declared if nothing runs.
fn now(place: &Place, outside: &Outside) -> Outcome<Status> {
    let Some(client) = session::running(place, outside)? else {
        return at_rest(place, outside);
    };
    // A daemon that has just started first hears what its services did meanwhile.
    let heard = session::follow(
        &client,
        Request::Watch,
        |status| if status.is_known() { Next::Done } else { Next::Wait },
        |_| Next::Done,
    )?;
    Ok(heard.status)
}

pub(super) fn at_rest(place: &Place, outside: &Outside) -> Outcome<Status> {
    let stack = stack(place)?;
    let ports = ports_of(&stack)?;
    let now = u64::try_from((outside.now)().as_millisecond()).unwrap_or_default();
    Ok(Status::of(&Machine::new(stack.rules(), now), &ports))
}

/// What is declared in the active generation.
pub(crate) fn stack(place: &Place) -> Outcome<Stack> {
    Stack::load(&place.root).map_err(|e| {
        let (exit, hint) = match &e {
            StackError::Empty(_) => (Exit::NothingToDo, "install a pack with `kojibox-installer install`"),
            StackError::State(StateError::NotARoot { .. }) => (Exit::Usage, "pass `--root DIR`"),
            StackError::State(StateError::Damaged { .. }) => (Exit::Damaged, "run `kojibox-installer verify`"),
            StackError::State(StateError::Schema { .. }) => (Exit::FormatTooNew, "use the launcher that was installed"),
            StackError::Manifest { .. } | StackError::Twice { .. } | StackError::Circle(_) => {
                (Exit::Malformed, "ask the publisher for a corrected pack")
            }
            StackError::State(_) | StackError::Name(_) => (Exit::FileSystem, "run `kojibox-installer verify`"),
        };
        Report::new(exit, e).hint(hint)
    })
}

/// Ports by `service.name`.
pub(crate) fn ports_of(stack: &Stack) -> Outcome<BTreeMap<String, u16>> {
    let ports = Ports::load(stack).map_err(|e| Report::new(Exit::FileSystem, e))?;
    Ok(ports.all())
}

fn show(status: &Status, ui: &Ui) {
    if ui.is_json() {
        return ui.json(status);
    }
    let width = status.services.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for service in &status.services {
        ui.answer(line(service, width).trim_end());
        if let (Some(reason), Some(fix)) = (&service.reason, &service.fix) {
            ui.answer(&format!("{:width$}  {}; {}", "", escape(reason), escape(fix)));
        }
        for line in service.data.iter().flat_map(about_data) {
            ui.answer(&format!("{:width$}  {}", "", escape(&line)));
        }
    }
    if status.services.is_empty() {
        ui.note("No services are installed.");
    }
}

/// What a person may want to know about data that is not simply in use.
fn about_data(data: &DataStatus) -> Vec<String> {
    let unclean = data.unclean.iter().map(|why| format!("data not left cleanly: {why}"));
    let older = data.older.iter().map(|kept| {
        let size = bytes(kept.bytes);
        format!("older data: {}, {size}, as it was at {}", kept.folder, kept.until)
    });
    let aside = data.aside.iter().map(|kept| {
        let size = bytes(kept.bytes);
        format!(
            "kept aside: {}, {size}, written from {} to {}",
            kept.folder, kept.since, kept.until
        )
    });
    unclean.chain(older).chain(aside).collect()
}

fn line(service: &ServiceStatus, width: usize) -> String {
    let ports: Vec<String> = service
        .ports
        .iter()
        .map(|(name, port)| format!("{name} {port}"))
        .collect();
    let pid = service.pid.map(|p| format!("pid {p}")).unwrap_or_default();
    format!(
        "{:width$}  {:11}  {pid:11}  {}",
        service.name,
        word(service.state),
        ports.join(", ")
    )
}

#[derive(Serialize)]
struct PortLine {
    service: String,
    name: String,
    port: u16,
}

/// Shows the ports.
pub(crate) fn ports(place: &Place, outside: &Outside, ui: &Ui) -> Outcome {
    let status = now(place, outside)?;
    let of = |s: &ServiceStatus| {
        let lines = s.ports.iter().map(|(name, port)| PortLine {
            service: s.name.clone(),
            name: name.clone(),
            port: *port,
        });
        lines.collect::<Vec<_>>()
    };
    let lines: Vec<PortLine> = status.services.iter().flat_map(of).collect();
    if ui.is_json() {
        ui.json(&BTreeMap::from([("ports", &lines)]));
    } else {
        for line in lines {
            ui.answer(&format!("{}.{}  {}", line.service, line.name, line.port));
        }
    }
    Ok(Exit::Done)
}
