//! Owns reading how a service is checked and stopped: probes, checks, restart, stop steps.

use kojibox_packs::manifest::{Check, Probe, Restart, RestartPolicy, Span, Stop, StopStep};
use toml::de::DeValue;

use super::{
    placeholder::{Place as Where, Uses},
    reader::{Table, Value},
};

/// Checks that this version runs, as they are written.
const CHECKS: [&str; 11] = [
    "exec", "fastcgi", "http", "log", "mysql", "notify", "postgres", "process", "redis", "smtp", "tcp",
];

const SIGNALS: [&str; 8] = ["HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2", "WINCH"];

/// Reads `readiness`, `liveness` or `startup`.
pub(super) fn probe(service: &Table<'_>, key: &'static str, uses: &mut Uses) -> Option<Probe> {
    let table = service.table(key)?;
    let check = table.get("check").map(|v| check(&table, v, uses));
    if check.is_none() {
        let name = &table.name;
        let message = format!("{name} has no `check`, e.g. `check = {{ tcp = \"{{port:main}}\" }}`");
        table.notes.add(table.at, message);
    }
    let check = check.flatten();
    let span = |key| table.parsed(key, str::parse::<Span>).map(|s| s.value);
    let threshold = |key| {
        table
            .number(key, 1..1001)
            .map(|n| u32::try_from(n.value).expect("at most 1000"))
    };
    let probe = Probe {
        initial_delay: span("initial_delay"),
        period: span("period"),
        timeout: span("timeout"),
        success_threshold: threshold("success_threshold"),
        failure_threshold: threshold("failure_threshold"),
        check: check.clone().unwrap_or(Check::Process(true)),
    };
    if let Some(period) = table.parsed("period", str::parse::<Span>)
        && period.value.as_millis() == 0
    {
        table.notes.add(
            period.at,
            "`period` is 0, expected some time between tries such as `250ms`",
        );
    }
    table.finish();
    check.map(|_| probe)
}

fn check(probe: &Table<'_>, v: Value<'_>, uses: &mut Uses) -> Option<Check> {
    let DeValue::Table(_) = v.toml else {
        return probe.wrong(v, "a table with one check, e.g. `{ tcp = \"{port:main}\" }`");
    };
    let table = probe.as_table(v, "`check`")?;
    let values = table.values();
    let [kind] = values[..] else {
        table.notes.add(
            v.at,
            format!("`check` has {} keys, expected one of {}", values.len(), list(&CHECKS)),
        );
        return None;
    };
    if !CHECKS.contains(&kind.key) {
        let message = format!("unknown check `{}`, expected one of {}", kind.key, list(&CHECKS));
        table.notes.unknown(kind.key_at, message, kind.key, CHECKS);
        return None;
    }
    read_check(probe, &table, kind, uses)
}

fn read_check(probe: &Table<'_>, table: &Table<'_>, kind: Value<'_>, uses: &mut Uses) -> Option<Check> {
    match kind.key {
        "process" => match kind.toml {
            DeValue::Boolean(true) => Some(Check::Process(true)),
            _ => table.wrong(kind, "`true`"),
        },
        "notify" => {
            if probe.name.ends_with("liveness]") {
                let message =
                    "`notify` is said once, so it is no check for `liveness`; expected one that can be asked again";
                table.notes.add(kind.key_at, message);
            }
            uses.notify.get_or_insert(kind.key_at);
            match kind.toml {
                DeValue::Boolean(true) => Some(Check::Notify(true)),
                _ => table.wrong(kind, "`true`"),
            }
        }
        "exec" => {
            let command = table.as_texts(kind);
            if command.is_empty() {
                table
                    .notes
                    .add(kind.at, "`exec` is empty, expected a program and its arguments");
            }
            uses.scan_all(&command, Where::Command);
            Some(Check::Exec(command.into_iter().map(|c| c.value).collect()))
        }
        "log" => {
            let text = table.as_text(kind)?;
            if text.value.is_empty() {
                table
                    .notes
                    .add(text.at, "`log` is empty, expected a regular expression for a line");
            }
            Some(Check::Log(text.value))
        }
        "http" => {
            let text = table.as_text(kind)?;
            let host = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
            if !host.iter().any(|h| text.value.starts_with(h)) {
                let message = format!(
                    "`http` is `{}`, expected `http://127.0.0.1:{{port:NAME}}/…`",
                    text.value
                );
                table.notes.add(text.at, message);
            }
            uses.scan(&text, Where::Command);
            Some(Check::Http(text.value))
        }
        _ => read_port_check(table, kind, uses),
    }
}

