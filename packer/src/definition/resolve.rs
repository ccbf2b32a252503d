//! Owns the answer for one target: what is left out, and what then refers to nothing.

use std::collections::BTreeSet;

use kojibox_packs::{Target, manifest::Template};

use super::{
    Declared,
    mistake::{Located, Notes},
    resolved::{PackFacts, PackFile, ResolvedPack},
    service::RawService,
};

/// Answers for `target`; what is wrong is noted.
pub(super) fn resolve(
    facts: &PackFacts,
    declared: &Declared,
    target: Target,
    strict: bool,
    notes: &Notes,
) -> ResolvedPack {
    let here: BTreeSet<&str> = declared
        .components
        .iter()
        .filter(|c| c.is_for(target))
        .map(|c| c.id.value.as_str())
        .collect();
    // A component that nobody declares is a mistake of its own.
    let left_out = |id: &str| !here.contains(id) && declared.components.iter().any(|c| c.id.value == id);
    let services: Vec<&RawService> = declared
        .services
        .iter()
        .filter(|s| s.targets.includes(target) && !left_out(&s.component.value))
        .collect();
    check_left_out(declared, &here, &services, target, notes);
    let running: BTreeSet<&str> = services.iter().map(|s| s.id.value.as_str()).collect();
    let is_here = |service: &Located<String>| running.contains(service.value.as_str());
    let mut components: Vec<_> = declared
        .components
        .iter()
        .filter(|c| c.is_for(target))
        .filter_map(|c| c.resolve(target, strict, notes))
        .map(|mut c| {
            c.conflicts.retain(|other| here.contains(other.as_str()));
            c
        })
        .collect();
    components.sort_by(|a, b| a.id.cmp(&b.id));
    let templates: Vec<_> = declared.templates.iter().filter(|t| is_here(&t.service)).collect();
    let mut pack_files: Vec<_> = templates
        .iter()
        .map(|t| PackFile {
            path: t.packed_path(),
            from: t.from.clone(),
        })
        .collect();
    pack_files.sort();
    ResolvedPack {
        pack: facts.clone(),
        target,
        services: services.iter().map(|s| with_format(s, declared)).collect(),
        templates: templates
            .iter()
            .map(|t| Template {
                service: t.service.value.clone(),
                source: t.packed_path(),
                target: t.target.value.clone(),
                format: t.format,
            })
            .collect(),
        pack_files,
        secrets: declared.secrets.iter().map(|s| s.value.clone()).collect(),
        questions: declared.questions.iter().map(|q| q.value.clone()).collect(),
        migrations: declared
            .migrations
            .iter()
            .filter(|m| is_here(&m.service))
            .map(|m| m.migration.clone())
            .collect(),
        components,
    }
}

fn with_format(service: &RawService, declared: &Declared) -> kojibox_packs::manifest::Service {
    let mut out = service.service.clone();
    let component = declared
        .components
        .iter()
        .find(|c| c.id.value == service.component.value);
    out.data_format = component.and_then(|c| c.data_format.as_ref()).map(|f| f.value.clone());
    out
}

/// Notes what needs something that exists, but not for this target.
fn check_left_out(declared: &Declared, here: &BTreeSet<&str>, services: &[&RawService], target: Target, notes: &Notes) {
    let absent = |what: &str, name: &Located<String>, all: bool, present: bool| {
        if all && !present {
            notes.add(
                name.at,
                format!("the {what} `{}` is not there for the target `{target}`", name.value),
            );
        }
    };
    let is_component = |name: &str| declared.components.iter().any(|c| c.id.value == name);
    for component in declared.components.iter().filter(|c| c.is_for(target)) {
        for other in &component.requires {
            absent(
                "component",
                other,
                is_component(&other.value),
                here.contains(other.value.as_str()),
            );
        }
    }
    let is_service = |name: &str| declared.services.iter().any(|s| s.id.value == name);
    let runs = |name: &str| services.iter().any(|s| s.id.value == name);
    for service in services {
        for (other, _) in &service.needs {
            absent("service", other, is_service(&other.value), runs(&other.value));
        }
        for used in &service.uses.all {
            let Some(argument) = &used.argument else { continue };
            let named = |value: &str| Located {
                value: value.to_owned(),
                at: used.at,
            };
            match used.name.as_str() {
                "component" => absent(
                    "component",
                    &named(argument),
                    is_component(argument),
                    here.contains(argument.as_str()),
                ),
                "port" => {
                    if let Some((owner, _)) = argument.split_once('.') {
                        absent("service", &named(owner), is_service(owner), runs(owner));
                    }
                }
                _ => {}
            }
        }
    }
}
