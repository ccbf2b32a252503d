//! Owns what every command that talks to the daemon does: find or start it, say what went wrong, follow the changes.

use std::{collections::BTreeMap, sync::mpsc::Receiver};

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_state::{CrashPoint, StateError};
use kojibox_supervisor::{
    Clock,
    api::{Reply, Request, ServiceStatus, Status},
    client::{self, Client, ClientError, News},
    daemon::Settings,
    machine::State,
};

use crate::{Outside, place::Place, version::version};

/// What a daemon is started with.
pub(crate) fn settings(place: &Place, outside: &Outside) -> Settings {
    let text = |(name, value): &(std::ffi::OsString, std::ffi::OsString)| {
        Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()))
    };
    Settings {
        root: place.root.clone(),
        exe: place.exe.clone(),
        version: version().to_owned(),
        environment: outside.environment.iter().filter_map(text).collect::<BTreeMap<_, _>>(),
        clock: Clock::new(outside.now),
        crash_at: crash_at(outside),
    }
}

/// Where a test from outside wants the daemon to end; see launcher/DATA.md.
fn crash_at(outside: &Outside) -> Option<String> {
    let named = outside.environment.iter().find(|(name, _)| name == "KOJIBOX_CRASH_AT");
    named.and_then(|(_, value)| value.to_str().map(str::to_owned))
}

/// The crash point of a transaction that is named there, in builds for tests only, never in one that is shipped.
pub(crate) fn crash_point(outside: &Outside) -> Option<CrashPoint> {
    if cfg!(any(debug_assertions, feature = "crash-points")) {
        crash_at(outside)?.parse().ok()
    } else {
        None
    }
}

/// A daemon that serves the tree where it is now.
pub(crate) fn daemon(place: &Place, outside: &Outside) -> Outcome<Client> {
    // What is installed is read here too, so that damage is told as what it is.
    crate::commands::stack(place)?;
    let client = Client::find_or_start(&settings(place, outside)).map_err(unreachable_daemon)?;
    match client.moved_from(&place.root) {
        None => Ok(client),
        Some(was) => {
            let text = format!(
                "the tree was moved here from `{}` while its services run",
                was.display()
            );
            Err(Report::new(Exit::NotReady, text).hint("run `kojibox down`, then `kojibox up`"))
        }
    }
}

/// The daemon to ask; none if nothing runs. One is started only to hear or end what an earlier one left.
pub(crate) fn running(place: &Place, outside: &Outside) -> Outcome<Option<Client>> {
    match Client::find(&place.root) {
        Err(ClientError::Mute(_)) => daemon(place, outside).map(Some),
        Ok(None) if client::has_traces(&place.root) => daemon(place, outside).map(Some),
        other => other.map_err(unreachable_daemon),
    }
}

/// Says why the daemon cannot be reached.
pub(crate) fn unreachable_daemon(error: ClientError) -> Report {
    let exit = match &error {
        ClientError::State(StateError::NotARoot { .. }) => Exit::Usage,
        ClientError::State(_) | ClientError::File(_) => Exit::FileSystem,
        ClientError::Empty(_) => Exit::NothingToDo,
        _ => Exit::NotReady,
    };
    let hint = match &error {
        ClientError::Empty(_) => "install a pack with `kojibox-installer install`",
        _ => "run `kojibox doctor`",
    };
    Report::new(exit, error).hint(hint)
}

/// The daemon does not do what was asked.
fn refused(why: String, hint: String) -> Report {
    Report::new(Exit::Usage, why).hint(hint)
}

/// What a command does with what it hears.
pub(crate) enum Next {
    /// Goes on waiting.
    Wait,
    /// Has heard enough.
    Done,
}

/// How waiting ended.
pub(crate) struct Heard {
    /// The last state.
    pub(crate) status: Status,
    /// The daemon ended.
    pub(crate) ended: bool,
    /// Number of times Ctrl-C was pressed.
    pub(crate) interrupts: u32,
}

/// Asks, and follows the changes until `look` has heard enough. `interrupted` is told the how manieth Ctrl-C it is.
pub(crate) fn follow(
    client: &Client,
    request: Request,
    mut look: impl FnMut(&Status) -> Next,
    mut interrupted: impl FnMut(u32) -> Next,
) -> Outcome<Heard> {
    let news: Receiver<News> = client.follow(request).map_err(unreachable_daemon)?;
    let mut heard = Heard {
        status: Status::default(),
        ended: false,
        interrupts: 0,
    };
    for item in news {
        let next = match item {
            News::Reply(Reply::Status(status)) => {
                heard.status = status;
                look(&heard.status)
            }
            News::Reply(Reply::Refused { why, hint }) => return Err(refused(why, hint)),
            News::Reply(Reply::Hello(_)) => Next::Wait,
            News::End => {
                heard.ended = true;
                Next::Done
            }
            News::Interrupt => {
                heard.interrupts += 1;
                interrupted(heard.interrupts)
            }
        };
        if matches!(next, Next::Done) {
            break;
        }
    }
    Ok(heard)
}

/// Tells a person of each service whose state changed.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    told: BTreeMap<String, (State, Option<String>)>,
}

impl Teller {
    /// Tells what is new about the services that `wanted` names (all if empty).
    pub(crate) fn tell(&mut self, ui: &Ui, status: &Status, wanted: &[String]) {
        for service in status
            .services
            .iter()
            .filter(|s| wanted.is_empty() || wanted.contains(&s.name))
        {
            let now = (service.state, service.reason.clone());
            let before = self.told.insert(service.name.clone(), now.clone());
            if before.as_ref() != Some(&now) && (before.is_some() || service.state != State::Stopped) {
                let quiet = before.as_ref().is_some_and(|b| b.0 == now.0) || service.state == State::Preparing;
                if quiet {
                    ui.detail(&sentence(service));
                } else {
                    ui.status(&sentence(service));
                }
            }
        }
    }
}

/// One sentence about a service.
pub(crate) fn sentence(service: &ServiceStatus) -> String {
    let ports: Vec<String> = service.ports.values().map(ToString::to_string).collect();
    let mut text = format!("{} is {}", service.name, word(service.state));
    if service.state == State::Running && !ports.is_empty() {
        let noun = if ports.len() == 1 { "port" } else { "ports" };
        text = format!("{text} on {noun} {}", ports.join(", "));
    }
    match &service.reason {
        Some(reason) => format!("{text}: {reason}."),
        None => format!("{text}."),
    }
}

/// The name of a state.
pub(crate) fn word(state: State) -> &'static str {
    match state {
        State::Disabled => "disabled",
        State::Stopped => "stopped",
        State::Waiting => "waiting",
        State::Preparing => "preparing",
        State::Starting => "starting",
        State::Running => "running",
        State::Degraded => "degraded",
        State::Stopping => "stopping",
        State::Backoff => "backoff",
        State::Failed => "failed",
        State::Completed => "completed",
        State::Reattaching => "reattaching",
    }
}
