//! Owns the commands: each takes what was asked, does it, and says how it went.

mod confirm;
mod doctor;
mod down;
mod env;
mod logs;
mod roles;
mod secrets;
mod self_update;
mod status;
mod up;

pub(crate) use self::status::stack;
use kojibox_console::{Exit, Outcome, Spelling, Ui};

use crate::{
    Outside,
    cli::{Args, Command},
    front_door,
    place::{self, Place},
};

/// Runs the command.
pub(crate) fn run(args: Args, outside: &Outside, ui: &Ui) -> Outcome {
    match args.command {
        Command::Shim => return roles::shim(outside),
        Command::SelfCheck => {
            return roles::self_check(&place::own_program(outside)?, args.root.as_deref(), outside, ui);
        }
        _ => {}
    }
    let place = Place::find(args.root.as_deref(), outside)?;
    if let Ok(directory) = &outside.working_dir {
        ui.spell(Spelling::of(&place.root, directory, None));
    }
    if !matches!(args.command, Command::Daemon) {
        front_door::pass(&place, outside, ui);
    }
    match args.command {
        Command::Up { services } => up::up(&place, outside, &services, ui),
        Command::Restart { services } => up::restart(&place, outside, &services, ui),
        Command::Down { services } => down::run(&place, outside, &services, ui),
        Command::Status { watch } => status::run(&place, outside, watch, ui),
        Command::Logs(logs) => logs::run(&place, outside, logs, ui),
        Command::Exec { command } => env::exec(&place, outside, &command),
        Command::Env { shell } => env::print(&place, outside, shell, ui),
        Command::Ports => status::ports(&place, outside, ui),
        Command::Secrets { command } => secrets::run(&place, &command, ui),
        Command::Doctor => doctor::run(&place, outside, ui),
        Command::SelfUpdate(args) => self_update::run(&place, outside, &args, ui),
        Command::Daemon => roles::daemon(&place, outside),
        Command::Shim | Command::SelfCheck => Ok(Exit::Done),
    }
}
