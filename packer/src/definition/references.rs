//! Owns the checks across tables: duplicates, names that nothing has, circles, placeholders.

use std::collections::{BTreeMap, BTreeSet};

use kojibox_packs::{
    Os, Target,
    manifest::{Condition, ServiceKind},
};

use super::{
    Declared,
    mistake::{Located, Notes, Place as At},
    placeholder::{Place, Use, Uses},
    service::RawService,
};

/// Checks what does not depend on the target.
pub(super) fn check(declared: &Declared, notes: &Notes) {
    let names = Names::of(declared);
    check_unique(declared, notes);
    if declared.components.is_empty() {
        notes.add(At::default(), "the definition has no `[[component]]`");
    }
    for component in &declared.components {
        for other in component.requires.iter().chain(&component.conflicts) {
            known(notes, "component", other, &names.components);
        }
        for other in &component.conflicts {
            if component.requires.iter().any(|r| r.value == other.value) || other.value == component.id.value {
                let message = format!(
                    "`{}` cannot conflict with what it needs, `{}`",
                    component.id.value, other.value
                );
                notes.add(other.at, message);
            }
        }
    }
    for service in &declared.services {
        check_service(service, declared, &names, notes);
    }
    check_pins(declared, notes);
    check_circles(declared, notes);
    for template in &declared.templates {
        known(notes, "service", &template.service, &names.services);
    }
    for migration in &declared.migrations {
        if known(notes, "service", &migration.service, &names.services) {
            check_uses(&migration.uses, &migration.service.value, declared, &names, notes);
        }
    }
}

/// Refuses the check `notify` where a service may run on a system that does not say who sent a datagram.
pub(super) fn check_notify(declared: &Declared, targets: &[Target], notes: &Notes) {
    for service in &declared.services {
        let Some(at) = service.uses.notify else { continue };
        let elsewhere = |t: &&Target| t.os() != Some(Os::Linux) && service.targets.includes(**t);
        if let Some(target) = targets.iter().find(elsewhere) {
            let message = format!(
                "the check `notify` works on Linux only, and `{}` may run on `{target}`; expected another check, or `targets = [\"linux-*\"]` for the service",
                service.id.value
            );
            notes.add(at, message);
        }
    }
}

/// The names that others may use.
struct Names<'d> {
    components: Vec<&'d str>,
    services: Vec<&'d str>,
    secrets: Vec<&'d str>,
    questions: Vec<&'d str>,
}

impl<'d> Names<'d> {
    fn of(declared: &'d Declared) -> Self {
        Self {
            components: declared.components.iter().map(|c| c.id.value.as_str()).collect(),
            services: declared.services.iter().map(|s| s.id.value.as_str()).collect(),
            secrets: declared.secrets.iter().map(|s| s.value.id.as_str()).collect(),
            questions: declared.questions.iter().map(|q| q.value.id.as_str()).collect(),
        }
    }
}

fn known(notes: &Notes, what: &str, name: &Located<String>, names: &[&str]) -> bool {
    let found = names.contains(&name.value.as_str());
    if !found {
        let message = format!("there is no {what} `{}`", name.value);
        notes.unknown(name.at, message, &name.value, names.iter().copied());
    }
    found
}

fn check_unique(declared: &Declared, notes: &Notes) {
    let twice = |what: &str, names: Vec<(String, At)>| {
        let mut seen = BTreeSet::new();
        for (name, at) in names {
            if !seen.insert(name.clone()) {
                notes.add(at, format!("the {what} `{name}` stands twice"));
            }
        }
    };
    let ids = |ids: Vec<&Located<String>>| ids.into_iter().map(|i| (i.value.clone(), i.at)).collect();
    twice("component", ids(declared.components.iter().map(|c| &c.id).collect()));
    twice("service", ids(declared.services.iter().map(|s| &s.id).collect()));
    twice(
        "secret",
        declared.secrets.iter().map(|s| (s.value.id.clone(), s.at)).collect(),
    );
    twice(
        "question",
        declared.questions.iter().map(|q| (q.value.id.clone(), q.at)).collect(),
    );
    let templates = declared.templates.iter();
    twice("template", templates.map(|t| (t.packed_path(), t.target.at)).collect());
    let migrations = declared.migrations.iter();
    twice(
        "migration",
        migrations
            .map(|m| (format!("{} from {}", m.service.value, m.from.value), m.from.at))
            .collect(),
    );
}

fn check_service(service: &RawService, declared: &Declared, names: &Names<'_>, notes: &Notes) {
    known(notes, "component", &service.component, &names.components);
    for (other, condition) in &service.needs {
        if !known(notes, "service", other, &names.services) {
            continue;
        }
        let oneshot = declared
            .services
            .iter()
            .any(|s| s.id.value == other.value && s.service.kind == ServiceKind::Oneshot);
        if *condition == Some(Condition::Completed) && !oneshot {
            let message = format!("`{}` never completes: it is no service of kind `oneshot`", other.value);
            notes.add(other.at, message);
        }
    }
    check_uses(&service.uses, &service.id.value, declared, names, notes);
}

fn check_pins(declared: &Declared, notes: &Notes) {
    let mut pins: BTreeMap<u16, &str> = BTreeMap::new();
    for service in &declared.services {
        for (port, at) in &service.pinned {
            if let Some(first) = pins.insert(*port, &service.id.value) {
                notes.add(*at, format!("port {port} is pinned by `{first}` too"));
            }
        }
    }
}

