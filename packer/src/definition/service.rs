//! Owns reading `[[service]]` and `[[migration]]`.

use std::collections::BTreeMap;

use kojibox_packs::manifest::{Condition, Init, Migration, Port, Service, ServiceKind};
use toml::de::DeValue;

use super::{
    component::Only,
    mistake::{Located, Place as At},
    names,
    placeholder::{Place, Uses, command},
    probe,
    reader::Table,
};

/// A service as written, with the places of what it refers to.
#[derive(Clone, Debug)]
pub(super) struct RawService {
    pub(super) id: Located<String>,
    pub(super) component: Located<String>,
    pub(super) service: Service,
    /// Every service it names: in `requires`, `wants` or `binds`.
    pub(super) needs: Vec<(Located<String>, Option<Condition>)>,
    pub(super) pinned: Vec<(u16, At)>,
    pub(super) uses: Uses,
    pub(super) targets: Only,
}

/// A migration as written.
#[derive(Clone, Debug)]
pub(super) struct RawMigration {
    pub(super) service: Located<String>,
    pub(super) from: Located<String>,
    pub(super) migration: Migration,
    pub(super) uses: Uses,
}

impl RawService {
    pub(super) fn read(table: Table<'_>) -> Option<Self> {
        let id = table.required_text("id");
        if let Some(id) = &id
            && let Err(message) = names::id(&id.value)
        {
            table.notes.add(id.at, message);
        }
        let component = table.required_text("component");
        let mut uses = Uses::default();
        let mut needs = Vec::new();
        let mut pinned = Vec::new();
        let service = Service {
            id: id.as_ref().map(|i| i.value.clone()).unwrap_or_default(),
            component: component.as_ref().map(|c| c.value.clone()).unwrap_or_default(),
            command: command(&table, Place::Command, &mut uses),
            init: read_init(&table, &mut uses),
            ports: read_ports(&table, &mut pinned),
            kind: table
                .choice(
                    "kind",
                    &[("daemon", ServiceKind::Daemon), ("oneshot", ServiceKind::Oneshot)],
                )
                .map(|k| k.value)
                .unwrap_or_default(),
            env: read_env(&table, &mut uses),
            requires: read_conditions(&table, "requires", &mut needs),
            wants: read_conditions(&table, "wants", &mut needs),
            binds: table
                .texts("binds")
                .into_iter()
                .map(|other| {
                    needs.push((other.clone(), None));
                    other.value
                })
                .collect(),
            restart: probe::restart(&table),
            startup: probe::probe(&table, "startup", &mut uses),
            readiness: probe::probe(&table, "readiness", &mut uses),
            liveness: probe::probe(&table, "liveness", &mut uses),
            stop: probe::stop(&table, &mut uses),
            autostart: table.flag("autostart").is_none_or(|a| a.value),
            data_format: None,
        };
        let targets = Only::read(&table);
        table.finish();
        Some(Self {
            id: id?,
            component: component?,
            service,
            needs,
            pinned,
            uses,
            targets,
        })
    }
}

fn read_init(table: &Table<'_>, uses: &mut Uses) -> Option<Init> {
    let init = table.table("init")?;
    let command = command(&init, Place::Init, uses);
    init.finish();
    Some(Init { command })
}

fn read_ports(table: &Table<'_>, pinned: &mut Vec<(u16, At)>) -> BTreeMap<String, Port> {
    let Some(ports) = table.table("ports") else {
        return BTreeMap::new();
    };
    let mut all = BTreeMap::new();
    for v in ports.values() {
        if let Err(message) = names::word(v.key) {
            ports.notes.add(v.key_at, message);
        }
        let port = match v.toml {
            // `main = 25432` is short for `main = { prefer = 25432 }`.
            DeValue::Integer(_) => ports.as_number(v, 1..65536).map(|n| (n, false)),
            _ => ports
                .as_table(v, &format!("[service.ports.{}]", v.key))
                .and_then(|port| {
                    let prefer = port.number("prefer", 1..65536);
                    if !port.has("prefer") {
                        port.notes.add(
                            v.at,
                            format!("port `{}` has no `prefer`, the number tried first", v.key),
                        );
                    }
                    let pin = port.flag("pin").is_some_and(|p| p.value);
                    port.finish();
                    prefer.map(|n| (n, pin))
                }),
        };
        let Some((number, pin)) = port else { continue };
        let prefer = u16::try_from(number.value).expect("at most 65535");
        if pin {
            pinned.push((prefer, number.at));
        }
        all.insert(v.key.to_owned(), Port { prefer, pin });
    }
    all
}

fn read_env(table: &Table<'_>, uses: &mut Uses) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, value) in table.text_map("env") {
        let start = |c: char| c.is_ascii_alphabetic() || c == '_';
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.value.starts_with(start) || !name.value.chars().all(inner) {
            table
                .notes
                .add(name.at, format!("`{}` is no name of a variable", name.value));
        }
        uses.scan(&value, Place::Env);
        env.insert(name.value, value.value);
    }
    env
}

fn read_conditions(
    table: &Table<'_>,
    key: &'static str,
    needs: &mut Vec<(Located<String>, Option<Condition>)>,
) -> BTreeMap<String, Condition> {
    let words = [
        ("started", Condition::Started),
        ("ready", Condition::Ready),
        ("completed", Condition::Completed),
    ];
    let mut all = BTreeMap::new();
    for (other, condition) in table.text_map(key) {
        let what = format!("the condition of `{}`", other.value);
        if let Some(condition) = table.pick(&condition, &what, &words) {
            all.insert(other.value.clone(), condition.value);
            needs.push((other, Some(condition.value)));
        }
    }
    all
}

impl RawMigration {
    pub(super) fn read(table: Table<'_>) -> Option<Self> {
        let mut uses = Uses::default();
        let service = table.required_text("service");
        let label = |key| {
            table.required_text(key).inspect(|text| {
                if let Err(message) = names::label(&text.value) {
                    table.notes.add(text.at, format!("`{key}`: {message}"));
                }
            })
        };
        let (from, to) = (label("from"), label("to"));
        let command = command(&table, Place::Migration, &mut uses);
        let in_place = table.flag("in_place").is_some_and(|f| f.value);
        if let (Some(from), Some(to)) = (&from, &to)
            && from.value == to.value
        {
            table
                .notes
                .add(to.at, format!("`to` is `{}`, the same as `from`", to.value));
        }
        table.finish();
        let (service, from) = (service?, from?);
        Some(Self {
            migration: Migration {
                service: service.value.clone(),
                from: from.value.clone(),
                to: to?.value,
                command,
                in_place,
            },
            service,
            from,
            uses,
        })
    }
}
