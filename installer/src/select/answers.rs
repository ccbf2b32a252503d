//! Owns answers and ports: what the packs ask, what was given, what holds where nothing was given.

use std::collections::{BTreeMap, BTreeSet};

use kojibox_packs::manifest::{Manifest, Question, QuestionKind};

use super::Chosen;
use crate::answers::or_nearest;

/// Answers and ports of the next generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// By question id.
    pub answers: BTreeMap<String, String>,
    /// `service.name` to number; only what a person asked for.
    pub ports: BTreeMap<String, u16>,
}

/// A given answer or port that cannot be: the table and the entry it stands under, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Mistake {
    /// `answers` or `ports`.
    pub table: &'static str,
    /// Entry in it.
    pub name: String,
    /// What is wrong.
    pub what: String,
}

/// Says what is wrong with `text` as an answer to `question`.
pub(crate) fn check_answer(question: &Question, text: &str) -> Result<(), String> {
    let fail = |expected: String| Err(format!("`{text}` is not {expected}"));
    match question.kind {
        QuestionKind::Text if text.chars().any(char::is_control) => fail("one line of text".to_owned()),
        QuestionKind::Port if !text.parse::<u16>().is_ok_and(|p| p > 0) => fail("a port from 1 to 65535".to_owned()),
        QuestionKind::Bool if !["true", "false"].contains(&text) => fail("`true` or `false`".to_owned()),
        QuestionKind::Choice if !question.choices.iter().any(|c| c == text) => {
            let list: Vec<_> = question.choices.iter().map(|c| format!("`{c}`")).collect();
            fail(format!("one of {}", list.join(", ")))
        }
        _ => Ok(()),
    }
}

/// Puts together what was given now, what an earlier generation had, and the packs' defaults.
///
/// # Errors
/// The first entry of `given` that no pack asks for or that cannot be; or a question without answer and default.
pub(crate) fn settle(chosen: &[Chosen<'_>], given: &Settings, before: &Settings) -> Result<Settings, Mistake> {
    let mut settled = Settings::default();
    let questions: Vec<&Question> = chosen.iter().flat_map(|c| &c.manifest.questions).collect();
    if let Some(id) = given.answers.keys().find(|id| !questions.iter().any(|q| q.id == **id)) {
        let known: Vec<_> = questions.iter().map(|q| q.id.as_str()).collect();
        let what = format!("no pack asks `{id}`{}", or_nearest(id, &known));
        return Err(mistake("answers", id, what));
    }
    for question in questions {
        let text = [
            given.answers.get(&question.id),
            before.answers.get(&question.id),
            question.default.as_ref(),
        ]
        .into_iter()
        .flatten()
        .next()
        .ok_or_else(|| {
            mistake(
                "answers",
                &question.id,
                format!("an answer to `{}` is needed", question.id),
            )
        })?;
        check_answer(question, text).map_err(|what| mistake("answers", &question.id, what))?;
        settled.answers.insert(question.id.clone(), text.clone());
    }
    let known: BTreeSet<String> = chosen
        .iter()
        .flat_map(|c| port_names(c.manifest, &c.components))
        .collect();
    if let Some(name) = given.ports.keys().find(|name| !known.contains(*name)) {
        let list: Vec<_> = known.iter().map(String::as_str).collect();
        let what = format!("no chosen service has a port `{name}`{}", or_nearest(name, &list));
        return Err(mistake("ports", name, what));
    }
    let kept = before.ports.iter().filter(|(name, _)| known.contains(*name));
    settled.ports = kept
        .chain(&given.ports)
        .map(|(name, port)| (name.clone(), *port))
        .collect();
    Ok(settled)
}

fn mistake(table: &'static str, name: &str, what: String) -> Mistake {
    let name = name.to_owned();
    Mistake { table, name, what }
}

/// `service.name` of every port of the chosen components.
pub(crate) fn port_names<'a>(
    manifest: &'a Manifest,
    chosen: &'a BTreeSet<String>,
) -> impl Iterator<Item = String> + 'a {
    let services = manifest.services.iter().filter(|s| chosen.contains(&s.component));
    services.flat_map(|s| s.ports.keys().map(move |port| format!("{}.{port}", s.id)))
}

#[cfg(test)]
mod tests {
    use kojibox_packs::manifest::{Manifest, Question, QuestionKind};

    use super::{super::Chosen, Settings, settle};
    use crate::testing::{component, manifest, service};

    fn pack() -> Manifest {
        let mut pack = manifest("edge", "1.0.0", 1);
        pack.components = vec![component("web", true, &[])];
        pack.services = vec![service("web", "web", 8080)];
        let ask = |id: &str, kind, default: Option<&str>, choices: &[&str]| Question {
            id: id.to_owned(),
            prompt: [].into(),
            default: default.map(str::to_owned),
            kind,
            choices: choices.iter().map(|&c| c.to_owned()).collect(),
        };
        pack.questions = vec![
            ask("web_port", QuestionKind::Port, Some("8080"), &[]),
            ask("theme", QuestionKind::Choice, Some("light"), &["light", "dark"]),
            ask("name", QuestionKind::Text, None, &[]),
        ];
        pack
    }

    fn settings(answers: &[(&str, &str)], ports: &[(&str, u16)]) -> Settings {
        Settings {
            answers: answers.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect(),
            ports: ports.iter().map(|&(k, v)| (k.to_owned(), v)).collect(),
        }
    }

    fn settled(given: &Settings, before: &Settings) -> Result<Settings, String> {
        let pack = pack();
        let chosen = [Chosen {
            kept: false,
            manifest: &pack,
            components: ["web".to_owned()].into(),
        }];
        settle(&chosen, given, before).map_err(|m| format!("{} / {}: {}", m.table, m.name, m.what))
    }

    #[test]
    fn given_beats_kept_beats_default() {
        let before = settings(
            &[("name", "ani"), ("theme", "dark"), ("gone", "x")],
            &[("web.main", 1), ("old.main", 2)],
        );
        let got = settled(&settings(&[("name", "budi")], &[("web.main", 3)]), &before).unwrap();
        assert_eq!(
            got,
            settings(
                &[("name", "budi"), ("theme", "dark"), ("web_port", "8080")],
                &[("web.main", 3)]
            )
        );
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        let none = Settings::default();
        let told = |answers, ports| settled(&settings(answers, ports), &none).unwrap_err();
        insta::assert_snapshot!(told(&[], &[]), @"answers / name: an answer to `name` is needed");
        insta::assert_snapshot!(told(&[("name", "x"), ("web_prot", "1")], &[]), @"answers / web_prot: no pack asks `web_prot`, did you mean `web_port`?");
        insta::assert_snapshot!(told(&[("name", "x"), ("web_port", "0")], &[]), @"answers / web_port: `0` is not a port from 1 to 65535");
        insta::assert_snapshot!(told(&[("name", "x"), ("theme", "red")], &[]), @"answers / theme: `red` is not one of `light`, `dark`");
        insta::assert_snapshot!(told(&[("name", "x\ny")], &[]), @"
        answers / name: `x
        y` is not one line of text
        ");
        insta::assert_snapshot!(told(&[("name", "x")], &[("web.mian", 1)]), @"ports / web.mian: no chosen service has a port `web.mian`, did you mean `web.main`?");
    }
}
