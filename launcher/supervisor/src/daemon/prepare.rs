//! Owns the way to a start: ports held, files rendered, data made or moved, everything filled in.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use kojibox_packs::manifest::{Check, StopStep};

use super::{context::Context, shims};
use crate::{
    data::{Data, DataError, Marker, Work},
    diagnosis::chain,
    environment,
    files::{self, FileError, failed},
    fill::{FillError, Filler},
    instance::Role,
    machine::{Exit, Failure, Reason, ReasonCode},
    platform,
    ports::{Held, PortError},
    render::{self, RenderError},
    secrets,
    shim::{Act, Limits, Spec, Step},
    stack::Definition,
};

/// Everything that is needed to start a service.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) spec: Spec,
    /// Let go at the last instant.
    pub(super) held: Held,
}

/// Why a service cannot be started now.
#[derive(Debug, thiserror::Error)]
enum PrepareError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error(transparent)]
    Render(#[from] RenderError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Data(#[from] DataError),
    #[error("component `{0}` is not in its place")]
    NoTree(String),
    #[error("{what} failed: {why}")]
    Helper { what: &'static str, why: String },
    #[error("could not get random bytes from the system")]
    Random(#[source] getrandom::Error),
    #[error("it is no longer wanted")]
    Aborted,
}

/// Gets `service` ready for its start number `generation`.
pub(super) fn prepare(
    context: &Arc<Context>,
    service: &str,
    generation: u64,
    avoid_last_port: bool,
    abort: &AtomicBool,
) -> Result<Ready, Failure> {
    let job = Job {
        context,
        definition: &context.stack.services[service],
        service,
        generation,
        abort,
    };
    job.run(avoid_last_port).map_err(|error| failure(service, &error))
}

struct Job<'a> {
    context: &'a Arc<Context>,
    definition: &'a Definition,
    service: &'a str,
    generation: u64,
    abort: &'a AtomicBool,
}

impl Job<'_> {
    fn run(&self, avoid_last_port: bool) -> Result<Ready, PrepareError> {
        let component = &self.definition.service.component;
        let tree = self.context.stack.components.get(component).filter(|t| t.is_dir());
        tree.ok_or_else(|| PrepareError::NoTree(component.clone()))?;
        let data = self.plan_data()?;
        let held = self.context.ports().hold(self.service, avoid_last_port)?;
        let ports = self.context.ports().all();
        let filler = self.context.filler(self.definition, &ports);
        make_places(&filler)?;
        let run = filler.dir("run").unwrap_or_default();
        for template in &self.definition.templates {
            render::render(template, self.definition.pack_files.as_deref(), &run, &filler)?;
        }
        if let Some(data) = &data {
            self.ready_data(data, &ports)?;
        }
        self.stop_if_unwanted()?;
        let command = self.definition.service.command.clone();
        let mut spec = self.spec(Role::Service, &command, &filler)?;
        spec.ports.clone_from(&held.ports);
        spec.data = data.map(|_| self.marker());
        spec.notify = self.notify_socket();
        Ok(Ready { spec, held })
    }

    fn stop_if_unwanted(&self) -> Result<(), PrepareError> {
        if self.abort.load(Ordering::SeqCst) {
            return Err(PrepareError::Aborted);
        }
        Ok(())
    }

    /// Looks at the data directory, if the service has any use for one.
    fn plan_data(&self) -> Result<Option<Data>, PrepareError> {
        let service = &self.definition.service;
        let mut words = service.command.iter().chain(service.env.values());
        let named = words.any(|w| w.contains("{data}")) || !self.definition.templates.is_empty();
        if !named && service.init.is_none() && service.data_format.is_none() {
            return Ok(None);
        }
        let base = self.context.stack.layout.service_data(self.service);
        let generation = self.context.stack.generation.id;
        let data = Data::plan(&base, self.definition.format(), generation, &self.definition.migrations)?;
        Ok(Some(data))
    }

    /// Where the service says that it is ready, if a check of it waits for that.
    fn notify_socket(&self) -> Option<PathBuf> {
        let service = &self.definition.service;
        let mut checks = [&service.startup, &service.readiness].into_iter().flatten();
        let asks = checks.any(|p| matches!(p.check, Check::Notify(_)));
        // As short as the other endpoints: the path of a socket ends at 107 bytes.
        asks.then(|| self.context.notify_socket(self.service))
    }

    /// Lets the shim write down how the service leaves its data.
    fn marker(&self) -> Marker {
        let base = self.context.stack.layout.service_data(self.service);
        Marker::new(&base, self.definition.format(), self.context.stack.generation.id)
    }

    fn ready_data(&self, data: &Data, ports: &BTreeMap<String, u16>) -> Result<(), PrepareError> {
        let mut filler = self.context.filler(self.definition, ports);
        filler.data = data.unfinished();
        let (now, disk) = (self.context.clock.second(), &self.context.disk);
        match &data.work {
            Work::Use | Work::Adopt | Work::Return => {}
            Work::Make => {
                data.begin(&now, disk)?;
                if let Some(init) = &self.definition.service.init {
                    self.help("making the data directory", &init.command, &filler)?;
                }
            }
            Work::Move {
                from,
                generation,
                migration,
            } => {
                let component = &self.definition.service.component;
                filler.component_old = self.context.stack.tree_of(component, *generation);
                filler.data_old = Some(if migration.in_place {
                    data.unfinished()
                } else {
                    from.clone()
                });
                data.begin(&now, disk)?;
                self.help("moving the data to its new format", &migration.command, &filler)?;
            }
        }
        // What was made is in use from when it is done.
        Ok(data.finish(&self.context.clock.second(), disk)?)
    }

    /// Runs a step before the start, under a shim of its own: logged, stoppable, and gone when we are.
    fn help(&self, what: &'static str, command: &[String], filler: &Filler<'_>) -> Result<(), PrepareError> {
        self.stop_if_unwanted()?;
        let spec = self.spec(Role::Helper, command, filler)?;
        let failed = |why: String| PrepareError::Helper { what, why };
        match shims::run_helper(self.context, &spec, self.abort) {
            Ok(Exit { status, .. }) if status.is_success() => self.stop_if_unwanted(),
            Ok(_) if self.abort.load(Ordering::SeqCst) => Err(PrepareError::Aborted),
            Ok(exit) => Err(failed(match exit.last_line {
                Some(line) => format!("the program {}; last line: {line}", exit.status),
                None => format!("the program {}", exit.status),
            })),
            Err(why) => Err(failed(why)),
        }
    }

    fn spec(&self, role: Role, command: &[String], filler: &Filler<'_>) -> Result<Spec, PrepareError> {
        let service = &self.definition.service;
        let log_check = [&service.startup, &service.readiness]
            .into_iter()
            .flatten()
            .find_map(|p| match &p.check {
                Check::Log(pattern) => Some(pattern.clone()),
                _ => None,
            });
        let stop = self.definition.stop_steps();
        let stop: Result<Vec<Step>, FillError> = stop.iter().map(|s| step(s, filler)).collect();
        Ok(Spec {
            service: self.service.to_owned(),
            generation: self.generation,
            role,
            program: Some(self.context.stack.program(self.definition)),
            nonce: secrets::random(20).map_err(PrepareError::Random)?,
            restarts: 0,
            traces: self.context.traces(self.service),
            endpoint: self.context.endpoint(self.service),
            logs: filler.dir("logs").unwrap_or_default(),
            limits: Limits::default(),
            dir: filler.dir("run").unwrap_or_default(),
            command: filler.command(command)?,
            env: environment::of_service(filler, &service.env, &self.context.allowed)?,
            stop: if role == Role::Service { stop? } else { Vec::new() },
            ports: BTreeMap::new(),
            data: None,
            notify: None,
            secrets: self.context.secrets.values().clone(),
            log_check: log_check.filter(|_| role == Role::Service),
        })
    }
}

