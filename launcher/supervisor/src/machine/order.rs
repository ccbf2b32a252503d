//! Owns the order of services: who waits for whom, what a start needs, what a stop takes with it.

use std::collections::{BTreeMap, BTreeSet};

use kojibox_packs::manifest::Condition;

use super::{Desired, Machine, Reason, ReasonCode, Rules, Service, State};

/// Services that wait for each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("services wait for each other: {}", .0.join(" -> "))]
pub struct CycleError(pub Vec<String>);

/// Finds services that wait for each other in a circle, the first one repeated at the end.
pub fn find_cycle(rules: &BTreeMap<String, Rules>) -> Result<(), CycleError> {
    let mut done = BTreeSet::new();
    for name in rules.keys() {
        walk(name, rules, &mut Vec::new(), &mut done)?;
    }
    Ok(())
}

fn walk<'a>(
    name: &'a str,
    rules: &'a BTreeMap<String, Rules>,
    path: &mut Vec<&'a str>,
    done: &mut BTreeSet<&'a str>,
) -> Result<(), CycleError> {
    if let Some(at) = path.iter().position(|p| *p == name) {
        let circle = path[at..].iter().chain([&name]);
        return Err(CycleError(circle.map(|s| (*s).to_owned()).collect()));
    }
    if done.contains(name) {
        return Ok(());
    }
    path.push(name);
    for next in rules.get(name).into_iter().flat_map(Rules::refers_to) {
        walk(next, rules, path, done)?;
    }
    path.pop();
    done.insert(name);
    Ok(())
}

/// What stands between a service and its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// Not yet.
    Closed(Reason),
    /// Never, unless a person acts.
    Barred(Reason),
}

impl Machine {
    /// The services `names` need, themselves included.
    pub(super) fn needs(&self, names: &[String]) -> BTreeSet<String> {
        self.reach(names, |_, service| {
            service.rules.refers_to().map(str::to_owned).collect()
        })
    }

    /// The services that cannot stay when `names` stop, themselves included.
    pub(super) fn leans_on(&self, names: &[String]) -> BTreeSet<String> {
        self.reach(names, |name, _| {
            let hard = |s: &Service| s.rules.requires.contains_key(name) || s.rules.binds.iter().any(|b| b == name);
            let leaning = self.services.iter().filter(|(_, s)| hard(s));
            leaning.map(|(n, _)| n.clone()).collect()
        })
    }

    fn reach(&self, names: &[String], next: impl Fn(&str, &Service) -> Vec<String>) -> BTreeSet<String> {
        let mut open: Vec<String> = names.to_vec();
        let mut found = BTreeSet::new();
        while let Some(name) = open.pop() {
            if let Some(service) = self.services.get(&name)
                && found.insert(name.clone())
            {
                open.extend(next(&name, service));
            }
        }
        found
    }

    /// True if a service that refers to `name` still has to end first.
    pub(super) fn held_by_others(&self, name: &str) -> bool {
        let ending = |s: &Service| {
            (s.alive || s.state == State::Preparing) && (s.desired == Desired::Down || s.state == State::Stopping)
        };
        let mut others = self.services.iter().filter(|(other, _)| *other != name);
        others.any(|(_, s)| ending(s) && s.state != State::Failed && s.rules.refers_to().any(|r| r == name))
    }

    /// Looks at what `service` waits for; `patient` is false once it has waited long enough for what it only wants.
    pub(super) fn gate(&self, service: &Service, patient: bool) -> Gate {
        if let Some(reason) = &service.rules.broken {
            return Gate::Barred(reason.clone());
        }
        let mut closed = None;
        for (name, condition) in service.rules.waits_for() {
            match self.services.get(name) {
                None => return Gate::Barred(not_installed(name)),
                Some(other) if other.meets(condition) => {}
                Some(other) => match Self::hopeless(name, other) {
                    Some(reason) => return Gate::Barred(reason),
                    None => closed = closed.or_else(|| Some(waits(name, condition, other))),
                },
            }
        }
        let wants = service.rules.wants.iter().filter(|_| patient);
        for (name, condition) in wants {
            if let Some(other) = self.services.get(name)
                && !other.meets(*condition)
                && Self::hopeless(name, other).is_none()
            {
                closed = closed.or_else(|| Some(waits(name, *condition, other)));
            }
        }
        closed.map_or(Gate::Open, Gate::Closed)
    }

    /// Says why `other` will not get there by itself; the root cause is named, not the chain.
    fn hopeless(name: &str, other: &Service) -> Option<Reason> {
        let fix = |n: &str| format!("read `kojibox logs {n} --since 10m`, then `kojibox up`");
        match other.state {
            State::Failed => {
                let inner = other.reason.as_ref();
                if let Some(root) = inner.filter(|r| r.code == ReasonCode::Dependency) {
                    return Some(root.clone());
                }
                let why = inner.map_or("failed", |r| r.text.as_str());
                let text = format!("needs `{name}`, which failed: {why}");
                Some(Reason::new(ReasonCode::Dependency, text, fix(name)))
            }
            State::Disabled => Some(Reason::new(
                ReasonCode::Dependency,
                format!("needs `{name}`, which is disabled"),
                format!("enable `{name}`"),
            )),
            State::Stopped if other.desired == Desired::Down => Some(Reason::new(
                ReasonCode::Dependency,
                format!("needs `{name}`, which is stopped"),
                format!("run `kojibox up {name}`"),
            )),
            State::Completed => Some(Reason::new(
                ReasonCode::Dependency,
                format!("needs `{name}` to run, but that has ended"),
                format!("run `kojibox up {name}`"),
            )),
            _ => None,
        }
    }
}

fn not_installed(name: &str) -> Reason {
    Reason::new(
        ReasonCode::Dependency,
        format!("needs `{name}`, which is not installed"),
        format!("install the component of `{name}`"),
    )
}

fn waits(name: &str, condition: Condition, other: &Service) -> Reason {
    let what = match condition {
        Condition::Started => "to start",
        Condition::Ready => "to be ready",
        Condition::Completed => "to complete",
    };
    let mut text = format!("waits for `{name}` {what}");
    if let Some(why) = &other.reason {
        text = format!("{text} ({})", why.text);
    }
    let fix = other.reason.as_ref().map_or_else(
        || format!("wait, or see `{name}` in `kojibox status`"),
        |r| r.fix.clone(),
    );
    Reason::new(ReasonCode::Waiting, text, fix)
}

impl Service {
    /// True if a service that waits for this one under `condition` may go on.
    pub(super) fn meets(&self, condition: Condition) -> bool {
        match (condition, self.state) {
            (Condition::Started, State::Starting) => self.pid.is_some(),
            (Condition::Started, State::Running | State::Degraded)
            | (Condition::Ready, State::Running)
            | (_, State::Completed) => true,
            _ => false,
        }
    }
}
