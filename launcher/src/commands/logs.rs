//! Owns `logs`: what services wrote, merged by time. It reads files and needs no daemon.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    thread,
    time::Duration,
};

use kojibox_console::{Exit, Outcome, Report, Ui, escape};
use kojibox_state::Layout;
use kojibox_supervisor::{
    FileError,
    logs::{Filter, Reader, logged},
    shim::Record,
};

use crate::{Outside, cli::Logs, place::Place};

/// How often a followed log is looked at.
const PERIOD: Duration = Duration::from_millis(200);

/// The export could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write `{file}`")]
struct ExportError {
    file: String,
    source: std::io::Error,
}

/// Shows or exports.
pub(crate) fn run(place: &Place, outside: &Outside, args: Logs, ui: &Ui) -> Outcome {
    let logs = Layout::new(&place.root).root().join("logs");
    let known = logged(&logs).map_err(unreadable)?;
    if let Some(odd) = args.services.iter().find(|s| !known.contains(s)) {
        let hint = format!("services with a log are: {}", known.join(", "));
        return Err(Report::new(Exit::Usage, format!("there is no log of `{odd}`")).hint(hint));
    }
    let services = if args.services.is_empty() { known } else { args.services };
    let since = args.since.map(|span| {
        let start = (outside.now)().checked_sub(span.duration());
        start
            .unwrap_or(jiff::Timestamp::MIN)
            .strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
            .to_string()
    });
    let filter = Filter {
        since,
        grep: args.grep,
        level: args.level,
    };
    let mut reader = Reader::new(&logs, &services, filter);
    if let Some(file) = args.export {
        return export(&mut reader, &file, ui);
    }
    let width = services.iter().map(String::len).max().unwrap_or(0);
    loop {
        reader.read(|record| show(&record, width, ui)).map_err(unreadable)?;
        if !args.follow {
            return Ok(Exit::Done);
        }
        thread::sleep(PERIOD);
    }
}

fn unreadable(error: FileError) -> Report {
    Report::new(Exit::FileSystem, error)
}

fn show(record: &Record, width: usize, ui: &Ui) {
    if ui.is_json() {
        ui.json(record);
    } else {
        let mark = if record.s == "out" { '|' } else { '!' };
        // What a program wrote must not reach the terminal as orders to it; a tab is no order.
        let words: Vec<_> = record.msg.split('\t').map(escape).collect();
        ui.answer(&format!("{:width$} {mark} {}", escape(&record.svc), words.join("\t")));
    }
}

fn export(reader: &mut Reader, file: &Path, ui: &Ui) -> Outcome {
    let failed = |source| {
        let file = file.display().to_string();
        Report::new(Exit::FileSystem, ExportError { file, source })
    };
    let mut out = BufWriter::new(File::create(file).map_err(failed)?);
    let (mut count, mut problem) = (0_u64, None);
    let write = |record: Record| {
        let line = serde_json::to_string(&record).unwrap_or_default();
        problem = problem.take().or(writeln!(out, "{line}").err());
        count += 1;
    };
    reader.read(write).map_err(unreadable)?;
    problem.map_or(Ok(()), Err).and_then(|()| out.flush()).map_err(failed)?;
    ui.done(&format!("{count} lines are in `{}`", file.display()));
    Ok(Exit::Done)
}
