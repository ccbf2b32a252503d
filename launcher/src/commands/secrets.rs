//! Owns `secrets`: which there are, and one value when a person asks for it.

use std::collections::BTreeMap;

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_supervisor::secrets::Secrets;

use super::status::stack;
use crate::{cli, place::Place};

/// Lists names or prints one value.
pub(crate) fn run(place: &Place, command: &cli::Secrets, ui: &Ui) -> Outcome {
    let stack = stack(place)?;
    let secrets = Secrets::load(&stack.layout.secrets(), &stack.secrets);
    let secrets = secrets.map_err(|e| Report::new(Exit::FileSystem, e).hint("run `kojibox doctor`"))?;
    let names: Vec<&String> = secrets.values().keys().collect();
    match command {
        cli::Secrets::List if ui.is_json() => ui.json(&BTreeMap::from([("secrets", &names)])),
        cli::Secrets::List => names.iter().for_each(|name| ui.answer(name)),
        cli::Secrets::Show { name } => {
            let Some(value) = secrets.value(name) else {
                let hint = names.iter().map(|n| n.as_str()).collect::<Vec<_>>().join(", ");
                let report = Report::new(Exit::Usage, format!("there is no secret `{name}`"));
                return Err(report.hint(format!("secrets are: {hint}")));
            };
            if ui.is_json() {
                ui.json(&BTreeMap::from([("name", name.as_str()), ("value", value)]));
            } else {
                ui.answer(value);
            }
        }
    }
    Ok(Exit::Done)
}
