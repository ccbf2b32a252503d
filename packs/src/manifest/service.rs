//! Owns the manifest's declarations for the launcher: services, probes, templates, secrets, questions, migrations.
//!
//! Strings may hold placeholders (`{component}`, `{data}`, `{port:NAME}` …); the launcher fills them at each start, so
//! nothing here names a place on any machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Span, Text};

/// Something the launcher starts, watches and stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Service id, unique in the install root.
    pub id: String,
    /// Component its program comes from; gives `{component}`.
    pub component: String,
    /// Program and arguments; never a shell line.
    pub command: Vec<String>,
    /// Run once to make the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    /// Ports by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ports: BTreeMap<String, Port>,
    /// Long running, or run to completion.
    #[serde(default)]
    pub kind: ServiceKind,
    /// Variables added to the allow-listed environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Services that must reach a condition first; their failure is ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requires: BTreeMap<String, Condition>,
    /// Services waited for, but started without if they fail.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wants: BTreeMap<String, Condition>,
    /// Services whose end stops this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub binds: Vec<String>,
    /// What happens after an exit that was not asked for.
    #[serde(default)]
    pub restart: Restart,
    /// Suspends liveness until it first succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup: Option<Probe>,
    /// Says when the service can serve; absent: as soon as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// Restarts the service when it fails; off unless written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    /// How it is stopped.
    #[serde(default)]
    pub stop: Stop,
    /// Started by `up` without names.
    #[serde(default = "yes")]
    pub autostart: bool,
    /// Data format of its component, copied here so that the launcher needs one place; names `data/<service>/<format>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_format: Option<String>,
}

fn yes() -> bool {
    true
}

/// Run once in `{data}.init`, which is renamed to `{data}` when it succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Init {
    /// Program and arguments.
    pub command: Vec<String>,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Tried first.
    pub prefer: u16,
    /// Never moved: taken means failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pin: bool,
}

/// Long running, or run to completion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceKind {
    /// Runs until stopped.
    #[default]
    Daemon,
    /// Ends by itself; success is `completed`.
    Oneshot,
}

/// What another service must have reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Its process runs.
    Started,
    /// Its readiness succeeded.
    Ready,
    /// It ended with success (oneshot).
    Completed,
}

/// What happens after an exit that was not asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// When.
    #[serde(default)]
    pub policy: RestartPolicy,
    /// Consecutive attempts without a stable minute before it counts as failed.
    #[serde(default = "five")]
    pub limit: u32,
}

fn five() -> u32 {
    5
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::default(),
            limit: five(),
        }
    }
}

/// When a service is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Not at all.
    Never,
    /// After an exit with an error.
    #[default]
    OnFailure,
    /// After any exit.
    Always,
}

/// A check and how often it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is checked.
    pub check: Check,
    /// Time before the first try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Span>,
    /// Time between tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Span>,
    /// Readiness and startup: all tries together; liveness: one try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// Successes in a row that count as ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<u32>,
    /// Failures in a row that count as not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u32>,
}

/// What is checked; in `stack.toml` a table with one key, e.g. `{ http = "http://127.0.0.1:{port:main}/healthz" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// The process runs (always `true`).
    Process(bool),
    /// A connection to this loopback port succeeds, and the listener belongs to the service.
    Tcp(String),
    /// GET answers 200 to 399.
    Http(String),
    /// The program exits 0.
    Exec(Vec<String>),
    /// A line of the log matches this regular expression.
    Log(String),
    /// The service says `READY=1` through `NOTIFY_SOCKET` (always `true`); Linux only.
    Notify(bool),
    /// `PostgreSQL` answers a startup packet on this port.
    Postgres(String),
    /// `MariaDB` or `MySQL` greets on this port.
    Mysql(String),
    /// Redis or Valkey answers `PING` on this port.
    Redis(String),
    /// An SMTP banner comes from this port.
    Smtp(String),
    /// A `FastCGI` ping answers on this port.
    Fastcgi(String),
}

/// How a service is stopped: steps in order, each given its time, then the whole group is killed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Steps on Linux and macOS; empty: `TERM`, 10 s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unix: Vec<StopStep>,
    /// Steps on Windows; empty: Ctrl-Break, 10 s.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<StopStep>,
}

/// One step of a stop: a signal, or a program to run; then wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopStep {
    /// Signal name without `SIG`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// Program and arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Vec<String>>,
    /// How long the service may take to end after it.
    pub wait: Span,
}

/// A file rendered into `run/<service>/` at each start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Service it belongs to.
    pub service: String,
    /// Path in the component `_pack`.
    pub source: String,
    /// File name below `{run}`.
    pub target: String,
    /// How values are quoted.
    #[serde(default)]
    pub format: Format,
}

/// How values are quoted in a rendered file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// `postgresql.conf` style: single quotes, doubled inside.
    Conf,
    /// INI: double quotes.
    Ini,
    /// JSON literals.
    Json,
    /// As they are; a line break is refused.
    #[default]
    Text,
    /// TOML basic strings.
    Toml,
    /// YAML double-quoted scalars.
    Yaml,
}

/// A random value made per install, kept in `secrets/`, mode 0600.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Secret id; gives `{secret:ID}` and `{secret_file:ID}`.
    pub id: String,
    /// Characters, 32 unless written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
}

/// Something the wizard asks and the answer file records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Answer id; gives `{answer:ID}`.
    pub id: String,
    /// The question for people.
    pub prompt: Text,
    /// Offered value, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// What an answer must be.
    pub kind: QuestionKind,
    /// Possible answers of a `choice`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
}

/// What an answer must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionKind {
    /// One line.
    Text,
    /// 1 to 65535.
    Port,
    /// `true` or `false`.
    Bool,
    /// One of `choices`.
    Choice,
}

/// How a service's data moves from one format to the next; run by the launcher as a one-shot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Service whose data it is.
    pub service: String,
    /// Format it reads (`{data_old}`).
    pub from: String,
    /// Format it makes (`{data}`).
    pub to: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// It changes the old directory: a snapshot is taken first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
}
