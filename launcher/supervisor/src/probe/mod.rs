//! Owns checks: one try of one check, bounded in time and in bytes. Only loopback is ever asked.

mod http;
mod protocol;

use std::{
    collections::BTreeMap,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use kojibox_packs::manifest::Check;
use tokio::{io::AsyncReadExt as _, net::TcpStream, process::Command};

#[cfg(fuzzing)]
pub use protocol::fuzzed;

use crate::{
    fill::{FillError, Filler, Place},
    instance::MARKER,
    platform::{self, Leash, Listening},
};

/// One check, filled in.
#[derive(Clone, Debug)]
pub(crate) enum Probe {
    /// The process runs; it does if anyone asks.
    Process,
    /// The answer comes by itself: a line of the log, or a word of the service.
    Told,
    Port(u16, Speak),
    Http(http::Url),
    Exec(Vec<String>),
}

/// What is said on a connection before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speak {
    Nothing,
    Postgres,
    Mysql,
    Redis,
    Smtp,
    Fastcgi,
}

/// Whose listener it has to be, and how an `exec` check runs.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// Ports of the service; a listener on one of them must be its own.
    pub(crate) ports: Vec<u16>,
    /// The shim, above all processes of the service.
    pub(crate) shim: u32,
    pub(crate) dir: PathBuf,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) nonce: String,
    pub(crate) patience: Duration,
}

/// The check cannot be made at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error(transparent)]
    Fill(#[from] FillError),
    #[error("`{0}` is not a port")]
    Port(String),
    #[error("`{0}` is not an address of this machine, such as `http://127.0.0.1:8080/`")]
    Url(String),
}

/// Fills a declared check.
pub(crate) fn prepare(check: &Check, filler: &Filler<'_>) -> Result<Probe, ProbeError> {
    let port = |text: &str| {
        let text = filler.fill(text, Place::Command)?;
        let number = text.rsplit(':').next().unwrap_or_default();
        let host_is_local = text.rsplit_once(':').is_none_or(|(host, _)| http::is_local(host));
        let number = number.parse().ok().filter(|n| host_is_local && *n != 0);
        number.ok_or(ProbeError::Port(text))
    };
    Ok(match check {
        Check::Process(_) => Probe::Process,
        Check::Log(_) | Check::Notify(_) => Probe::Told,
        Check::Tcp(text) => Probe::Port(port(text)?, Speak::Nothing),
        Check::Postgres(text) => Probe::Port(port(text)?, Speak::Postgres),
        Check::Mysql(text) => Probe::Port(port(text)?, Speak::Mysql),
        Check::Redis(text) => Probe::Port(port(text)?, Speak::Redis),
        Check::Smtp(text) => Probe::Port(port(text)?, Speak::Smtp),
        Check::Fastcgi(text) => Probe::Port(port(text)?, Speak::Fastcgi),
        Check::Http(text) => {
            let text = filler.fill(text, Place::Command)?;
            Probe::Http(http::Url::parse(&text).ok_or(ProbeError::Url(text))?)
        }
        Check::Exec(words) => Probe::Exec(filler.command(words)?),
    })
}

/// Makes one try.
pub(crate) async fn check(probe: Probe, around: Surroundings) -> Result<(), String> {
    let patience = around.patience;
    let all = async {
        match probe {
            Probe::Process | Probe::Told => Ok(()),
            Probe::Exec(words) => exec(&words, &around).await,
            Probe::Port(port, speak) => {
                let stream = connect(port).await?;
                is_own(port, &around)?;
                protocol::speak(stream, speak)
                    .await
                    .map_err(|e| format!("port {port}: {e}"))
            }
            Probe::Http(url) => {
                let stream = connect(url.port).await?;
                is_own(url.port, &around)?;
                http::get(stream, &url).await.map_err(|e| format!("{url}: {e}"))
            }
        }
    };
    within(patience, all).await
}

async fn within(patience: Duration, work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let late = |_| Err(format!("no answer within {} ms", patience.as_millis()));
    tokio::time::timeout(patience, work).await.unwrap_or_else(late)
}

/// Connects on 127.0.0.1, or on `::1` if nobody is there.
async fn connect(port: u16) -> Result<TcpStream, String> {
    let v4 = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
    match TcpStream::connect(v4).await {
        Ok(stream) => Ok(stream),
        Err(first) => match TcpStream::connect(v6).await {
            Ok(stream) => Ok(stream),
            Err(_) => Err(format!("port {port}: {}", first.kind())),
        },
    }
}

/// Somebody else's server on our port must not make us look ready.
fn is_own(port: u16, around: &Surroundings) -> Result<(), String> {
    if !around.ports.contains(&port) {
        return Ok(());
    }
    let Listening::By(owners) = platform::listener(port) else {
        return Ok(());
    };
    let members = platform::tree(around.shim);
    let Some(first) = owners.first() else {
        return Err(format!("port {port}: a process of another user answers"));
    };
    if owners.iter().any(|o| members.contains(&o.pid)) {
        return Ok(());
    }
    Err(format!(
        "port {port}: {first} answers, which is not part of this service"
    ))
}

/// What marks everything that the checks of an instance start.
pub(crate) fn mark(nonce: &str) -> String {
    format!("{nonce}-check")
}

async fn exec(words: &[String], around: &Surroundings) -> Result<(), String> {
    let (program, arguments) = words.split_first().ok_or("the command of the check is empty")?;
    let mut command = Command::new(platform::program_name(program));
    command
        .args(arguments)
        .current_dir(&around.dir)
        .env_clear()
        .envs(&around.env);
    command.env(MARKER, mark(&around.nonce));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Leash::prepare(command.as_std_mut());
    let mut child = command.spawn().map_err(|e| format!("`{program}`: {e}"))?;
    // Dropped when the check ends, is late, or is given up: nothing of it may stay.
    let _leash = Leash::hold(child.id().unwrap_or_default()).map_err(|e| format!("`{program}`: {e}"))?;
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // A check that talks without end is cut off by its time.
        stderr
            .take(4096)
            .read_to_end(&mut said)
            .await
            .map_err(|e| e.to_string())?;
    }
    let status = child.wait().await.map_err(|e| e.to_string())?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    Err(format!(
        "`{program}`: {status}: {}",
        said.lines().next_back().unwrap_or_default()
    ))
}
