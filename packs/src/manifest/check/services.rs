//! Owns the rules for what the launcher is told: services, templates, secrets, questions, migrations.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Checked, MAX_ITEMS, Manifest, count, id, must, size, unique};
use crate::{
    manifest::{PACK_FILES, QuestionKind, Service, check::components::data_format},
    path::PackPath,
};

/// Longest secret in characters.
const MAX_SECRET: u64 = 1024;

impl Manifest {
    pub(super) fn check_services(&self) -> Checked {
        for (at, len) in [
            ("services", self.services.len()),
            ("templates", self.templates.len()),
            ("secrets", self.secrets.len()),
            ("questions", self.questions.len()),
            ("migrations", self.migrations.len()),
        ] {
            count(at, len, MAX_ITEMS)?;
        }
        unique("services", self.services.iter().map(|s| &s.id))?;
        for (i, service) in self.services.iter().enumerate() {
            self.check_service(&format!("services[{i}]"), service)?;
        }
        self.check_order()?;
        self.check_templates()?;
        self.check_secrets()?;
        self.check_questions()?;
        self.check_migrations()
    }

    fn has_service(&self, name: &str) -> bool {
        self.services.iter().any(|s| s.id == name)
    }

    fn check_service(&self, at: &str, service: &Service) -> Checked {
        let at = |field: &str| format!("{at}.{field}");
        id(at("id"), &service.id)?;
        let component = self.components.iter().any(|c| c.id == service.component);
        must(component, at("component"), "names no component of this pack")?;
        command(&at("command"), &service.command)?;
        if let Some(init) = &service.init {
            command(&at("init.command"), &init.command)?;
        }
        for (name, port) in &service.ports {
            let at = at(&format!("ports.{}", name.escape_debug()));
            must(
                is_key(name),
                &at,
                "must be named by 1 to 40 of `a` to `z`, `0` to `9`, `_` and `-`",
            )?;
            size(format_args!("{at}.prefer"), port.prefer.into(), 1, 65_535)?;
        }
        for (name, list) in [("requires", &service.requires), ("wants", &service.wants)] {
            for other in list.keys() {
                let known = *other != service.id && self.has_service(other);
                must(
                    known,
                    at(name),
                    format_args!("names `{}`, which is no other service", other.escape_debug()),
                )?;
            }
        }
        for (i, other) in service.binds.iter().enumerate() {
            let known = *other != service.id && self.has_service(other);
            must(known, at(&format!("binds[{i}]")), "names no other service of this pack")?;
        }
        for step in service.stop.unix.iter().chain(&service.stop.windows) {
            must(
                step.signal.is_some() != step.run.is_some(),
                at("stop"),
                "must give each step a signal or a program",
            )?;
            if let Some(run) = &step.run {
                command(&at("stop.run"), run)?;
            }
        }
        service
            .data_format
            .iter()
            .try_for_each(|format| data_format(&at("data_format"), format))
    }

    /// Services that wait for each other would never start.
    fn check_order(&self) -> Checked {
        let mut waits: HashMap<&str, HashSet<&str>> = HashMap::new();
        for service in &self.services {
            let on = service
                .requires
                .keys()
                .chain(service.wants.keys())
                .chain(&service.binds);
            waits.insert(&service.id, on.map(String::as_str).collect());
        }
        while !waits.is_empty() {
            let free: Vec<&str> = waits
                .iter()
                .filter(|(_, on)| on.is_empty())
                .map(|(id, _)| *id)
                .collect();
            if free.is_empty() {
                let mut round: Vec<&str> = waits.into_keys().collect();
                round.sort_unstable();
                return must(
                    false,
                    "services",
                    format_args!("wait for each other: {}", round.join(", ")),
                );
            }
            for id in &free {
                waits.remove(id);
            }
            for on in waits.values_mut() {
                on.retain(|id| !free.contains(id));
            }
        }
        Ok(())
    }

    fn check_templates(&self) -> Checked {
        unique("templates", self.templates.iter().map(|t| (&t.service, &t.target)))?;
        let files = self.components.iter().any(|c| c.id == PACK_FILES);
        for (i, template) in self.templates.iter().enumerate() {
            let at = |field: &str| format!("templates[{i}].{field}");
            must(files, at("source"), "needs the component `_pack`, which is not there")?;
            must(
                self.has_service(&template.service),
                at("service"),
                "names no service of this pack",
            )?;
            path(&at("source"), &template.source)?;
            path(&at("target"), &template.target)?;
        }
        Ok(())
    }

    fn check_secrets(&self) -> Checked {
        unique("secrets", self.secrets.iter().map(|s| &s.id))?;
        for (i, secret) in self.secrets.iter().enumerate() {
            must(is_key(&secret.id), format_args!("secrets[{i}].id"), KEY)?;
            if let Some(length) = secret.length {
                size(format_args!("secrets[{i}].length"), length.into(), 8, MAX_SECRET)?;
            }
        }
        Ok(())
    }

    fn check_questions(&self) -> Checked {
        unique("questions", self.questions.iter().map(|q| &q.id))?;
        for (i, question) in self.questions.iter().enumerate() {
            let at = |field: &str| format!("questions[{i}].{field}");
            must(is_key(&question.id), at("id"), KEY)?;
            count(&at("choices"), question.choices.len(), MAX_ITEMS)?;
            let choice = question.kind == QuestionKind::Choice;
            must(
                choice != question.choices.is_empty(),
                at("choices"),
                "must be there for a choice, and only then",
            )?;
            if let Some(default) = &question.default {
                let fits = match question.kind {
                    QuestionKind::Text => true,
                    QuestionKind::Port => default.parse::<u16>().is_ok_and(|port| port != 0),
                    QuestionKind::Bool => default == "true" || default == "false",
                    QuestionKind::Choice => question.choices.contains(default),
                };
                must(fits, at("default"), "is no answer to its own question")?;
            }
        }
        Ok(())
    }

    fn check_migrations(&self) -> Checked {
        let mut steps = BTreeMap::new();
        for (i, migration) in self.migrations.iter().enumerate() {
            let at = |field: &str| format!("migrations[{i}].{field}");
            must(
                self.has_service(&migration.service),
                at("service"),
                "names no service of this pack",
            )?;
            data_format(&at("from"), &migration.from)?;
            data_format(&at("to"), &migration.to)?;
            must(migration.from != migration.to, at("to"), "must differ from `from`")?;
            command(&at("command"), &migration.command)?;
            let step = (&migration.service, &migration.from, &migration.to);
            must(
                steps.insert(step, i).is_none(),
                format_args!("migrations[{i}]"),
                "is there twice",
            )?;
        }
        Ok(())
    }
}

const KEY: &str = "must be 1 to 40 of `a` to `z`, `0` to `9`, `_` and `-`";

/// Names of ports, secrets and answers, which placeholders carry.
fn is_key(text: &str) -> bool {
    let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=crate::names::MAX_ID).contains(&text.len()) && text.bytes().all(allowed)
}

fn command(at: &str, command: &[String]) -> Checked {
    count(at, command.len(), MAX_ITEMS)?;
    let program = command.first().is_some_and(|program| !program.is_empty());
    must(program, at, "must name a program")?;
    must(
        !command.iter().any(|arg| arg.contains('\0')),
        at,
        "must not hold a NUL character",
    )
}

fn path(at: &str, text: &str) -> Checked {
    match PackPath::new(text) {
        Ok(_) => Ok(()),
        Err(error) => must(false, at, format_args!("must be a path: {error}")),
    }
}
