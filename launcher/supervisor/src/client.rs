//! Owns the way to the daemon: finds the one that serves a root, or starts it.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use kojibox_state::{InstallRoot, StateError};

use crate::{
    api::{Hello, Reply, Request, Status},
    daemon::{self, Birth, Settings},
    files::FileError,
    instance::{self, Identity},
    place::Place,
    platform,
    wire::{self, Lines, WireError},
};

/// How long a daemon may take to serve.
const BIRTH: Duration = Duration::from_secs(20);
/// How long one that ends may take to be gone.
const END: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one that lives may take to be reached.
const REACH: Duration = Duration::from_secs(5);

/// The daemon could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The root could not be read.
    #[error("could not read the install root")]
    State(#[from] StateError),
    /// Nothing has been installed yet.
    #[error("nothing is installed in `{}`", .0.display())]
    Empty(PathBuf),
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Talking to it failed.
    #[error("could not talk to the daemon")]
    Wire(#[from] WireError),
    /// The program could not be started as a daemon.
    #[error("could not start `{}` as the daemon", exe.display())]
    Start {
        /// The program.
        exe: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It started and gave up.
    #[error("the daemon could not be started")]
    Failed(#[source] Causes),
    /// It did not serve in time.
    #[error("the daemon did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// It lives and cannot be reached.
    #[error("the daemon, process {0}, does not answer")]
    Mute(u32),
    /// It could not be started beside another one.
    #[error("another daemon serves this install root")]
    Busy,
    /// It said something unexpected.
    #[error("the daemon gave an answer that does not fit the question")]
    Odd,
}

/// Causes that another process told, outermost first.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Causes {
    text: String,
    #[source]
    source: Option<Box<Causes>>,
}

impl Causes {
    fn of(causes: Vec<String>) -> Self {
        let link = |source, text| Some(Box::new(Self { text, source }));
        let chain = causes.into_iter().rev().fold(None, link);
        chain.map_or_else(
            || Self {
                text: "it did not say why".to_owned(),
                source: None,
            },
            |c| *c,
        )
    }
}

/// A daemon that answers.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: PathBuf,
    hello: Hello,
    process: Option<Identity>,
}

/// Something the one who waits has to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The daemon tells.
    Reply(Reply),
    /// The daemon has nothing more to say.
    End,
    /// Ctrl-C.
    Interrupt,
}

