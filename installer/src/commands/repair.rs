//! Owns `repair`: installed files that are not as they were signed get their signed content back.

use std::{path::PathBuf, sync::Arc};

use kojibox_console::{Exit, Outcome, Report, bytes};
use kojibox_packs::source::BlobSource;
use kojibox_state::{InstallRoot, LockedRoot};
use serde::Serialize;

use super::shared::{RootArgs, count};
use crate::{
    flow::{Session, hold_program, insert, open_locked, recovery_needed, transact},
    medium::{Medium, MediumError},
    report::{StateReport, kind, missed, tx_report},
    transaction::{self, Finding, FindingKind, Lacking, RepairOptions, Repaired},
    wizard::{Guide, texts::EN},
};

/// Give damaged installed files their signed content back; reads only what is needed
///
/// Sound files of the root are used first, then the media; on a terminal, a medium that is missing is asked for. A running
/// program keeps the file it has opened. Exit codes: 21 a medium is damaged, 33 a medium is needed and missing (what could be
/// repaired is repaired), 50 nothing to repair.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    root: RootArgs,
    /// Depot or `.kpack` file that has the installed packs; may be repeated. Default: where this program lies
    #[arg(long, value_name = "DIR|FILE")]
    source: Vec<PathBuf>,
    /// Move what is in the trees and not part of them to `backups/`
    #[arg(long)]
    remove_extra: bool,
    /// Only show what would be repaired
    #[arg(long)]
    dry_run: bool,
    /// Ask for no medium that is missing
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    root: String,
    dry_run: bool,
    txid: Option<&'a str>,
    pointer: Option<&'a str>,
    repaired: &'a [Finding],
    files: u64,
    bytes: u64,
    read: u64,
    aside: &'a [String],
    left: &'a [Finding],
    lacking: &'a [Lacking],
}

