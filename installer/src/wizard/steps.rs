//! Owns the steps of the wizard after the language.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use kojibox_console::{Report, bytes, quoted};
use kojibox_packs::manifest::{Manifest, Question, QuestionKind, Text};
use kojibox_signing::root::fingerprint;

use super::{
    Guide,
    texts::{Texts, fill},
};
use crate::{
    flow::Ran,
    select::{check_answer, selectable},
    trust::Chain,
};

/// Text in the person's language, else in English, else any.
pub(super) fn humane<'t>(text: &'t Text, texts: &Texts, otherwise: &'t str) -> &'t str {
    let found = text
        .get(texts.tag)
        .or_else(|| text.get("en"))
        .or_else(|| text.values().next());
    found.map_or(otherwise, String::as_str)
}

impl Guide<'_> {
    /// Says where the packs come from.
    pub(crate) fn introduce(&self, medium: &str) {
        self.asker.say(&fill(self.texts.medium, &[("medium", medium)]));
    }

    /// Asks where to install; `check` says what is wrong with a place.
    pub(crate) fn place(&self, proposed: &Path, check: &dyn Fn(&str) -> Result<(), String>) -> Result<PathBuf, Report> {
        self.asker.heading(self.texts.place_heading);
        self.asker.say(self.texts.place_body);
        let proposed = proposed.display().to_string();
        let place = self
            .asker
            .input(self.texts.place_question, Some(&proposed), "--root", check)?;
        Ok(PathBuf::from(place.trim()))
    }

    /// Shows the fingerprint of a publisher and asks whether it is the one that the publisher gave.
    pub(crate) fn trust(&self, chain: &Chain) -> Result<bool, Report> {
        self.asker.heading(self.texts.trust_heading);
        let print = fingerprint(chain.newest.bytes());
        self.asker.say(&fill(self.texts.trust_body, &[("fingerprint", &print)]));
        // No is the default: enter pressed without reading trusts nobody.
        self.asker.confirm(self.texts.trust_question, false, "--fingerprint")
    }

    /// Asks which of the packs to install: the newest of each name.
    pub(crate) fn packs(&self, newest: &[&Manifest], installed: &BTreeSet<&str>) -> Result<Vec<usize>, Report> {
        self.asker.heading(self.texts.packs_heading);
        let items: Vec<_> = newest
            .iter()
            .map(|m| {
                let title = humane(&m.title, self.texts, &m.pack);
                let checked = newest.len() == 1 || installed.contains(m.pack.as_str());
                (format!("{title} ({} {})", m.pack, m.version), checked)
            })
            .collect();
        loop {
            let chosen = self.asker.multi_select(self.texts.packs_question, &items, "PACK")?;
            if !chosen.is_empty() {
                return Ok(chosen);
            }
            self.asker.say(self.texts.packs_none);
        }
    }

    /// Asks which components of a pack to install.
    pub(crate) fn components(
        &self,
        manifest: &Manifest,
        preselected: &BTreeSet<String>,
    ) -> Result<BTreeSet<String>, Report> {
        let all: Vec<_> = selectable(manifest).collect();
        if all.len() < 2 {
            return Ok(all.iter().map(|c| c.id.clone()).collect());
        }
        let pack = humane(&manifest.title, self.texts, &manifest.pack);
        self.asker
            .heading(&fill(self.texts.components_heading, &[("pack", pack)]));
        let items: Vec<_> = all
            .iter()
            .map(|c| {
                let title = humane(&c.title, self.texts, &c.id);
                let license = if c.license.is_empty() { "" } else { ", " };
                let about = format!("{}{license}{}", bytes(c.installed_size), c.license);
                let label = format!("{title} {} ({about})", c.version);
                (label, preselected.contains(&c.id))
            })
            .collect();
        let chosen = self
            .asker
            .multi_select(self.texts.components_question, &items, "--component")?;
        Ok(chosen
            .into_iter()
            .filter_map(|i| all.get(i))
            .map(|c| c.id.clone())
            .collect())
    }

    /// Shows the ports and asks for others; gives back the ones that the person changed.
    pub(crate) fn ports(
        &self,
        ports: &BTreeMap<String, u16>,
        busy: &BTreeSet<u16>,
    ) -> Result<BTreeMap<String, u16>, Report> {
        if ports.is_empty() {
            return Ok(BTreeMap::new());
        }
        self.asker.heading(self.texts.ports_heading);
        let width = ports.keys().map(String::len).max().unwrap_or(0);
        for (name, port) in ports {
            let taken = if busy.contains(port) {
                format!("  ({})", self.texts.ports_taken)
            } else {
                String::new()
            };
            self.asker.say(&format!("  {name:width$}  {port}{taken}"));
        }
        if self.asker.confirm(self.texts.ports_question, true, "--port")? {
            return Ok(BTreeMap::new());
        }
        let wrong = |text: &str| match text.trim().parse::<u16>() {
            Ok(1..) => Ok(()),
            _ => Err(self.texts.port_wrong.to_owned()),
        };
        let mut changed = BTreeMap::new();
        for (name, port) in ports {
            let question = fill(self.texts.port_question, &[("name", name)]);
            let text = self.asker.input(&question, Some(&port.to_string()), "--port", &wrong)?;
            if let Some(number) = text.trim().parse().ok().filter(|n| n != port) {
                changed.insert(name.clone(), number);
            }
        }
        Ok(changed)
    }

    /// Asks the questions of the packs; `known` has what was answered before.
    pub(crate) fn questions(
        &self,
        questions: &[&Question],
        known: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Report> {
        let mut answers = BTreeMap::new();
        if !questions.is_empty() {
            self.asker.heading(self.texts.questions_heading);
        }
        for question in questions {
            let proposed = known.get(&question.id).or(question.default.as_ref());
            let answer = self.question(question, proposed.map(String::as_str))?;
            answers.insert(question.id.clone(), answer);
        }
        Ok(answers)
    }

    fn question(&self, question: &Question, proposed: Option<&str>) -> Result<String, Report> {
        let prompt = humane(&question.prompt, self.texts, &question.id);
        match question.kind {
            QuestionKind::Bool => {
                let yes = self.asker.confirm(prompt, proposed == Some("true"), "--set")?;
                Ok(yes.to_string())
            }
            QuestionKind::Choice if !question.choices.is_empty() => {
                let default = question.choices.iter().position(|c| Some(c.as_str()) == proposed);
                let at = self
                    .asker
                    .select(prompt, &question.choices, default.unwrap_or(0), "--set")?;
                Ok(question.choices.get(at).cloned().unwrap_or_default())
            }
            _ => {
                let check = |text: &str| check_answer(question, text);
                self.asker.input(prompt, proposed, "--set", &check)
            }
        }
    }

    /// Says which secrets are made, and where they are.
    pub(crate) fn secrets(&self, names: &[String], directory: &Path) {
        if !names.is_empty() {
            let values = [
                ("directory", &*directory.display().to_string()),
                ("names", &*names.join(", ")),
            ];
            self.asker.say(&fill(self.texts.secrets, &values));
        }
    }

    /// Asks whether services are started at the end.
    pub(crate) fn start(&self) -> Result<bool, Report> {
        self.asker.confirm(self.texts.start_question, true, "--no-start")
    }

    /// Shows what will change.
    pub(crate) fn summarise(&self, lines: &[String]) {
        self.asker.heading(self.texts.summary_heading);
        for line in lines {
            self.asker.say(&format!("  {line}"));
        }
    }

    /// Asks for the last yes.
    pub(crate) fn confirm(&self) -> Result<bool, Report> {
        self.asker.confirm(self.texts.confirm_question, true, "--yes")
    }

    /// Asks for another medium; gives where it is. `proposed` is where the one before was.
    pub(crate) fn insert(
        &self,
        part: &str,
        proposed: Option<&Path>,
        check: &dyn Fn(&str) -> Result<(), String>,
    ) -> Result<PathBuf, Report> {
        let question = fill(self.texts.insert_question, &[("part", part)]);
        let proposed = proposed.map(|path| path.display().to_string());
        let typed = self.asker.input(&question, proposed.as_deref(), "--source", check)?;
        Ok(PathBuf::from(typed.trim()))
    }

    /// Asks whether and where to keep the answers.
    pub(crate) fn save_answers(&self, proposed: &Path) -> Result<Option<PathBuf>, Report> {
        if !self.asker.confirm(self.texts.save_question, false, "--save-answers")? {
            return Ok(None);
        }
        let proposed = proposed.display().to_string();
        let file = self
            .asker
            .input(self.texts.save_where, Some(&proposed), "--save-answers", &|_| Ok(()))?;
        Ok(Some(PathBuf::from(file.trim())))
    }

    /// Says where the answers are, and how the next machine is installed with them.
    pub(crate) fn saved(&self, installer: &Path, file: &Path, fingerprint: Option<&str>) {
        let trust = fingerprint
            .map(|print| format!(" --fingerprint {print}"))
            .unwrap_or_default();
        let values = [
            ("installer", &*quoted(installer)),
            ("file", &*quoted(file)),
            ("trust", &*trust),
        ];
        self.asker.say(&fill(self.texts.saved, &values));
    }

    /// Says what runs where, and what to do next.
    pub(crate) fn farewell(&self, root: &Path, installer: &Path, ran: &Ran) {
        self.asker.heading(self.texts.done_heading);
        for service in ran.services.iter().filter(|s| s.state == "running") {
            let addresses: Vec<_> = service.ports.values().map(|port| format!("127.0.0.1:{port}")).collect();
            let text = if addresses.is_empty() {
                self.texts.running
            } else {
                self.texts.running_at
            };
            let values = [("name", service.name.as_str()), ("addresses", &addresses.join(", "))];
            self.asker.say(&fill(text, &values));
        }
        let kojibox = root.join(format!("kojibox{}", std::env::consts::EXE_SUFFIX));
        let values = [
            ("kojibox", &*quoted(&kojibox)),
            ("installer", &*quoted(installer)),
            ("root", &*quoted(root)),
        ];
        let texts = self.texts;
        let with_services = [texts.next_status, texts.next_start, texts.next_stop, texts.next_logs];
        let commands = if kojibox.is_file() { &with_services[..] } else { &[] };
        let back = ran.installed.previous.map(|_| texts.next_rollback);
        for text in commands.iter().chain(&back).chain(&[texts.next_uninstall]) {
            self.asker.say(&fill(text, &values));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use kojibox_packs::manifest::{Manifest, Question, QuestionKind};

    use super::super::Guide;
    use crate::testing::{Scripted, component, manifest};

    fn pack() -> Manifest {
        let mut pack = manifest("edge", "1.0.0", 1);
        pack.title = [
            ("en".to_owned(), "Edge".to_owned()),
            ("id".to_owned(), "Tepi".to_owned()),
        ]
        .into();
        pack.components = vec![component("web", true, &[]), component("extra", false, &[])];
        pack.components[1].license.clear();
        pack
    }

    #[test]
    fn components_show_sizes_and_keep_what_is_preselected() {
        let asker = Scripted::new(["keep"]);
        let preselected = BTreeSet::from(["web".to_owned()]);
        let chosen = Guide::speaking(&asker, "id").components(&pack(), &preselected).unwrap();
        assert_eq!(chosen, preselected);
        insta::assert_snapshot!(asker.transcript(), @"
        # Komponen Tepi
        ? Komponen (spasi memilih, enter melanjutkan)
          [x] web 1.0.0 (1.0 MiB, MIT)
          [ ] extra 1.0.0 (1.0 MiB)
        ");
    }

    #[test]
    fn a_port_is_asked_for_only_when_the_list_is_refused() {
        let ports = [("web.main".to_owned(), 8080), ("web.tls".to_owned(), 8443)].into();
        let asker = Scripted::new(["no", "0", "9090", ""]);
        let changed = Guide::speaking(&asker, "en").ports(&ports, &[8080].into()).unwrap();
        assert_eq!(changed, [("web.main".to_owned(), 9090)].into());
        insta::assert_snapshot!(asker.transcript(), @"
        # Ports
          web.main  8080  (taken by another program; another one will be used)
          web.tls   8443
        ? Use these ports? [true] false
        ? Port of web.main [8080] 0
        ! a port is a number from 1 to 65535
        ? Port of web.main [8080] 9090
        ? Port of web.tls [8443] 8443
        ");
    }

    #[test]
    fn questions_are_asked_by_their_kind_and_wrong_answers_again() {
        let ask = |id: &str, kind, default: Option<&str>, choices: &[&str]| Question {
            id: id.to_owned(),
            prompt: [("en".to_owned(), format!("The {id}"))].into(),
            default: default.map(str::to_owned),
            kind,
            choices: choices.iter().map(|&c| c.to_owned()).collect(),
        };
        let questions = [
            ask("port", QuestionKind::Port, Some("8080"), &[]),
            ask("mail", QuestionKind::Bool, Some("true"), &[]),
            ask("theme", QuestionKind::Choice, None, &["light", "dark"]),
            ask("name", QuestionKind::Text, None, &[]),
        ];
        let asker = Scripted::new(["x", "1234", "", "dark", "Ani"]);
        let all: Vec<_> = questions.iter().collect();
        let known = [("theme".to_owned(), "light".to_owned())].into();
        let answers = Guide::speaking(&asker, "en").questions(&all, &known).unwrap();
        let got: Vec<_> = answers.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(got, ["mail=true", "name=Ani", "port=1234", "theme=dark"]);
        insta::assert_snapshot!(asker.transcript(), @r#"
        # Settings
        ? The port [8080] x
        ! `x` is not a port from 1 to 65535
        ? The port [8080] 1234
        ? The mail [true] true
        ? The theme ["light", "dark"] dark
        ? The name [] Ani
        "#);
    }

    #[test]
    fn enter_trusts_nobody_and_no_pack_is_no_choice() {
        let asker = Scripted::new(["none", "0"]);
        let pack = pack();
        assert_eq!(
            Guide::speaking(&asker, "en").packs(&[&pack], &BTreeSet::new()).unwrap(),
            [0]
        );
        assert!(asker.transcript().contains("Choose at least one pack."));
    }

    #[test]
    fn a_place_is_checked_while_it_is_typed() {
        let asker = Scripted::new(["/etc", ""]);
        let check = |text: &str| {
            if text == "/etc" {
                Err("not there".to_owned())
            } else {
                Ok(())
            }
        };
        let place = Guide::speaking(&asker, "en")
            .place(Path::new("/home/ani/kojibox"), &check)
            .unwrap();
        assert_eq!(place, Path::new("/home/ani/kojibox"));
        assert!(asker.transcript().contains("not there"));
    }

    #[test]
    fn the_language_comes_first_and_speaks_for_all_steps() {
        let asker = Scripted::new(["", "no"]);
        let guide = Guide::ask_language(&asker, "id").unwrap();
        assert!(!guide.confirm().unwrap());
        insta::assert_snapshot!(asker.transcript(), @r#"
        ? Language / Bahasa ["English", "Bahasa Indonesia"] Bahasa Indonesia
        ? Lanjutkan? [true] false
        "#);
    }
}