impl Client {
    /// Finds the daemon that serves `root`, if there is one. One that lives and has lost its endpoint is woken.
    pub fn find(root: &Path) -> Result<Option<Self>, ClientError> {
        let opened = InstallRoot::open(root)?;
        opened.install()?.ok_or_else(|| ClientError::Empty(root.to_owned()))?;
        let mut end = None;
        while let Some(place) = Place::read(root) {
            let endpoint = place.daemon_endpoint(root);
            match wire::ask_once::<Reply>(&endpoint, Request::Hello, PATIENCE) {
                Ok(Reply::Hello(hello)) => {
                    let process = Identity::of(hello.pid);
                    return Ok(Some(Self {
                        endpoint,
                        hello,
                        process,
                    }));
                }
                Ok(_) => return Err(ClientError::Odd),
                // It may be about to serve, or just ending, and then still takes the connection.
                Err(WireError::NoAnswer { .. } | WireError::Silent | WireError::Broken(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if !place.daemon.lives() {
                break;
            }
            match end {
                Some(end) if Instant::now() > end => return Err(ClientError::Mute(place.daemon.pid)),
                Some(_) => {}
                None => {
                    place.wake_daemon();
                    end = Some(Instant::now() + REACH);
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(None)
    }

    /// Finds the daemon, or starts it. One that serves an older generation hands over to a new one; one that does not answer
    /// for long is ended: its shims stay, and the new one finds them.
    pub fn find_or_start(settings: &Settings) -> Result<Self, ClientError> {
        let current = InstallRoot::open(&settings.root)?.pointer()?;
        let current = current
            .ok_or_else(|| ClientError::Empty(settings.root.clone()))?
            .current;
        let mut end = Instant::now() + BIRTH;
        let mut ended = false;
        loop {
            let found = match Self::find(&settings.root) {
                Err(ClientError::Mute(pid)) if Instant::now() > end => {
                    if std::mem::replace(&mut ended, true) {
                        return Err(ClientError::Mute(pid));
                    }
                    end_mute(&settings.root, pid);
                    end = Instant::now() + BIRTH;
                    continue;
                }
                Err(ClientError::Mute(_)) => continue,
                other => other?,
            };
            if Instant::now() > end {
                return Err(ClientError::Late(BIRTH));
            }
            match found {
                Some(client) if client.hello.generation == current => return Ok(client),
                Some(client) => client.leave(&settings.root)?,
                None => match start(settings, BIRTH)? {
                    Birth::Failed { causes } => return Err(ClientError::Failed(Causes::of(causes))),
                    Birth::Ready { .. } => {}
                    // Another one is just starting, or just ending.
                    Birth::Busy { .. } => thread::sleep(Duration::from_millis(20)),
                },
            }
        }
    }

    /// Starts a daemon, which must serve within `patience`; one that does not is ended.
    pub fn start(settings: &Settings, patience: Duration) -> Result<Self, ClientError> {
        match start(settings, patience)? {
            Birth::Ready { .. } => Self::find(&settings.root)?.ok_or(ClientError::Odd),
            Birth::Busy { .. } => Err(ClientError::Busy),
            Birth::Failed { causes } => Err(ClientError::Failed(Causes::of(causes))),
        }
    }

    /// Ends this daemon for good, if it still is who answered. Its shims stay.
    pub fn kill(&self) {
        if let Some(process) = &self.process {
            drop(platform::signal(process.pid, &process.token, "KILL"));
        }
    }

    /// Who it is.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// The root it was started in, if that is not `root`: the tree was moved while services ran.
    pub fn moved_from(&self, root: &Path) -> Option<&Path> {
        (self.hello.root != root).then_some(self.hello.root.as_path())
    }

    /// Asks and hears one answer.
    pub fn ask(&self, request: Request) -> Result<Reply, ClientError> {
        Ok(wire::ask_once(&self.endpoint, request, PATIENCE)?)
    }

    /// The state now.
    pub fn status(&self) -> Result<Status, ClientError> {
        match self.ask(Request::Status)? {
            Reply::Status(status) => Ok(status),
            Reply::Hello(_) | Reply::Refused { .. } => Err(ClientError::Odd),
        }
    }

    /// Asks and hears every change from then on, and every Ctrl-C.
    pub fn follow(&self, request: Request) -> Result<Receiver<News>, ClientError> {
        let mut lines: Lines<_> = wire::ask(&self.endpoint, request)?;
        let (tell, news) = channel();
        let interrupts = tell.clone();
        let listen = move || {
            while let Ok(Some(reply)) = lines.next::<Reply>() {
                if tell.send(News::Reply(reply)).is_err() {
                    return;
                }
            }
            drop(tell.send(News::End));
        };
        drop(thread::spawn(listen));
        on_interrupt(move || interrupts.send(News::Interrupt).is_ok());
        Ok(news)
    }

    /// Lets the daemon end without touching any service, and waits until it has.
    pub fn leave(&self, root: &Path) -> Result<(), ClientError> {
        self.ask(Request::Leave)?;
        self.wait_until_gone(root)
    }

    /// Waits until this daemon has ended and holds `root` no longer.
    pub fn wait_until_gone(&self, root: &Path) -> Result<(), ClientError> {
        let run = kojibox_state::Layout::new(root).run();
        let end = Instant::now() + END;
        // With the process the lock goes too; another daemon may have it by then.
        let there = || match &self.process {
            Some(process) => Ok::<_, ClientError>(process.lives()),
            None => Ok(daemon::lock(&run)?.is_none()),
        };
        while there()? {
            if Instant::now() > end {
                return Err(ClientError::Late(END));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// Ends the daemon `pid`, if it still is the one that serves `root`.
fn end_mute(root: &Path, pid: u32) {
    if let Some(daemon) = Place::read(root).map(|p| p.daemon).filter(|d| d.pid == pid) {
        drop(platform::signal(daemon.pid, &daemon.token, "KILL"));
    }
}

/// When the living process `pid` was started, as the system tells it: together they name a process.
pub fn start_token(pid: u32) -> Option<String> {
    platform::start_token(pid)
}

/// True if an earlier daemon left something to take over.
pub fn has_traces(root: &Path) -> bool {
    let run = kojibox_state::Layout::new(root).run();
    instance::traced(&run).is_ok_and(|services| !services.is_empty())
}

fn start(settings: &Settings, patience: Duration) -> Result<Birth, ClientError> {
    let failed = |source| ClientError::Start {
        exe: settings.exe.clone(),
        source,
    };
    let layout = kojibox_state::Layout::new(&settings.root);
    let mut command = Command::new(&settings.exe);
    command
        .arg("daemon")
        .arg("--root")
        .arg(&settings.root)
        .current_dir(&settings.root);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(daemon::complaints(&layout).map_or(Stdio::null(), Stdio::from));
    platform::detach(&mut command);
    let mut child = command.spawn().map_err(failed)?;
    let (tell, said) = channel();
    let stdout = child.stdout.take();
    drop(thread::spawn(move || {
        tell.send(stdout.map(|stdout| Lines::new(stdout).next::<Birth>()))
    }));
    match said.recv_timeout(patience) {
        Ok(Some(Ok(Some(birth)))) => return Ok(birth),
        Ok(_) => {}
        Err(_) => {
            drop(child.kill());
            drop(child.wait());
            return Err(ClientError::Late(patience));
        }
    }
    // It is not ours to wait for unless it has ended, which it must have.
    drop(child.wait());
    let log = layout.service_logs("_launcher").join("stderr.log");
    let cause = format!("it ended before it served; see `{}`", log.display());
    Err(ClientError::Failed(Causes::of(vec![cause])))
}

/// Calls `act` for every Ctrl-C, until it says that nobody listens any more.
fn on_interrupt(act: impl Fn() -> bool + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    let wait = async move { while tokio::signal::ctrl_c().await.is_ok() && act() {} };
    drop(thread::spawn(move || runtime.block_on(wait)));
}