/// Makes the directories of the service; what is rebuilt at each start is emptied.
fn make_places(filler: &Filler<'_>) -> Result<(), PrepareError> {
    for name in ["run", "temp"] {
        let dir = filler.dir(name).unwrap_or_default();
        match fs::remove_dir_all(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(failed("empty", &dir))?,
        }
        files::make_dir(dir.parent().unwrap_or(Path::new(".")))?;
        platform::make_private_dir(&dir).map_err(failed("create", &dir))?;
    }
    files::make_log_dirs(&filler.stack.layout, filler.service)?;
    Ok(files::make_dir(&filler.dir("config").unwrap_or_default())?)
}

fn step(step: &StopStep, filler: &Filler<'_>) -> Result<Step, FillError> {
    let act = match (&step.run, &step.signal) {
        (Some(words), _) => Act::Run(filler.command(words)?),
        (None, Some(signal)) => Act::Signal(signal.clone()),
        (None, None) => Act::Signal(platform::DEFAULT_SIGNAL.to_owned()),
    };
    Ok(Step {
        act,
        wait: step.wait.as_millis(),
    })
}

/// Says what an error means for a person, and whether trying again can help.
fn failure(service: &str, error: &PrepareError) -> Failure {
    let log = format!("read `kojibox logs {service} --since 10m`, then `kojibox up`");
    let repair = "run `kojibox-installer repair`".to_owned();
    let (code, fix, permanent) = match error {
        PrepareError::File(e) | PrepareError::Render(RenderError::File(e)) => {
            (ReasonCode::Io, io_fix(&e.source), lasts(&e.source))
        }
        PrepareError::Fill(_) | PrepareError::Render(_) => {
            let fix = "correct the definition of the pack, or answer its questions again";
            (ReasonCode::Config, fix.to_owned(), true)
        }
        PrepareError::Port(PortError::Taken { .. } | PortError::Denied { .. }) => {
            let fix = "stop what uses the port, or choose another one with `kojibox-installer update`";
            (ReasonCode::Port, fix.to_owned(), true)
        }
        PrepareError::Port(_) => (
            ReasonCode::Port,
            "end programs that listen on many ports".to_owned(),
            false,
        ),
        PrepareError::Data(DataError::File(e)) => (ReasonCode::Data, io_fix(&e.source), lasts(&e.source)),
        PrepareError::Data(error) => (data_code(error), data_fix(error), true),
        PrepareError::NoTree(_) => (ReasonCode::Exec, repair, true),
        PrepareError::Helper { .. } => (ReasonCode::Data, log, true),
        PrepareError::Random(_) | PrepareError::Aborted => (ReasonCode::Io, "try again".to_owned(), false),
    };
    Failure {
        reason: Reason::new(code, chain(error), fix),
        permanent,
    }
}

fn data_code(error: &DataError) -> ReasonCode {
    match error {
        DataError::Space { .. } => ReasonCode::Space,
        _ => ReasonCode::Data,
    }
}

fn data_fix(error: &DataError) -> String {
    let fix = match error {
        DataError::Space { .. } => "free some space on the volume, then run `kojibox up`",
        DataError::NotClean { .. } => {
            "start and stop the version that wrote it, so that it repairs it: `kojibox-installer rollback`, `kojibox down`; then update again"
        }
        DataError::Missing { .. } => {
            "put it back from a backup; to begin with empty data, move the folder of the service's data away"
        }
        _ => "run `kojibox-installer rollback`, or install a version that can read this data",
    };
    fix.to_owned()
}

/// True if the system will say the same again.
fn lasts(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem | StorageFull)
}

fn io_fix(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "free some space on the volume".to_owned(),
        io::ErrorKind::PermissionDenied => "run as the user who installed, or correct the permissions".to_owned(),
        _ => "run `kojibox doctor`".to_owned(),
    }
}
