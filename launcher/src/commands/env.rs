//! Owns `exec` and `env`: a person's commands with the programs of the install first. Nothing global changes.

use std::{collections::BTreeMap, process::Command};

use kojibox_console::{Exit, Outcome, Report, Ui};
use kojibox_supervisor::{environment, replace_process};

use super::status::{ports_of, stack};
use crate::{Outside, cli::Shell, place::Place};

#[derive(Debug, thiserror::Error)]
#[error("could not run `{program}`")]
struct RunError {
    program: String,
    source: std::io::Error,
}

fn variables(place: &Place, outside: &Outside) -> Outcome<BTreeMap<String, String>> {
    let stack = stack(place)?;
    let path = outside
        .environment
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("PATH"));
    let ports = ports_of(&stack)?;
    environment::for_person(&stack, &ports, path.map(|(_, v)| v.as_os_str())).map_err(|e| Report::new(Exit::Usage, e))
}

/// Runs a command and ends as it ends.
pub(crate) fn exec(place: &Place, outside: &Outside, words: &[String]) -> Outcome {
    let (program, arguments) = words.split_first().map_or(("", &[][..]), |(p, a)| (p.as_str(), a));
    let mut command = Command::new(program);
    command.args(arguments).envs(variables(place, outside)?);
    let source = replace_process(&mut command);
    let program = program.to_owned();
    Err(Report::new(Exit::Usage, RunError { program, source }))
}

/// Prints lines a shell can read.
pub(crate) fn print(place: &Place, outside: &Outside, shell: Shell, ui: &Ui) -> Outcome {
    let variables = variables(place, outside)?;
    if ui.is_json() {
        ui.json(&variables);
        return Ok(Exit::Done);
    }
    for (name, value) in &variables {
        ui.answer(&match shell {
            Shell::Sh => format!("export {name}='{}'", value.replace('\'', r"'\''")),
            Shell::Fish => format!("set -gx {name} '{}'", value.replace('\\', r"\\").replace('\'', r"\'")),
            Shell::Powershell => format!("$env:{name} = '{}'", value.replace('\'', "''")),
        });
    }
    Ok(Exit::Done)
}