fn read_port_check(table: &Table<'_>, kind: Value<'_>, uses: &mut Uses) -> Option<Check> {
    let text = match kind.toml {
        DeValue::Integer(_) => table.as_number(kind, 1..65536)?.map(|n| n.to_string()),
        _ => table.as_text(kind)?,
    };
    let port = text.value.strip_prefix("127.0.0.1:").unwrap_or(&text.value);
    if !port.starts_with("{port:") && port.parse::<u16>().is_err() {
        let message = format!(
            "`{}` is `{}`, expected a port such as `{{port:main}}`",
            kind.key, text.value
        );
        table.notes.add(text.at, message);
    }
    uses.scan(&text, Where::Command);
    let check = match kind.key {
        "fastcgi" => Check::Fastcgi,
        "mysql" => Check::Mysql,
        "postgres" => Check::Postgres,
        "redis" => Check::Redis,
        "smtp" => Check::Smtp,
        _ => Check::Tcp,
    };
    Some(check(text.value))
}

/// Reads `restart`.
pub(super) fn restart(service: &Table<'_>) -> Restart {
    let Some(table) = service.table("restart") else {
        return Restart::default();
    };
    let words = [
        ("never", RestartPolicy::Never),
        ("on-failure", RestartPolicy::OnFailure),
        ("always", RestartPolicy::Always),
    ];
    let default = Restart::default();
    let restart = Restart {
        policy: table.choice("policy", &words).map_or(default.policy, |p| p.value),
        limit: table
            .number("limit", 0..1001)
            .map_or(default.limit, |n| u32::try_from(n.value).expect("at most 1000")),
    };
    table.finish();
    restart
}

/// Reads `stop`.
pub(super) fn stop(service: &Table<'_>, uses: &mut Uses) -> Stop {
    let Some(table) = service.table("stop") else {
        return Stop::default();
    };
    let stop = Stop {
        unix: table
            .tables("unix")
            .into_iter()
            .filter_map(|t| stop_step(t, true, uses))
            .collect(),
        windows: table
            .tables("windows")
            .into_iter()
            .filter_map(|t| stop_step(t, false, uses))
            .collect(),
    };
    table.finish();
    stop
}

fn stop_step(table: Table<'_>, unix: bool, uses: &mut Uses) -> Option<StopStep> {
    let signal = table.text("signal");
    let run = table.has("run").then(|| table.texts("run"));
    let wait = table.parsed("wait", str::parse::<Span>);
    if !table.has("wait") {
        table
            .notes
            .add(table.at, "a step of `stop` has no `wait`, e.g. `wait = \"10s\"`");
    }
    match (&signal, &run) {
        (Some(signal), None) => {
            let name = signal.value.strip_prefix("SIG").unwrap_or(&signal.value);
            if !unix {
                table
                    .notes
                    .add(signal.at, "Windows has no signals; expected `run = [\"program\", …]`");
            } else if !SIGNALS.contains(&signal.value.as_str()) {
                let message = format!("`signal` is `{}`, expected one of {}", signal.value, list(&SIGNALS));
                table.notes.unknown(signal.at, message, name, SIGNALS);
            }
        }
        (None, Some(run)) if run.is_empty() => {
            table
                .notes
                .add(table.at, "`run` is empty, expected a program and its arguments");
        }
        (None, Some(run)) => uses.scan_all(run, Where::Command),
        _ => table
            .notes
            .add(table.at, "a step of `stop` has one of `signal` and `run`"),
    }
    table.finish();
    Some(StopStep {
        signal: signal.map(|s| s.value),
        run: run.map(|r| r.into_iter().map(|a| a.value).collect()),
        wait: wait?.value,
    })
}

fn list(words: &[&str]) -> String {
    words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ")
}