/// Something could not be repaired.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0)]
struct NotRepaired(String, #[source] Option<Box<kojibox_packs::read::ReadError>>);

pub(crate) fn run(session: &Session<'_>, args: &Args) -> Outcome {
    let path = args.root.path(session);
    if args.dry_run {
        let root = InstallRoot::open(&path).map_err(StateReport)?;
        if root.recovery_needed().map_err(StateReport)? {
            return Err(recovery_needed());
        }
    }
    let mut medium = medium(session, args)?;
    let mut locked = open_locked(session, &path)?;
    let mut done = attempt(session, args, &mut locked, medium.as_ref())?;
    let mut asked = Vec::new();
    while let Some(part) = wanted(session, args, &done) {
        // A file that lies on two sticks is never whole with one of them in the port.
        if asked.last().is_some_and(|last| *last != part) && asked.contains(&part) {
            break;
        }
        asked.push(part.clone());
        let so_far = |report: Report| report.state(state(args, &done));
        let guide = Guide::speaking(session.ui, EN.tag);
        let proposed = medium.as_ref().and_then(|m| m.paths().next());
        let place = insert(session, &guide, proposed, &part).map_err(so_far)?;
        match (&medium, place) {
            (Some(medium), Some(place)) => medium.add(place).map_err(|e| so_far(e.into()))?,
            (None, Some(place)) => {
                let opened = Medium::of(vec![place], session.watch);
                medium = Some(opened.map_err(|e| so_far(e.into()))?);
            }
            (_, None) => {}
        }
        let next = attempt(session, args, &mut locked, medium.as_ref());
        let next = next.map_err(|report| match done.txid {
            Some(_) => report.having(&format!("repaired: {}", count(done.files, "file"))),
            None => report,
        })?;
        if next.files > 0 {
            asked.clear();
        }
        done = next.after(done);
    }
    if session.ui.is_json() {
        session.ui.json(&Document {
            root: path.display().to_string(),
            dry_run: args.dry_run,
            txid: done.txid.as_deref(),
            pointer: done.pointer.as_deref(),
            repaired: &done.repaired,
            files: done.files,
            bytes: done.bytes,
            read: done.read,
            aside: &done.aside,
            left: &done.left,
            lacking: &done.lacking,
        });
    }
    conclude(args, done)
}

/// The media that were named, or the one that this program lies on; none is fine, too.
fn medium(session: &Session<'_>, args: &Args) -> Result<Option<Medium>, Report> {
    match Medium::open(&args.source, &session.world.program, session.watch) {
        Ok(medium) => {
            hold_program(session, &medium);
            Ok(Some(medium))
        }
        Err(MediumError::NoSource(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Repairs what the media at hand can give, and says what that was.
fn attempt(
    session: &Session<'_>,
    args: &Args,
    locked: &mut LockedRoot,
    medium: Option<&Medium>,
) -> Result<Repaired, Report> {
    let each = medium
        .into_iter()
        .flat_map(|m| (0..m.paths().count()).map(|at| m.blobs(at)));
    let sources: Vec<Arc<dyn BlobSource>> = each.collect();
    let options = RepairOptions {
        command: session.world.command.clone(),
        remove_extra: args.remove_extra,
        dry_run: args.dry_run,
    };
    let done = transact(session, &EN, &[], |env| {
        transaction::repair(locked, &sources, &options, env)
    });
    let (done, _) = done.map_err(|e| tx_report(session.ui, e))?;
    tell(session, args, &done);
    Ok(done)
}

/// What a person is asked for: the first thing that is missing, if nothing but another medium is needed and somebody is there.
fn wanted(session: &Session<'_>, args: &Args, done: &Repaired) -> Option<String> {
    let ui = session.ui;
    if args.yes || args.dry_run || !ui.is_interactive() || ui.is_json() {
        return None;
    }
    let part = |lacking: &Lacking| match &lacking.why {
        Some(why) => missed(why),
        None => Some(format!("component `{}` {}", lacking.component, lacking.version)),
    };
    let parts: Option<Vec<_>> = done.lacking.iter().map(part).collect();
    parts?.into_iter().next()
}

/// What is true of the machine, if something is still lacking.
fn state(args: &Args, done: &Repaired) -> String {
    match (&done.txid, args.dry_run) {
        (Some(_), _) => format!("repaired: {}; the rest is as it was", count(done.files, "file")),
        (None, true) => "nothing was written; this is what would be left".to_owned(),
        (None, false) => "nothing was written".to_owned(),
    }
}

fn tell(session: &Session<'_>, args: &Args, done: &Repaired) {
    for finding in &done.repaired {
        session.ui.detail(&finding.to_string());
    }
    for path in &done.aside {
        session.ui.note(&format!("to `backups/`: `{path}`"));
    }
    let extra = done.left.iter().filter(|f| f.kind == FindingKind::Extra);
    for finding in extra.clone() {
        session.ui.note(&format!("left alone: {finding}"));
    }
    if extra.count() > 0 && !args.remove_extra {
        session
            .ui
            .note("to move what is not part of the trees to `backups/`, add `--remove-extra`");
    }
    if let Some(why) = &done.pointer {
        let rebuilt = if args.dry_run { "would be rebuilt" } else { "is rebuilt" };
        session.ui.note(&format!(
            "the pointer was damaged ({why}) and {rebuilt} from the receipts"
        ));
    }
    if done.repaired.is_empty() && done.aside.is_empty() {
        if done.lacking.is_empty() && done.left.is_empty() && done.pointer.is_none() {
            session.ui.status("Nothing to do: nothing is damaged.");
        }
        return;
    }
    session.ui.done(&format!(
        "{} ({}) {}, {} read from the medium.",
        count(done.files, "file"),
        bytes(done.bytes),
        if args.dry_run { "would be repaired" } else { "repaired" },
        bytes(done.read),
    ));
}

/// What is still wrong although no medium is lacking: a record, which is nowhere else, or what the file system did not let go.
fn not_repaired(done: &Repaired) -> Option<Report> {
    let wrong: Vec<_> = done.left.iter().filter(|f| f.kind != FindingKind::Extra).collect();
    let first = wrong.first()?;
    let told: Vec<_> = wrong.iter().map(ToString::to_string).collect();
    let error = NotRepaired(format!("could not repair everything\n{}", told.join("\n")), None);
    let report = |exit, hint: String| Report::new(exit, error).state("the rest is as it should be").hint(hint);
    Some(match &first.kind {
        FindingKind::Record(_) => report(
            Exit::Damaged,
            format!(
                "if generation {} is active, run `kojibox-installer rollback`; then `kojibox-installer prune` removes it; if there is no other, `kojibox-installer uninstall` keeps the data, and the pack is installed again",
                first.component
            ),
        ),
        _ => report(
            Exit::FileSystem,
            "see above what is in the way, have its owner move it, then run the same command again".to_owned(),
        ),
    })
}

fn conclude(args: &Args, mut done: Repaired) -> Outcome {
    if done.lacking.is_empty() {
        if let Some(report) = not_repaired(&done) {
            return Err(report);
        }
        let nothing = done.repaired.is_empty() && done.aside.is_empty() && done.pointer.is_none();
        return Ok(if nothing { Exit::NothingToDo } else { Exit::Done });
    }
    let mut text = "could not repair everything".to_owned();
    for lacking in &done.lacking {
        text.push('\n');
        text.push_str(&line(lacking));
    }
    let pack = done.lacking[0].pack.clone();
    let why = done.lacking.iter_mut().find_map(|l| l.why.take());
    let exit = match &why {
        Some(why) if missed(why).is_none() => kind(why.kind()),
        _ => Exit::MediumMissing,
    };
    let hint = match exit {
        Exit::MediumMissing => format!(
            "insert the medium that pack `{pack}` was installed from, name it with `--source` (several of them with one each), and run the same command again"
        ),
        _ => "use another copy of the medium, then run the same command again".to_owned(),
    };
    Err(Report::new(exit, NotRepaired(text, why))
        .state(state(args, &done))
        .hint(hint))
}

fn line(lacking: &Lacking) -> String {
    let what = match &lacking.why {
        Some(_) => "the medium could not give all of it",
        None => "no medium at hand has it",
    };
    let Lacking { component, version, .. } = lacking;
    let (files, size) = (count(lacking.files, "file"), bytes(lacking.bytes));
    format!("{what}: component `{component}` {version} ({files}, {size})")
}
