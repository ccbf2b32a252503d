//! Owns `doctor`: looks for what could keep services from running, and changes nothing.

use std::path::Path;

use kojibox_console::{Exit, Outcome, Report, Ui, escape};
use kojibox_state::InstallRoot;
use kojibox_supervisor::{
    client::Client,
    diagnosis::{self, Finding},
    stack::Stack,
};

use crate::{Outside, place::Place};

/// Looks and tells.
pub(crate) fn run(place: &Place, outside: &Outside, ui: &Ui) -> Outcome {
    let mut findings = Vec::new();
    findings.push(recovery(&place.root));
    match Stack::load(&place.root) {
        Ok(stack) => {
            findings.push(Finding::good("the active generation can be read"));
            let running = Client::find(&place.root).ok().flatten();
            let status = running.as_ref().and_then(|c| c.status().ok()).unwrap_or_default();
            findings.extend(diagnosis::look(&stack, &status));
            findings.extend(diagnosis::programs(&stack, &outside.environment));
        }
        Err(error) => findings.push(Finding::bad(
            format!("the active generation cannot be read: {}", diagnosis::chain(&error)),
            "run `kojibox-installer verify`",
        )),
    }
    if ui.is_json() {
        ui.json(&std::collections::BTreeMap::from([("findings", &findings)]));
    } else {
        for finding in &findings {
            let mark = if finding.ok { "ok " } else { "BAD" };
            ui.answer(&format!("{mark}  {}", escape(&finding.text)));
            if let Some(fix) = &finding.fix {
                ui.answer(&format!("     {}", escape(fix)));
            }
        }
    }
    match findings.iter().filter(|f| !f.ok).count() {
        0 => Ok(Exit::Done),
        n => Err(Report::new(Exit::NotReady, format!("{n} things need attention"))),
    }
}

fn recovery(root: &Path) -> Finding {
    match InstallRoot::open(root).and_then(|r| r.recovery_needed()) {
        Ok(false) => Finding::good("no installation was interrupted"),
        Ok(true) => Finding::bad("an installation was interrupted", "run `kojibox-installer recover`"),
        Err(error) => Finding::bad(
            format!("the install root cannot be read: {}", diagnosis::chain(&error)),
            "run `kojibox-installer verify`",
        ),
    }
}