/// Finds circles among components and among services; each is told once, where it closes.
fn check_circles(declared: &Declared, notes: &Notes) {
    let mut components: Graph<'_> = BTreeMap::new();
    for component in &declared.components {
        let edges = components.entry(&component.id.value).or_default();
        edges.extend(&component.requires);
    }
    circles("component", &components, notes);
    let mut services: Graph<'_> = BTreeMap::new();
    for service in &declared.services {
        let edges = services.entry(&service.id.value).or_default();
        edges.extend(service.needs.iter().map(|(other, _)| other));
    }
    circles("service", &services, notes);
}

type Graph<'d> = BTreeMap<&'d str, Vec<&'d Located<String>>>;

fn circles(what: &str, graph: &Graph<'_>, notes: &Notes) {
    let mut done = BTreeSet::new();
    for start in graph.keys() {
        // The way down to the current node, each with the next edge to follow.
        let mut way: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((node, next)) = way.last_mut() {
            let node = *node;
            let edge = graph.get(node).and_then(|edges| edges.get(*next));
            let Some(edge) = edge.filter(|_| !done.contains(node)) else {
                done.insert(node);
                way.pop();
                continue;
            };
            *next += 1;
            let to = edge.value.as_str();
            if let Some(from) = way.iter().position(|(n, _)| *n == to) {
                let names = way[from..].iter().map(|(n, _)| *n).chain([to]);
                let circle = names.collect::<Vec<_>>().join("` needs `");
                notes.add(edge.at, format!("circle: {what} `{circle}`"));
            } else if graph.contains_key(to) && !done.contains(to) {
                way.push((to, 0));
            }
        }
    }
}

/// Names of placeholders and whether each takes an argument: always, never, or if it likes.
const PLACEHOLDERS: [(&str, Takes); 14] = [
    ("answer", Takes::Always),
    ("component", Takes::Maybe),
    ("component_old", Takes::Never),
    ("config", Takes::Never),
    ("data", Takes::Never),
    ("data_old", Takes::Never),
    ("exe", Takes::Never),
    ("logs", Takes::Never),
    ("port", Takes::Always),
    ("root", Takes::Never),
    ("run", Takes::Never),
    ("secret", Takes::Always),
    ("secret_file", Takes::Always),
    ("temp", Takes::Never),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Always,
    Maybe,
    Never,
}

fn check_uses(uses: &Uses, service: &str, declared: &Declared, names: &Names<'_>, notes: &Notes) {
    for used in &uses.all {
        let Some((_, takes)) = PLACEHOLDERS.iter().find(|(name, _)| *name == used.name) else {
            let message = format!("unknown placeholder `{{{}}}`", used.name);
            notes.unknown(used.at, message, &used.name, PLACEHOLDERS.iter().map(|(name, _)| *name));
            continue;
        };
        match (takes, &used.argument) {
            (Takes::Always, None) => notes.add(
                used.at,
                format!("`{{{0}}}` names nothing, expected `{{{0}:…}}`", used.name),
            ),
            (Takes::Never, Some(_)) => notes.add(used.at, format!("`{{{}}}` takes no name", used.name)),
            _ => check_use(used, service, declared, names, notes),
        }
    }
}

fn check_use(used: &Use, service: &str, declared: &Declared, names: &Names<'_>, notes: &Notes) {
    let argument = used.argument.as_ref().map(|value| Located {
        value: value.clone(),
        at: used.at,
    });
    match (used.name.as_str(), &argument) {
        ("data_old" | "component_old", _) if used.place != Place::Migration => {
            notes.add(used.at, format!("`{{{}}}` stands in a migration only", used.name));
        }
        ("secret", _) if used.place != Place::Env => {
            let way = format!("`{{secret_file:{}}}`", used.argument.as_deref().unwrap_or_default());
            let message =
                format!("`{{secret:…}}` would show the secret to every user of the machine, expected {way} here");
            notes.add(used.at, message);
        }
        ("secret" | "secret_file", Some(id)) => drop(known(notes, "secret", id, &names.secrets)),
        ("answer", Some(id)) => drop(known(notes, "question", id, &names.questions)),
        ("component", Some(id)) => drop(known(notes, "component", id, &names.components)),
        ("port", Some(port)) => check_port(port, service, declared, names, notes),
        _ => {}
    }
}

fn check_port(port: &Located<String>, service: &str, declared: &Declared, names: &Names<'_>, notes: &Notes) {
    let (owner, name) = match port.value.split_once('.') {
        Some((owner, name)) => (owner, name),
        None => (service, port.value.as_str()),
    };
    let owner_name = Located {
        value: owner.to_owned(),
        at: port.at,
    };
    if !known(notes, "service", &owner_name, &names.services) {
        return;
    }
    let ports = declared
        .services
        .iter()
        .filter(|s| s.id.value == owner)
        .flat_map(|s| s.service.ports.keys());
    let ports: Vec<_> = ports.map(String::as_str).collect();
    if !ports.contains(&name) {
        let message = format!("the service `{owner}` has no port `{name}`");
        notes.unknown(port.at, message, name, ports);
    }
}
